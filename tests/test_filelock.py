"""One holder at a time, for as long as any copy of the descriptor is open."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from companion import filelock
from companion.errors import CompanionError

HOLDER = "import sys; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


def test_a_second_holder_is_refused_until_the_first_lets_go(path: str) -> None:
    first = filelock.try_lock(path)
    assert first is not None
    assert filelock.try_lock(path) is None
    filelock.unlock(first)
    second = filelock.try_lock(path)
    assert second is not None
    filelock.unlock(second)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_the_file_is_private(path: str) -> None:
    with filelock.held(path, 0):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_waiting_ends_with_an_error_that_names_the_file(path: str) -> None:
    with filelock.held(path, 0), pytest.raises(filelock.LockTimeout, match="lock"):
        filelock.lock(path, 0.1)


def test_the_lock_is_free_after_an_error_in_the_block(path: str) -> None:
    with pytest.raises(KeyError), filelock.held(path, 0):
        raise KeyError
    with filelock.held(path, 0):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="a descriptor is handed on in the POSIX way")
def test_a_child_keeps_the_lock_that_its_parent_lets_go_of(path: str) -> None:
    fd = filelock.lock(path, 0)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd]
    ) as child:
        assert child.stdout and child.stdout.readline() == b"up\n"
        filelock.unlock(fd)
        assert filelock.try_lock(path) is None
        child.send_signal(signal.SIGKILL)
    with filelock.held(path, 5):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="a descriptor is handed on in the POSIX way")
def test_a_child_that_was_not_handed_the_lock_does_not_hold_it(path: str) -> None:
    fd = filelock.lock(path, 0)
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"up\n"
        filelock.unlock(fd)
        with filelock.held(path, 0):
            pass
        child.kill()


def test_a_place_that_cannot_hold_a_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompanionError, match="no-such-folder"):
        filelock.try_lock(str(tmp_path / "no-such-folder" / "lock"))
