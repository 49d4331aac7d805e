"""Installs opencode from npm into the data dir, for those who have none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from companion import filelock
from companion.datadir import ensure_private_dir
from companion.errors import CompanionError
from companion.failures import one_line
from companion.opencode import binary
from companion.progress import ticking

LIMIT_S = 900


def install(data_dir: str, progress: Callable[[str], None]) -> str:
    """The path of the installed program. CompanionError says what is missing. Safe when several start at once."""
    npm = shutil.which("npm")
    if npm is None:
        raise CompanionError("npm was not found, and opencode comes from npm; install Node.js, then run this again.")
    prefix = binary.npm_prefix(data_dir)
    ensure_private_dir(prefix)
    package = f"{binary.NPM_PACKAGE}@{binary.NPM_VERSION}"
    with filelock.held(os.path.join(prefix, "lock"), LIMIT_S):
        found = binary.own(data_dir)
        if found is not None:
            return found
        progress(f"Installing {package} from npm into {prefix} (about 180 MB, once) …")
        with ticking("npm is at work"):
            done = _run([npm, "install", "--prefix", prefix, "--no-fund", "--no-audit", package])
            if binary.own(data_dir) is None:
                # Some npm settings run no install scripts; this one puts the program in its place.
                node = shutil.which("node") or "node"
                _run([node, os.path.join(prefix, "node_modules", binary.NPM_PACKAGE, "postinstall.mjs")])
        found = binary.own(data_dir)
        if done.returncode != 0 or found is None:
            said = one_line(done.stdout.decode(errors="replace")[-600:], 300)
            raise CompanionError(f"npm could not install {package}: {said} — check the network, then run this again.")
        return found


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CompanionError(f"npm took longer than {LIMIT_S} s; check the network, then run this again.") from None
