"""`permissions` without opencode: what it lists, and which answers it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobfactory import make_job

from companion import filelock
from companion.bootstrap import PLUGIN_ROOT
from companion.jobs import Blocked, Job, new_job_id
from companion.logs import workspace_key
from companion.store import Store
from companion.supervisor.spawn import supervisor_lock

# Starts many processes.
pytestmark = pytest.mark.slow

ENTRY = Path(PLUGIN_ROOT) / "scripts" / "opencode_companion.py"
BASH = Blocked("permission", "per_abc111", "bash: npm test")
EDIT = Blocked("permission", "per_abc222", "edit: a.txt")
QUESTION = Blocked("question", "que_1", "Which database?")


class Desk:
    """A workspace with blocked jobs, whose supervisor's place is taken by the test."""

    def __init__(self, data_dir: Path, workspace: str) -> None:
        self.data_dir = str(data_dir)
        self.workspace = workspace
        self.store = Store(self.data_dir)

    def block(self, blocked: Blocked | None, workspace: str | None = None) -> Job:
        job = make_job(id=new_job_id("task"), workspace=workspace or self.workspace, blocked=blocked)
        self.store.add(job)
        return job

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ENTRY), "permissions", *words]
        return subprocess.run(command, cwd=self.workspace, capture_output=True, text=True)


@pytest.fixture
def desk(data_dir: Path, tmp_path: Path) -> Iterator[Desk]:
    data_dir.mkdir(mode=0o700)
    (tmp_path / "work").mkdir()
    desk = Desk(data_dir, os.path.realpath(tmp_path / "work"))
    lock = supervisor_lock(desk.data_dir, workspace_key(desk.data_dir, desk.workspace, ""))
    with filelock.held(lock, 1), desk.store:
        yield desk


def test_what_is_waited_for_is_listed_with_the_command(desk: Desk, tmp_path: Path) -> None:
    job, asked = desk.block(BASH), desk.block(QUESTION)
    desk.block(None)
    desk.block(EDIT, str(tmp_path))
    shown = desk.run().stdout
    assert f"per_abc111  {job.id}  permission: bash: npm test" in shown
    assert "permissions reply per_abc111 once" in shown
    assert "permissions reply que_1 once --message" in shown
    assert "per_abc222" not in shown
    answer = json.loads(desk.run("list", "--json").stdout)
    assert answer["workspaceRoot"] == desk.workspace
    assert answer["requests"] == [
        {"requestId": "que_1", "kind": "question", "summary": "Which database?", "jobId": asked.id},
        {"requestId": "per_abc111", "kind": "permission", "summary": "bash: npm test", "jobId": job.id},
    ]


def test_nothing_waited_for_is_said(desk: Desk) -> None:
    assert desk.run().stdout == "No job here waits for an answer.\n"


REFUSED: dict[str, tuple[list[str], str]] = {
    "unknown word": (["answer", "per_abc111", "once"], "invalid choice"),
    "no request": (["reply"], "reply REQUEST once|reject"),
    "no answer": (["reply", "per_abc111"], "reply REQUEST once|reject"),
    "another answer": (["reply", "per_abc111", "always"], "invalid choice"),
    "words after list": (["list", "per_abc111"], "reply REQUEST once|reject"),
    "message for list": (["--message", "x"], "reply REQUEST once|reject"),
    "unknown request": (["reply", "per_x", "once"], "per_abc111"),
    "ambiguous request": (["reply", "per_abc", "once"], "per_abc222"),
    "question without message": (["reply", "que_1", "once"], "--message"),
}


@pytest.mark.parametrize(("words", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_reply_that_cannot_be_meant_is_refused(desk: Desk, words: list[str], hint: str) -> None:
    jobs = [desk.block(blocked) for blocked in (BASH, EDIT, QUESTION)]
    done = desk.run(*words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert hint in done.stderr
    assert [desk.store.replies(job.id) for job in jobs] == [{}, {}, {}]


ANSWERS: dict[str, tuple[Blocked, list[str], str, str | None]] = {
    "allowed": (BASH, ["once"], "once", None),
    "allowed with a word": (BASH, ["once", "--message", "careful"], "once", "careful"),
    "turned down": (BASH, ["reject", "--message", "no network"], "reject", "no network"),
    "question": (QUESTION, ["once", "--message", "Postgres"], "once", "Postgres"),
    "question turned down with a word": (QUESTION, ["reject", "--message", "you choose"], "once", "you choose"),
}


@pytest.mark.parametrize(("blocked", "words", "reply", "message"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_left_for_the_supervisor(
    desk: Desk, blocked: Blocked, words: list[str], reply: str, message: str | None
) -> None:
    job = desk.block(blocked)
    command = [sys.executable, str(ENTRY), "permissions", "reply", blocked.request_id, *words]
    with subprocess.Popen(command, cwd=desk.workspace, stdout=subprocess.PIPE, text=True) as process:
        while not desk.store.replies(job.id):
            assert process.poll() is None
        desk.store.update(job.id, blocked=None)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "goes on" in out
    assert desk.store.replies(job.id) == {blocked.request_id: (reply, message)}


def test_a_reject_always_says_something(desk: Desk) -> None:
    job = desk.block(BASH)
    done = desk.run("reply", "per_abc111", "reject", "--json")
    assert json.loads(done.stdout) == {
        "requestId": "per_abc111",
        "jobId": job.id,
        "recorded": True,
        "passedOn": False,
    }
    assert "Go on without it" in (desk.store.replies(job.id)["per_abc111"][1] or "")
