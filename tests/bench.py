"""Measures what users wait for, side by side in one run, on the real opencode: `python tests/bench.py [--json]`.

Needs OPENCODE_TEST_BIN (the test command sets it up) and `node` for comparison. Every figure is a median in ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from jobfactory import add_ended
from machine import ENTRY, Machine, bash, echo, machine_in

from companion.demo.scripted_model import ChatRequest, Wire
from companion.opencode.adapter import StateChanged
from companion.opencode.v1 import OpenCodeV1
from companion.store import Store

ROUNDS = 15
WAITING = 20
WATCH_S = 20


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, machine_in(Path(folder)) as machine:
        machine.ok("task", "--", "warm up")
        figures = {**dispatch_and_return(machine), **waiting_jobs(machine), **store_commands(machine)}
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<58} {value:8.1f}")
    return 0


def dispatch_and_return(machine: Machine) -> dict[str, float]:
    """From the start of a command to the model's first request, and from opencode's idle event to the exit."""
    idle_at: list[float] = []
    watcher = _watch_idle(machine, idle_at)
    to_request, from_idle, from_byte = [], [], []
    sent: list[float] = []
    release = threading.Event()

    def timed(request: ChatRequest, wire: Wire) -> None:
        release.wait(30)
        echo(request, wire)
        sent.append(wire.last_byte_at)

    machine.play("round", timed)
    for n in range(ROUNDS):
        before = len(machine.model.requests)
        release.clear()
        began = time.monotonic()
        job_id = machine.submit(f"round {n}")
        to_request.append(machine.model.wait_for_requests(before + 1)[before].received_at - began)
        waiting = machine.popen("wait-and-result", job_id)
        process = psutil.Process(waiting.pid)
        while process.num_ctx_switches().voluntary < 60:  # it polls, so it has come to wait
            time.sleep(0.01)
        release.set()
        waiting.communicate(timeout=60)
        ended = time.monotonic()
        from_byte.append(ended - sent[-1])
        machine.until(lambda: [at for at in idle_at if at > sent[-1]])
        from_idle.append(ended - next(at for at in idle_at if at > sent[-1]))
    watcher()
    return {
        "task --background: start to the model's first request": _ms(to_request),
        "model's last byte to exit of wait-and-result": _ms(from_byte),
        "opencode's idle event to exit of wait-and-result": _ms(from_idle),
    }


def waiting_jobs(machine: Machine) -> dict[str, float]:
    """What the supervisor costs while WAITING jobs run a command that says nothing, with the default intervals."""
    machine.play("wait", bash("sleep 300"))
    ids = [machine.submit(f"wait {n}", OPENCODE_COMPLETION_POLL_MS="5000") for n in range(WAITING)]
    for job_id in ids:
        machine.until_tool_runs(job_id)
    (supervisor,) = machine.supervisors()
    supervisor.terminate()
    supervisor.wait(10)
    machine.ok("status")  # starts a fresh one, which has nothing to do but to wait
    (supervisor,) = machine.until(machine.supervisors)
    log = next((machine.data / "logs").glob("supervisor-*.log"))
    time.sleep(5)
    before = supervisor.cpu_times()
    time.sleep(WATCH_S)
    after = supervisor.cpu_times()
    memory = supervisor.memory_info().rss
    supervisor.terminate()
    supervisor.wait(10)
    requests = int(log.read_text().rsplit(" requests to the server", 1)[0].rsplit(" ", 1)[1])
    seconds = after.user + after.system - before.user - before.system
    for job_id in ids:
        machine.ok("cancel", job_id)
    return {
        f"supervisor, {WAITING} jobs waiting: % of one core": 100 * seconds / WATCH_S,
        f"supervisor, {WAITING} jobs waiting: MB resident": memory / 1e6,
        f"supervisor, {WAITING} jobs waiting: requests a minute and job": requests * 60 / (WATCH_S + 5) / WAITING,
    }


def store_commands(machine: Machine) -> dict[str, float]:
    """Commands that only read the store, with 1,000 ended jobs and no supervisor, against a bare node."""
    machine.stop()
    workspace = os.path.realpath(machine.workspace)
    with Store(str(machine.data)) as store:
        ended = [add_ended(store, workspace=workspace) for _ in range(1000)]
    node = shutil.which("node")
    commands: dict[str, list[str]] = {
        "status, 1,000 ended jobs": [sys.executable, str(ENTRY), "status"],
        "wait-and-result on an ended job": [sys.executable, str(ENTRY), "wait-and-result", ended[0].id],
        "bare python: -c pass": [sys.executable, "-c", "pass"],
    }
    if node:
        commands["bare node: -e 0"] = [node, "-e", "0"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            began = time.monotonic()
            subprocess.run(command, cwd=machine.workspace, env=machine.env, capture_output=True, check=True)
            times[name].append(time.monotonic() - began)
    return {name: _ms(values) for name, values in times.items()}


def _watch_idle(machine: Machine, idle_at: list[float]) -> Callable[[], None]:
    """Note when the server says that a session is idle; the value returned stops it."""
    workspace = os.path.realpath(machine.workspace)
    with Store(str(machine.data)) as store:
        known = store.server(workspace)
    assert known is not None
    connected = threading.Event()
    loop = asyncio.new_event_loop()

    async def watch() -> None:
        adapter = OpenCodeV1(known["url"], "opencode", known["password"], workspace, 60)
        async for event in adapter.events():
            connected.set()
            if isinstance(event, StateChanged) and event.state.kind == "idle":
                idle_at.append(time.monotonic())

    task = loop.create_task(watch())

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    connected.wait(10)

    def stop() -> None:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()

    return stop


def _ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    sys.exit(main())
