"""What every command gets: settings, data dir, workspace, Claude session, and how the program is called."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from functools import cached_property

from companion.errors import CompanionError
from companion.settings import Settings
from companion.store import Store
from companion.workspace import claude_session, find_workspace

PROGRAM = "opencode-companion"


class Context:
    """The surroundings of one call. `cwd` is what `--cwd` said."""

    def __init__(self, env: Mapping[str, str], settings: Settings, data_dir: str, cwd: str | None) -> None:
        self.env = env
        self.settings = settings
        self.data_dir = data_dir
        self._cwd = cwd

    @cached_property
    def workspace(self) -> str:
        """The workspace of this call."""
        return find_workspace(self._cwd)

    @cached_property
    def session(self) -> str | None:
        """The Claude session of this call, None in a plain terminal."""
        return claude_session(self.env)

    @cached_property
    def store(self) -> Store:
        """The job store, opened on first use."""
        return Store(self.data_dir)

    @property
    def server_url(self) -> str:
        """The server that the user named, or empty for the managed one."""
        url = self.settings.text("OPENCODE_SERVER_URL").rstrip("/")
        if url and not url.startswith(("http://", "https://")):
            raise CompanionError(f"OPENCODE_SERVER_URL={url} is no http(s) address; correct or unset it.")
        return url

    def command(self, *words: str) -> str:
        """A command line that runs this program again from where it was called, ready to be pasted."""
        called = sys.argv[0]
        by_name = os.path.basename(called) == PROGRAM
        program = [PROGRAM] if by_name else ["python3", os.path.abspath(called)]
        return shlex.join([*program, *words])
