"""The log files of a workspace: private, appended to, rotated by size."""

from __future__ import annotations

import os

MAX_BYTES = 2_000_000


def workspace_key(data_dir: str, workspace: str, server: str) -> str:
    """A short name for what one supervisor looks after, fit for a file name and unique on the machine."""
    import hashlib  # late: `status` seldom needs a key

    identity = os.fsencode(f"{os.path.realpath(data_dir)}\0{workspace}\0{server}")
    return hashlib.sha256(identity).hexdigest()[:16]


def log_path(data_dir: str, name: str, key: str) -> str:
    """The path of a log file: `logs/NAME-KEY.log` in the data dir."""
    return os.path.join(data_dir, "logs", f"{name}-{key}.log")


def open_log(path: str) -> int:
    """A descriptor to append to the log, which is rotated first if it has grown too large."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    rotate(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def rotate(path: str) -> None:
    """Keep the last MAX_BYTES of a log that grew beyond as `PATH.1`; truncated, so that writers can go on."""
    try:
        if os.path.getsize(path) <= MAX_BYTES:
            return
        with open(path, "rb") as log:
            log.seek(-MAX_BYTES, os.SEEK_END)
            tail = log.read()
        with open(os.open(path + ".1", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as older:
            older.write(tail)
        os.truncate(path, 0)
    except FileNotFoundError:
        pass


def tail(path: str, max_bytes: int = 4_000) -> str:
    """The end of a log, for an error message."""
    try:
        with open(path, "rb") as log:
            log.seek(max(0, os.path.getsize(path) - max_bytes))
            return log.read().decode(errors="replace")
    except OSError:
        return ""
