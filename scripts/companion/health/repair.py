"""What `doctor --fix` mends."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import NamedTuple

from companion.bootstrap import ensure_environment, environment_python, stderr_progress
from companion.context import Context
from companion.datadir import ensure_private_dir
from companion.errors import CompanionError
from companion.failures import one_line
from companion.healing import heal
from companion.health import installation
from companion.opencode import userconfig


class Repair(NamedTuple):
    """What was done about one thing: `done`, `nothing` (it was well already), or `refused`, with the reason."""

    name: str
    outcome: str
    detail: str


def repair_all(context: Context) -> list[Repair]:
    """Mend what can be mended without asking. What cannot is said, and the rest is mended all the same."""
    return [
        _attempt("modes", lambda: modes(context)),
        _attempt("python", lambda: environment(context)),
        _attempt("jobs", lambda: jobs(context)),
        _attempt("config", lambda: permissions(context)),
    ]


def _attempt(name: str, action: Callable[[], str | None]) -> Repair:
    try:
        done = action()
    except (CompanionError, OSError) as error:
        return Repair(name, "refused", one_line(str(error), 800))
    return Repair(name, "done", done) if done else Repair(name, "nothing", "")


def modes(context: Context) -> str | None:
    """Make the data dir private, and all that is the companion's own in it."""
    ensure_private_dir(context.data_dir)
    loose = list(installation.too_open(context.data_dir))
    for path, mode in loose:
        os.chmod(path, mode)
    return f"{len(loose)} files and folders in {context.data_dir} are private again." if loose else None


def environment(context: Context) -> str | None:
    """Make the Python environment where it is missing or broken."""
    python = environment_python(context.data_dir)
    if python is not None:
        if installation.import_trouble(python, context.env) is None:
            return None
        folder = installation.private_environment(context)
        if folder is None:
            raise CompanionError(f"{python} is not the companion's own; reinstall its packages.")
        # Under this name the next one that makes an environment removes it; a supervisor may still run in it.
        os.rename(folder, os.path.join(os.path.dirname(folder), f"build-{secrets.token_hex(4)}"))
    return f"Made the Python environment of {ensure_environment(context.data_dir, stderr_progress)}."


def jobs(context: Context) -> str | None:
    """Heal the jobs of every workspace."""
    outcome = heal(context, everywhere=True, dry_run=False)
    if outcome.trouble:
        raise CompanionError(outcome.trouble)
    return "; ".join(action.sentence for action in outcome.actions) or None


def permissions(context: Context) -> str | None:
    """Write the four headless permissions into the user's global opencode config."""
    written = userconfig.allow_headless(context.env)
    if written.path is None:
        return None
    names = ", ".join(userconfig.HEADLESS)
    kept = f" (before: {written.backup})" if written.backup else ""
    return f"{written.path} no longer asks about {names}{kept}."
