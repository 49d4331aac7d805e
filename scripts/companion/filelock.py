"""An advisory lock on a file, for one holder among processes. The platforms differ here and nowhere else.

On POSIX the lock belongs to the open file description: a child that inherits the descriptor holds the lock
too, and it is free when the last copy is closed, also by a kill.
"""

from __future__ import annotations

import os
import sys
import time

from .errors import CompanionError

POLL_S = 0.05

if sys.platform == "win32":
    import msvcrt

    def _acquire(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _acquire(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(fd: int) -> None:
        """Closing does it. LOCK_UN would also take the lock from a child that was handed the descriptor."""


class LockTimeout(CompanionError):
    """Another process holds the lock for longer than the caller can wait."""


def try_lock(path: str) -> int | None:
    """The descriptor that holds the lock, or None if another process has it. The file gets mode 0600."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CompanionError(f"The lock file {path} cannot be opened: {error.strerror}.") from error
    try:
        if _acquire(fd):
            return fd
    except OSError as error:
        os.close(fd)
        raise CompanionError(
            f"The lock file {path} cannot be locked: {error.strerror}; "
            "set OPENCODE_COMPANION_DATA to a folder on a local disk."
        ) from error
    os.close(fd)
    return None


def lock(path: str, timeout_s: float) -> int:
    """Like try_lock, but waits for up to `timeout_s` seconds; then LockTimeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        fd = try_lock(path)
        if fd is not None:
            return fd
        if time.monotonic() >= deadline:
            raise LockTimeout(f"Another process has held {path} for {timeout_s:g} s; end it, or try again later.")
        time.sleep(POLL_S)


def unlock(fd: int) -> None:
    """Closes the descriptor. The lock is free unless a child still has a copy of it."""
    try:
        _release(fd)
    finally:
        os.close(fd)


class held:
    """Holds the lock for the length of a `with` block; named like the function that it is used as."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def __enter__(self) -> int:
        self._fd = lock(self._path, self._timeout_s)
        return self._fd

    def __exit__(self, *_: object) -> None:
        unlock(self._fd)
