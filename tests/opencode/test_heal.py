"""What `heal`, and a command that only reads, make of jobs whose supervisor has died."""

from __future__ import annotations

import json
import os
from typing import Any

from machine import Machine, kill, tools

from companion import filelock
from companion.jobs import Job
from companion.states import Status
from companion.store import Store
from companion.supervisor.spawn import supervisor_lock


def kill_all(machine: Machine, servers: bool) -> None:
    """SIGKILL to the supervisor, and to its server, as they are."""
    kill([*machine.supervisors(), *(machine.servers() if servers else [])])


def running(machine: Machine, word: str, answer: str) -> str:
    """A job whose model waits, in a command, for `let_go`."""
    (machine.workspace / "go").unlink(missing_ok=True)
    machine.play(
        word, tools([("bash", {"command": "until [ -e go ]; do sleep 0.1; done", "description": "t"})], answer)
    )
    job_id = machine.submit(word)
    machine.until_tool_runs(job_id)
    return job_id


def let_go(machine: Machine) -> None:
    """The command that the job waits in ends."""
    (machine.workspace / "go").touch()


def healed(machine: Machine, *options: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(machine.ok("heal", "--json", *options))
    return answer


def records(machine: Machine) -> tuple[list[Job], set[str]]:
    """What the store says of jobs, and the names of all other files of the data dir."""
    with Store(str(machine.data)) as store:
        jobs = store.jobs()
    files = {str(path.relative_to(machine.data)) for path in machine.data.rglob("*")}
    return jobs, {name for name in files if not name.startswith(("jobs.db", "pycache"))}


def test_a_driven_job_is_looked_at_and_left_alone(machine: Machine) -> None:
    job_id = running(machine, "undisturbed", "all done")
    assert healed(machine) == {"dryRun": False, "scanned": 1, "actions": []}
    assert "(1 jobs looked at)" in machine.ok("heal")
    let_go(machine)
    assert machine.finished(job_id)["recovered"] is False


def test_nothing_changes_in_a_dry_run(machine: Machine) -> None:
    job_id = running(machine, "dry", "all done")
    kill_all(machine, servers=True)
    before = records(machine)
    answer = healed(machine, "--dry-run")
    assert answer["actions"] == [{"jobId": job_id, "from": "running", "to": "running", "reason": "would_recover"}]
    assert f"{job_id} has no living supervisor" in machine.ok("heal", "--dry-run")
    assert records(machine) == before
    assert machine.supervisors() == []
    let_go(machine)
    assert machine.finished(job_id)["result"] == "all done"


def test_a_job_that_lost_everything_is_carried_on(machine: Machine) -> None:
    job_id = running(machine, "carry on", "all done")
    kill_all(machine, servers=True)
    let_go(machine)
    [action] = healed(machine)["actions"]
    assert (action["jobId"], action["from"]) == (job_id, "running")
    assert (action["to"], action["reason"]) in {("running", "recovered"), ("completed", "completed")}
    job = machine.finished(job_id)
    assert (job["status"], job["result"], job["recovered"]) == ("completed", "all done", True)


def test_a_job_of_long_ago_ends_with_the_truth(machine: Machine) -> None:
    job_id = running(machine, "long ago", "never said")
    kill_all(machine, servers=True)
    with Store(str(machine.data)) as store:
        store.update(job_id, alive_at=1)
    [action] = healed(machine)["actions"]
    assert action == {"jobId": job_id, "from": "running", "to": "failed", "reason": "server_lost"}
    assert machine.job(job_id)["reason"] == "server_lost"


def test_status_finds_out_by_itself(machine: Machine) -> None:
    job_id = running(machine, "silently", "all done")
    kill_all(machine, servers=False)
    let_go(machine)
    with Store(str(machine.data)) as store:
        assert (job := store.get(job_id)) and job.status is Status.RUNNING
        shown = machine.job(job_id)
        assert shown["recovered"] is True
    assert machine.finished(job_id)["result"] == "all done"


def test_other_workspaces_are_healed_on_request(machine: Machine) -> None:
    job_id = running(machine, "elsewhere", "all done")
    kill_all(machine, servers=False)
    let_go(machine)
    other = str(machine.home)
    assert healed(machine, "--cwd", other) == {"dryRun": False, "scanned": 0, "actions": []}
    assert [action["jobId"] for action in healed(machine, "--cwd", other, "--all")["actions"]] == [job_id]
    assert machine.finished(job_id)["result"] == "all done"


def test_a_queued_job_that_nobody_took_is_taken(machine: Machine) -> None:
    kill_all(machine, servers=False)
    # Whoever holds the lock passes for the supervisor, and does nothing.
    with filelock.held(supervisor_lock(str(machine.data), machine.key), 5):
        job_id = machine.submit("never begun")
        assert machine.job(job_id)["status"] == "queued"
    [action] = healed(machine)["actions"]
    assert (action["jobId"], action["from"], action["reason"]) in {
        (job_id, "queued", "recovered"),
        (job_id, "queued", "completed"),
    }
    assert machine.finished(job_id)["result"] == "You said: never begun"


def test_reading_goes_on_without_opencode(machine: Machine) -> None:
    job_id = running(machine, "no more opencode", "all done")
    kill_all(machine, servers=True)
    gone = {"OPENCODE_BIN": "", "PATH": os.path.dirname(os.environ.get("SHELL", "/bin/sh")) or "/bin"}
    assert job_id in machine.ok("status", **gone)
    machine.until(lambda: machine.job(job_id)["status"] == "failed")
    assert machine.job(job_id)["reason"] == "opencode_missing"
