"""What every test gets: an environment without the caller's settings, a data dir of its own, no leftovers."""

from __future__ import annotations

import os
import sys
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
# Not even imported on Windows, and why. What is left shows that the rest holds there.
NOT_ON_WINDOWS = {
    "claude": "drives Claude Code through a pseudo-terminal",
    "opencode": "runs supervisors, which need POSIX signals and descriptors",
    "test_cli.py": "a shell script stands in for opencode",
    "test_doctor.py": "shell scripts stand in for programs",
    "test_heal.py": "starts supervisors, which need POSIX signals and descriptors",
    "test_hooks.py": "hooks ask for their parent process in the POSIX way",
    "test_hooks_injector.py": "runs what the hook has changed in bash",
    "test_hooks_survive.py": "hooks are started by a shell script",
    "test_monitor.py": "starts supervisors, which need POSIX signals and descriptors",
    "test_progress.py": "needs a pseudo-terminal",
    "test_review_change.py": "file modes and names that only POSIX has",
    "test_review_command.py": "starts supervisors, which need POSIX signals and descriptors",
    "test_setup.py": "shell scripts stand in for programs",
    "test_status.py": "needs a pseudo-terminal",
    "test_userconfig.py": "file modes, links and pipes",
    "test_watch.py": "needs a pseudo-terminal",
}
collect_ignore = list(NOT_ON_WINDOWS) if sys.platform == "win32" else []


def pytest_report_header() -> list[str]:
    """What is left out on this system."""
    return [f"left out on Windows: {name} ({NOT_ON_WINDOWS[name]})" for name in collect_ignore]


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
