"""What our parent, the Claude Code process, can do for a job that ends later."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence


def cannot_be_woken(env: Mapping[str, str]) -> bool:
    """Whether this is a plain `claude -p`: there a waking hook would block the call that it belongs to.

    A session fed by stream-json is started with `-p` as well, but lives on while it is idle.
    """
    entrypoint = env.get("CLAUDE_CODE_ENTRYPOINT", "")
    if entrypoint == "cli":
        return False
    words = parent_arguments()
    if reads_stream(words):
        return False
    return bool(entrypoint) or "-p" in words or "--print" in words


def reads_stream(words: Sequence[str]) -> bool:
    """Whether a command line has `--input-format stream-json`."""
    pairs = zip(words, [*words[1:], ""])  # noqa: B905 - strict came with 3.10
    return any(
        word == "--input-format=stream-json" or (word == "--input-format" and following == "stream-json")
        for word, following in pairs
    )


def parent_arguments() -> list[str]:
    """Our parent's command line; empty where the system does not tell."""
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/cmdline", "rb") as file:
            return file.read().decode("utf-8", "replace").split("\0")
    except OSError:
        pass
    import subprocess

    try:
        told = subprocess.run(["ps", "-o", "args=", "-p", str(parent)], capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return told.stdout.decode("utf-8", "replace").split()
