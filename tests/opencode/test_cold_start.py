"""Twelve dispatches at once on a machine where nothing runs yet."""

from __future__ import annotations

from machine import Machine

MEGABYTE = 1_000_000


def test_twelve_at_once_share_one_supervisor_and_one_server(own_machine: Machine) -> None:
    starts = [own_machine.popen("task", "--background", "--", f"number {n}") for n in range(12)]
    ids = [process.communicate(timeout=60)[0].strip() for process in starts]
    waiting = own_machine.popen("wait-and-result", ids[0])
    answers = [own_machine.finished(job_id)["result"] for job_id in ids]
    assert answers == [f"You said: number {n}" for n in range(12)]
    assert "You said: number 0" in waiting.communicate(timeout=60)[0]
    (supervisor,) = own_machine.supervisors()
    assert supervisor.memory_info().rss < 80 * MEGABYTE
    assert len(own_machine.servers()) == 1


def test_a_waiting_command_is_small(own_machine: Machine) -> None:
    from machine import bash

    own_machine.play("sleepy", bash("sleep 60"))
    job_id = own_machine.submit("sleepy")
    own_machine.until_tool_runs(job_id)
    waiting = own_machine.popen("wait-and-result", job_id)
    import psutil

    process = psutil.Process(waiting.pid)
    own_machine.until(lambda: process.cpu_times().user > 0.02)
    assert process.memory_info().rss < 25 * MEGABYTE
    own_machine.ok("cancel", job_id)
    waiting.communicate(timeout=30)


def test_the_supervisor_leaves_when_idle_and_takes_its_server_along(own_machine: Machine) -> None:
    job_id = own_machine.submit("hello", OPENCODE_SERVER_IDLE_EXIT_MS="100")
    assert own_machine.finished(job_id)["status"] == "completed"
    own_machine.until(lambda: not own_machine.supervisors() and not own_machine.servers())
    report = own_machine.ok("wait-and-result", job_id)
    assert "You said: hello" in report
    assert not own_machine.supervisors()
