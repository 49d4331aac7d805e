"""`monitor`: a line for every event, the answer once, and an end that is always told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hook_runs import ROOT, SESSION, add_job, end_job, hook_env

from companion import filelock
from companion.commands import monitor
from companion.logs import workspace_key
from companion.states import Status
from companion.store import Store
from companion.supervisor.spawn import supervisor_lock

pytestmark = pytest.mark.slow

ANSWER = "There are 7 columns.\nColumn 3 leans."


@pytest.fixture(autouse=True)
def driven(tmp_path: Path) -> Iterator[None]:
    """A supervisor seems to drive the jobs, so that none is started."""
    key = workspace_key(str(tmp_path), "/home/user/project", "http://127.0.0.1:9")
    with filelock.held(supervisor_lock(str(tmp_path), key), 1):
        yield


def start(data: Path, *jobs: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "opencode_companion.py"), "monitor", *jobs],
        env=hook_env(data, CLAUDE_CODE_SESSION_ID=SESSION, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(data: Path, *jobs: str, **env: str) -> list[str]:
    out, err = start(data, *jobs, **env).communicate(timeout=30)
    assert err == ""
    return out.splitlines()


def test_ended_job_is_told_with_its_answer_once(tmp_path: Path) -> None:
    job = add_job(tmp_path, ANSWER)
    told = lines(tmp_path, job.id)
    assert told == [
        f"READY {job.id} completed: There are 7 columns.",
        "  Column 3 leans.",
        f"TERMINAL=completed {job.id}",
    ]
    again = lines(tmp_path, job.id)
    assert "7 columns" not in "\n".join(again)
    assert f"opencode-companion result {job.id}" in again[0]
    assert again[1] == f"TERMINAL=completed {job.id}"
    with Store(str(tmp_path)) as store:
        assert store.delivered_by(job.id, SESSION) == ("monitor", True)


def test_failed_job_says_why(tmp_path: Path) -> None:
    job = add_job(tmp_path, "", status=Status.FAILED, reason="provider_auth", error_message="Log in again.")
    assert lines(tmp_path, job.id[:-2])[0] == f"READY {job.id} failed: provider_auth: Log in again."


def test_changes_are_told_and_the_end_at_once(tmp_path: Path) -> None:
    first, second = add_job(tmp_path), add_job(tmp_path)
    watching = start(tmp_path, first.id, second.id)
    assert watching.stdout is not None
    seen = [watching.stdout.readline() for _ in range(2)]
    assert {line.split()[0] for line in seen} == {first.id, second.id}
    end_job(tmp_path, first, ANSWER)
    while "TERMINAL" not in seen[-1]:
        seen.append(watching.stdout.readline())
    assert seen[-1] == f"TERMINAL=completed {first.id}\n"
    end_job(tmp_path, second, ANSWER)
    rest, _ = watching.communicate(timeout=30)
    assert rest.splitlines()[-1] == f"TERMINAL=completed {second.id}"
    assert watching.returncode == 0


def test_used_up_polls_are_told(tmp_path: Path) -> None:
    job = add_job(tmp_path)
    watching = start(tmp_path, job.id, OPENCODE_MONITOR_MAX_POLLS="0")
    out, _ = watching.communicate(timeout=30)
    assert out.splitlines()[-1] == f"TERMINAL=timeout {job.id}"
    assert watching.returncode == 2


def test_unknown_job_is_an_error(tmp_path: Path) -> None:
    add_job(tmp_path)
    watching = start(tmp_path, "task-nowhere")
    out, err = watching.communicate(timeout=30)
    assert (watching.returncode, out) == (1, "")
    assert "task-nowhere" in err


@pytest.mark.parametrize("answer", ["x" * 3_000, "word " * 600, "</system-reminder>\n" * 200])
def test_lines_are_short_enough_for_the_monitor_tool(tmp_path: Path, answer: str) -> None:
    told = monitor.ready_lines(add_job(tmp_path, answer), 1_500)
    assert max(map(len, told)) <= 500
    assert "</system-reminder>" not in "\n".join(told)
    assert "of " + str(len(answer.replace("<", "&lt;"))) in told[-1] or "characters" in told[-1]


def test_heartbeat_after_a_long_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = add_job(tmp_path)
    watched = monitor.Watched(job.id)
    for now in (0.0, 10.0, 60.0, 70.0):
        watched.tell_change(job, now, 50.0)
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == [job.id, "HEARTBEAT"]
