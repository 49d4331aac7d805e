"""Runs a program for a short look at it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Said(NamedTuple):
    """How a program ended. `code` is None where it had to be ended."""

    code: int | None
    out: str
    err: str


def ask(
    command: Sequence[str], env: Mapping[str, str], limit_s: float, stdin: bytes = b"", cwd: str | None = None
) -> Said:
    """Run a program to its end, or end it and what it started after `limit_s` seconds. OSError if it cannot start."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout=limit_s)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        _end(process)
        try:
            out, err = process.communicate(timeout=2)
        except subprocess.TimeoutExpired:  # something that left the group holds its output
            out = err = b""
        code = None
    except BaseException:
        _end(process)
        raise
    return Said(code, out.decode(errors="replace"), err.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    else:
        process.kill()
