"""Finding the opencode program, and knowing which version it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

from companion.errors import CompanionError
from companion.store import Store

OLDEST = (1, 15, 13)
NPM_PACKAGE = "opencode-ai"
# The release that `demo` and `setup --install` install, and that the tests run against.
NPM_VERSION = "1.18.33"
VERSION_LIMIT_S = 60


class NoOpenCode(CompanionError):
    """There is no opencode program."""


def npm_prefix(data_dir: str) -> str:
    """The folder of the data dir's own npm install."""
    return os.path.join(data_dir, "opencode")


def find(env: Mapping[str, str], data_dir: str) -> str:
    """The path of the opencode program: OPENCODE_BIN, PATH, the data dir's own. NoOpenCode if there is none."""
    chosen = env.get("OPENCODE_BIN")
    if chosen:
        found = shutil.which(os.path.expanduser(chosen), path=env.get("PATH"))
        if found is None:
            raise NoOpenCode(f"OPENCODE_BIN={chosen} is no program that can be run; correct or unset it.")
        return os.path.abspath(found)
    found = shutil.which("opencode", path=env.get("PATH")) or own(data_dir)
    if found is None:
        raise NoOpenCode(
            "opencode was not found on PATH. Install it with `npm install -g opencode-ai`, "
            "run `opencode-companion setup --install`, or set OPENCODE_BIN."
        )
    return os.path.abspath(found)


def own(data_dir: str) -> str | None:
    """The data dir's own opencode, if it was installed."""
    modules = os.path.join(npm_prefix(data_dir), "node_modules")
    return shutil.which("opencode", path=os.path.join(modules, ".bin"))


def require(env: Mapping[str, str], data_dir: str, store: Store) -> str:
    """The path of a program of a supported version; CompanionError if there is none.

    The program is asked once (it takes a second) and then only after its file has changed.
    """
    path = find(env, data_dir)
    facts = os.stat(path)
    stamp = f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}"
    version = store.program_version(path, stamp)
    if version is None:
        version = _ask_version(path, env)
        check_version(version)
        store.save_program_version(path, stamp, version)
    check_version(version)
    return path


def _ask_version(path: str, env: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            env={**env, "OPENCODE_DISABLE_AUTOUPDATE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoOpenCode(
            f"{path} cannot be run ({type(error).__name__}); reinstall opencode or set OPENCODE_BIN."
        ) from error
    return (done.stdout or done.stderr).decode(errors="replace").strip()


def check_version(text: str) -> tuple[int, int, int]:
    """The version in a program's or server's answer; CompanionError if it is not supported."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    if match is None:
        raise CompanionError(f"opencode did not tell its version but {text[:80]!r}; check OPENCODE_BIN.")
    version = (int(match[1]), int(match[2]), int(match[3]))
    found = ".".join(match.groups())
    if version[0] >= 2 or version == (0, 0, 0):
        raise CompanionError(
            f"opencode {found} was found, and 2.x is not supported yet. Install 1.x beside it: "
            f"`npm install -g {NPM_PACKAGE}@{NPM_VERSION}`, and set OPENCODE_BIN to it."
        )
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise CompanionError(
            f"opencode {found} was found, and {oldest} or newer is needed. Run `opencode upgrade`, or "
            f"`npm install -g {NPM_PACKAGE}@{NPM_VERSION}`."
        )
    return version
