"""Whatever dies, the answer arrives, and it is the right one."""

from __future__ import annotations

from functools import partial

import pytest
from machine import Machine, bash, kill, tools

from companion.store import Store


@pytest.mark.parametrize("victims", ["supervisor", "server", "supervisor and server"])
def test_a_kill_in_the_middle_of_a_tool_call(machine: Machine, victims: str) -> None:
    machine.play("slow", bash("sleep 2", "the slow answer"))
    machine.play("quick", bash("true", "the quick answer"))
    slow, quick = machine.submit("slow"), machine.submit("quick")
    assert machine.finished(quick)["result"] == "the quick answer"
    machine.until_tool_runs(slow)
    if "supervisor" in victims:
        kill(machine.supervisors())
    if "server" in victims:
        kill(machine.servers())
    job = machine.finished(slow)
    assert (job["status"], job["result"], job["recovered"]) == ("completed", "the slow answer", True)
    assert len(machine.supervisors()) == 1
    assert len(machine.servers()) == 1


def test_a_killed_dispatcher_leaves_a_job_that_is_done(machine: Machine) -> None:
    process = machine.popen("task", "--", "orphaned dispatch")
    with Store(str(machine.data)) as store:
        job = machine.until(lambda: next((job for job in store.jobs() if job.prompt == "orphaned dispatch"), None))
    process.kill()
    process.communicate()
    assert machine.finished(job.id)["result"] == "You said: orphaned dispatch"


def test_status_alone_carries_a_job_on(machine: Machine) -> None:
    machine.play("left alone", bash("sleep 1", "found again"))
    job_id = machine.submit("left alone")
    machine.until_tool_runs(job_id)
    kill(machine.supervisors())
    machine.ok("status")
    machine.until(lambda: machine.job(job_id)["status"] == "completed")
    assert machine.job(job_id)["result"] == "found again"


def test_a_lost_run_is_resumed_twice_at_most(machine: Machine) -> None:
    machine.play("doomed", tools([("bash", {"command": "sleep 60", "description": "test"})] * 9))
    job_id = machine.submit("doomed")
    for number in range(3):
        machine.until(partial(_runs_after, machine, job_id, number))
        kill(machine.servers())
    job = machine.finished(job_id)
    assert (job["status"], job["reason"]) == ("failed", "server_lost")


def _runs_after(machine: Machine, job_id: str, resends: int) -> bool:
    """Whether the job, resumed so often, runs its command under a server of now, not under one that was killed."""
    running = {child.pid for server in machine.servers() for child in server.children(recursive=True)}
    return _resends(machine, job_id) == resends and not running.isdisjoint(machine.running("sleep"))


def _resends(machine: Machine, job_id: str) -> int:
    with Store(str(machine.data)) as store:
        job = store.get(job_id)
        assert job is not None
        return job.resends
