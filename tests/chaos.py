"""Kills the command, the supervisor and the server at random instants and counts what becomes of the jobs.

    python tests/chaos.py --jobs 200 --seed 7      (needs OPENCODE_TEST_BIN; PYTHONPATH=scripts:tests)

A job passes if it ends, and if a `completed` one has its own answer. A job may end `failed: server_lost` where its
server was killed under it more often than it is resumed; that is counted, for it is the truth. What must never be seen:
a job that does not end (phantom), another job's answer, a finished answer that is gone, a process that stays.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from machine import Machine, bash, echo, machine_in

from companion.demo.scripted_model import ChatRequest, Wire
from companion.store import Store

VICTIMS = ("command", "supervisor", "server", "supervisor and server")
AT_ONCE = 2
ANSWER_LIMIT_S = 180.0


@dataclass
class Tally:
    """What was seen. `wrong` holds a line for everything that must never be."""

    ends: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def rampage(machine: Machine, jobs: int, seed: int) -> Tally:
    """Run the jobs, AT_ONCE at a time, with a kill each; then look at what is left."""
    tally = Tally()
    machine.play("chaos", play)
    machine.ok("task", "--", "warm up")
    lock = threading.Lock()

    def one(number: int) -> None:
        chance = random.Random(f"{seed}-{number}")
        victim = chance.choice(VICTIMS)
        text = f"chaos {seed}-{number} steps {chance.randrange(3)}"
        process = machine.popen("task", "--background", "--", text)
        time.sleep(chance.random() * 2.5)
        kill(machine, victim, process)
        process.communicate(timeout=60)
        with lock:
            tally.kills[victim] += 1
        job_id = find(machine, text)
        if job_id is None:
            outcome = "never acknowledged"
            if victim != "command":
                tally.wrong.append(f"{text}: acknowledged but not in the store")
        else:
            outcome = follow(machine, job_id, text, tally)
        with lock:
            tally.ends[outcome] += 1

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(jobs)))
    with Store(str(machine.data)) as store:
        tally.wrong += [f"{job.id}: phantom, {job.status.value}" for job in store.jobs(active=True)]
    return tally


def play(request: ChatRequest, wire: Wire) -> None:
    """Nothing, one or two commands, then the task's own text back."""
    steps = int(request.user_texts[-1].rsplit(" ", 1)[1])
    if len(request.tool_results) < steps:
        bash("sleep 0.4")(ChatRequest(request.messages[:1], [], 0, {}), wire)
    else:
        echo(request, wire)


def kill(machine: Machine, victim: str, command: object) -> None:
    """SIGKILL the victim."""
    doomed: list[psutil.Process] = []
    if "supervisor" in victim:
        doomed += machine.supervisors()
    if "server" in victim:
        doomed += machine.servers()
    for process in doomed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    if victim == "command":
        command.kill()  # type: ignore[attr-defined]


def find(machine: Machine, text: str) -> str | None:
    """The job with this task, if its row was written."""
    with Store(str(machine.data)) as store:
        return next((job.id for job in store.jobs() if job.prompt == text), None)


def follow(machine: Machine, job_id: str, text: str, tally: Tally) -> str:
    """Wait like a user who does not give up; how the job ended."""
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while time.monotonic() < deadline:
        done = machine.run("wait-and-result", job_id, "--json", "--max-wait", "30")
        if done.returncode == 0:
            job = json.loads(done.stdout)["job"]
            if job["status"] == "completed" and job["result"] != f"You said: {text}":
                tally.wrong.append(f"{job_id}: the answer is {job['result']!r} for {text!r}\n{machine.logs()}")
            again = json.loads(machine.ok("result", job_id, "--json"))["job"]
            if again["result"] != job["result"]:
                tally.wrong.append(f"{job_id}: the answer changed")
            if job["status"] != "completed" and job["reason"] != "server_lost":
                tally.wrong.append(f"{job_id}: {job['reason']}: {job['errorMessage']}\n{machine.logs()}")
            return job["status"] if job["status"] == "completed" else f"{job['status']}: {job['reason']}"
        if done.returncode != 2:
            tally.wrong.append(f"{job_id}: exit {done.returncode}: {done.stderr.strip()}")
            return "error"
    tally.wrong.append(f"{job_id}: no end in {ANSWER_LIMIT_S:g} s")
    return "phantom"


def main() -> int:
    """Run from the command line; exit 1 when something was seen that must never be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, machine_in(Path(folder)) as machine:
        tally = rampage(machine, options.jobs, options.seed)
        key, data = machine.key, str(machine.data)
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if data in (p.info["cmdline"] or [])]
    tally.wrong += [f"process {pid} is left ({key})" for pid in left]
    print(f"kills {dict(tally.kills)}\nends {dict(tally.ends)}")
    print("\n".join(tally.wrong) or "nothing that must never be")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
