"""What every test gets: an environment without the caller's settings, a data dir of its own, no leftovers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from companion.supervisor.processes import wait_gone

# Every process that a test starts inherits this variable, so that one that outlives the session is found.
RUN_MARK = "OPENCODE_COMPANION_TEST_RUN"
TEST_SETTINGS = ("OPENCODE_TEST_BIN", "CLAUDE_TEST_BINS")
FOREIGN_SETTINGS = ("OPENCODE_", "CLAUDE", "ANTHROPIC_", "XDG_")
# A process that was just told to end may still be at it.
GRACE_S = 5.0


def pytest_configure() -> None:
    """The suite also runs inside a Claude Code session; nothing of that session may reach the tests."""
    leave_callers_settings()


def leave_callers_settings() -> None:
    """Forget what the environment holds of settings for opencode, Claude Code and this plugin."""
    for name in list(os.environ):
        if name.startswith(FOREIGN_SETTINGS) and name not in TEST_SETTINGS:
            del os.environ[name]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data dir of the test's own, exported to what it starts. Its name needs quoting everywhere."""
    folder = tmp_path / "däta dir"
    monkeypatch.setenv("OPENCODE_COMPANION_DATA", str(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_process_survives() -> Iterator[None]:
    """Fails the run when a process that a test started is still there at its end, and ends that process."""
    mark = uuid.uuid4().hex
    os.environ[RUN_MARK] = mark
    yield
    alive = wait_gone(marked_processes(mark), GRACE_S)
    if alive:
        names = [f"{process.pid}: {_command_of(process)}" for process in alive]
        for process in alive:
            process.kill()
        pytest.fail("processes outlived the test session:\n" + "\n".join(names), pytrace=False)


def marked_processes(mark: str) -> list[psutil.Process]:
    """The live processes, other than this one, that carry the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(RUN_MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone, a zombie, or another user's
    return found


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return process.name()
