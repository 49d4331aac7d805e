"""Which workspace a command is about, and which Claude session it belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping

from companion.errors import CompanionError


def find_workspace(cwd: str | None) -> str:
    """The real path of the workspace: `cwd` or the working directory, or the git top level above it."""
    try:
        start = os.path.realpath(cwd if cwd is not None else os.getcwd())
    except FileNotFoundError:
        raise CompanionError("The working directory is gone; change into a folder that exists, or use --cwd.") from None
    if not os.path.isdir(start):
        raise CompanionError(f"The folder {start} does not exist; correct --cwd.")
    folder = start
    while True:
        # A worktree and a submodule have a file here.
        if os.path.exists(os.path.join(folder, ".git")):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return start
        folder = parent


def claude_session(env: Mapping[str, str]) -> str | None:
    """The Claude session that this process was started from, if any."""
    return env.get("CLAUDE_CODE_SESSION_ID") or None
