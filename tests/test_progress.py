"""While a person waits, a line on stderr says what goes on, and goes without a trace; nobody else sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobfactory import make_job
from terminals import ENTRY, Terminal, companion

from companion import bootstrap, filelock
from companion.jobs import Activity, Job, now_ms
from companion.logs import workspace_key
from companion.progress import CLEAR
from companion.states import Status
from companion.store import Store
from companion.supervisor.spawn import supervisor_lock

pytestmark = pytest.mark.slow

SCRIPTS = str(ENTRY.parent)


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    data_dir.mkdir(mode=0o700)
    with Store(str(data_dir)) as store:
        yield store


@pytest.fixture
def job(store: Store, data_dir: Path, tmp_path: Path) -> Iterator[Job]:
    """A job that runs; the test is its supervisor."""
    job = make_job(workspace=str(tmp_path), title="mend it")
    lock = filelock.try_lock(supervisor_lock(str(data_dir), workspace_key(str(data_dir), job.workspace, "")))
    assert lock is not None
    store.add(job)
    store.start(job.id)
    yield job
    filelock.unlock(lock)


def test_who_waits_for_a_job_sees_what_it_does(store: Store, job: Job, tmp_path: Path) -> None:
    with companion("wait-and-result", job.id, cwd=tmp_path, columns=60) as terminal:
        terminal.shows("starting opencode")
        store.update(job.id, phase="working", activity=Activity("bash", "npm test \x1b[31m" + "x" * 100, now_ms()))
        terminal.shows("working · bash: npm test ␛[31mxxx")
        assert len(terminal.text.splitlines()) == 1
        store.finish(job.id, Status.COMPLETED, result="the answer")
        assert terminal.exit_code() == 0
        assert terminal.text.splitlines()[0] == f"## Job: {job.id}"
        assert f"{CLEAR}## Job".encode() in terminal.raw


def test_the_line_goes_when_the_waiting_is_interrupted(job: Job, tmp_path: Path) -> None:
    with companion("wait-and-result", job.id, cwd=tmp_path) as terminal:
        terminal.shows("starting opencode")
        terminal.type("\x03")
        assert terminal.exit_code() == 130
        assert "starting" not in terminal.text


def test_a_terminal_that_cannot_move_its_cursor_shows_no_line(store: Store, job: Job, tmp_path: Path) -> None:
    words = ("wait-and-result", job.id, "--max-wait", "1")
    with companion(*words, cwd=tmp_path, env={"TERM": "dumb"}) as terminal:
        assert terminal.exit_code() == 2
    assert b"\x1b" not in terminal.raw
    assert terminal.raw.startswith(job.id.encode())


def test_without_a_terminal_there_is_no_line(store: Store, job: Job, tmp_path: Path) -> None:
    words = [sys.executable, str(ENTRY), "wait-and-result", job.id, "--max-wait", "1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(job.id)


def in_terminal(code: str, *words: str, cwd: Path, **env: str) -> Terminal:
    program = f"import sys; sys.path.insert(0, {SCRIPTS!r})\n{code}"
    return Terminal([sys.executable, "-c", program, *words], cwd, env=env)


def test_who_waits_for_another_start_sees_that(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "env").mkdir(parents=True)
    lock_file = tmp_path / "requirements.lock"
    lock_file.write_text("nothing-like-it==1.0\n")
    code = "from companion import bootstrap; bootstrap.ensure_environment(sys.argv[1], print, sys.argv[2])"
    with (
        filelock.held(str(data / "env" / "lock"), 0),
        in_terminal(code, str(data), str(lock_file), cwd=tmp_path) as terminal,
    ):
        terminal.shows("Waiting for another start", "s waiting")


def test_who_waits_for_npm_sees_that(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    os.mkfifo(tmp_path / "go on")
    for name, does in (("npm", f"read line < '{tmp_path}/go on'; echo no network; exit 1"), ("node", "exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    code = "from companion.opencode.install import install; install(sys.argv[1], print)"
    with in_terminal(code, str(tmp_path / "data"), cwd=tmp_path, PATH=f"{programs}:/usr/bin:/bin") as terminal:
        terminal.shows("Installing opencode-ai", "s npm is at work")
        (tmp_path / "go on").write_text("now\n")
        assert terminal.exit_code() == 1
        assert "no network" in terminal.text and "npm is at work" not in terminal.text


def test_the_packages_can_be_used_in_the_running_program(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(sys.path)
    assert bootstrap.use_environment("/nowhere")  # the tests' own Python has them
    assert sys.path == before
