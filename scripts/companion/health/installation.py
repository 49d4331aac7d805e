"""The companion's own parts: Python, variables, data folder, job store, plugin files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from companion import __version__
from companion.bootstrap import (
    PLUGIN_ROOT,
    RUNTIME_LOCK,
    RUNTIME_MODULES,
    environment_folder,
    environment_python,
)
from companion.context import Context
from companion.datadir import PLUGIN_NAME, data_dir
from companion.errors import SettingError
from companion.health import programs
from companion.health.check import Finding, fail, ok, warn
from companion.interpreters import python_of
from companion.settings import VARIABLES
from companion.store import MIGRATIONS, explain, is_damaged, store_path

IMPORT_LIMIT_S = 30
LOW_DISK = 200_000_000
FULL_DISK = 20_000_000
# What lies in these is others' (packages, opencode, byte code); the folders themselves are private.
_FOREIGN = ("env", "opencode", "pycache", "demo")
_BUSY_S = 5.0
_VARIABLE = "OPENCODE_COMPANION_DATA"


def python(context: Context) -> list[Finding]:
    """The interpreter, and whether the environment that supervisors run in can be used."""
    mine = f"Python {sys.version.split()[0]} ({sys.executable})."
    chosen = environment_python(context.data_dir)
    if chosen is None:
        return [_no_environment(context, mine)]
    broken = import_trouble(chosen, context.env)
    if broken:
        fix = context.command("doctor", "--fix")
        return [fail(f"{mine} The Python environment of {chosen} is broken: {broken}.", fix)]
    return [ok(f"{mine} Supervisors run in {chosen}.")]


def _no_environment(context: Context, mine: str) -> Finding:
    try:
        with open(os.path.join(context.data_dir, "env", "failed"), encoding="utf-8") as file:
            return fail(f"{mine} {file.read()}", context.command("doctor", "--fix"))
    except OSError:
        return warn(
            f"{mine} The Python environment is not there yet; the first task makes it.", context.command("setup")
        )


def import_trouble(chosen: str, env: Mapping[str, str]) -> str | None:
    """Why that Python cannot import the packages that the supervisor needs, None if it can."""
    try:
        said = programs.ask([chosen, "-I", "-c", "import " + ", ".join(RUNTIME_MODULES)], env, IMPORT_LIMIT_S)
    except OSError as error:
        return error.strerror or str(error)
    if said.code == 0:
        return None
    lines = said.err.strip().splitlines()
    return lines[-1] if lines else f"importing the packages ended with {said.code}"


def private_environment(context: Context) -> str | None:
    """The folder of the environment in the data dir, if that is the one in use."""
    with open(RUNTIME_LOCK, encoding="utf-8") as file:
        folder = environment_folder(context.data_dir, file.read())
    return folder if environment_python(context.data_dir) == python_of(folder) else None


def variables(context: Context) -> list[Finding]:
    """Whether every variable holds something usable."""
    findings = []
    for variable in VARIABLES:
        try:
            variable.read(context.env)
        except SettingError as error:
            findings.append(fail(f"{error}.", f"unset {variable.name}"))
    chosen = [variable.name for variable in VARIABLES if context.env.get(variable.name)]
    return findings or [ok(f"Set: {', '.join(chosen)}." if chosen else "All have their defaults.")]


def data_folder(context: Context) -> list[Finding]:
    """Where the data lies and why there, whether it is private, and whether the disk has room."""
    path = context.data_dir
    where = f"{path} ({_rule(context.env)})."
    if not os.path.lexists(path):
        return [warn(f"{where} It is not there yet; the first task makes it."), *_disk(path)]
    if not os.path.isdir(path):
        return [fail(f"{where} That is no folder.", f"remove what is in its place, or set {_VARIABLE}")]
    findings = [ok(where), *_disk(path)]
    if hasattr(os, "geteuid") and os.stat(path).st_uid != os.geteuid():
        findings.append(fail(f"{where} It belongs to somebody else.", f"set {_VARIABLE} to your own folder"))
    if not os.access(path, os.W_OK | os.X_OK):
        findings.append(fail(f"{where} It cannot be written to.", f"make it writable, or set {_VARIABLE} to another"))
    loose = list(too_open(path))
    if loose:
        names = ", ".join(os.path.relpath(name, path) for name, _ in loose[:4]) + (", …" if len(loose) > 4 else "")
        findings.append(fail(f"Others can read {names} in {path}.", context.command("doctor", "--fix")))
    return findings


def too_open(data: str) -> Iterator[tuple[str, int]]:
    """What in the data dir others may read, with the mode it should have. Nothing where modes mean nothing."""
    if sys.platform == "win32" or not os.path.isdir(data):
        return
    for folder, names, files in os.walk(data):
        for name in [".", *files]:
            path = os.path.normpath(os.path.join(folder, name))
            try:
                details = os.lstat(path)
            except OSError:
                continue
            if not stat.S_ISLNK(details.st_mode) and details.st_mode & 0o077:
                yield path, 0o700 if stat.S_ISDIR(details.st_mode) else 0o600
        if folder == data:
            for foreign in _FOREIGN:
                if foreign in names:
                    names.remove(foreign)
                    path = os.path.join(data, foreign)
                    if not os.path.islink(path) and os.stat(path).st_mode & 0o077:
                        yield path, 0o700


def _rule(env: Mapping[str, str]) -> str:
    if env.get(_VARIABLE):
        return f"from {_VARIABLE}"
    bare = {name: value for name, value in env.items() if name != "CLAUDE_PLUGIN_DATA"}
    by_place = data_dir(bare, PLUGIN_ROOT)
    if by_place != data_dir(bare, os.sep):
        return "beside the installed plugin"
    if data_dir(env, PLUGIN_ROOT) != by_place:
        return "from CLAUDE_PLUGIN_DATA"
    foreign = env.get("CLAUDE_PLUGIN_DATA")
    return "your data folder" + (f"; CLAUDE_PLUGIN_DATA={foreign} is another plugin's" if foreign else "")


def _disk(path: str) -> list[Finding]:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    free = shutil.disk_usage(path).free
    said = f"{free / 1e6:,.0f} MB are free there."
    if free < FULL_DISK:
        return [fail(f"The disk is full: {said}", "free some space")]
    return [warn(f"The disk is nearly full: {said}", "free some space") if free < LOW_DISK else ok(said)]


def job_store(context: Context) -> list[Finding]:
    """Whether the store can be read and is whole. Only looks: what is broken stays as it is."""
    path = store_path(context.data_dir)
    if not os.path.lexists(path):
        return [ok("There is none yet; the first task makes it.")]
    try:
        if is_damaged(path):
            fix = f"{context.command('status')}   (sets it aside and begins a new one)"
            return [fail(f"{path} is damaged.", fix)]
        with open_to_look(path) as db:
            schema = db.execute("PRAGMA user_version").fetchone()[0]
            if schema > len(MIGRATIONS):
                fix = "claude plugin update opencode"
                return [fail(f"{path} was written by a newer version (schema {schema} of {len(MIGRATIONS)}).", fix)]
            if schema < len(MIGRATIONS):
                return [warn(f"{path} has schema {schema}; the next command brings it to {len(MIGRATIONS)}.")]
            count, active = db.execute(
                "SELECT count(*), count(CASE WHEN status IN ('queued', 'running') THEN 1 END) FROM jobs"
            ).fetchone()
        return [ok(f"{path}: whole, {count} jobs, {active} of them not ended.")]
    except sqlite3.OperationalError as error:
        return [fail(f"{path}: {explain(error)}", f"correct that, or set {_VARIABLE} to another folder")]


class open_to_look:
    """The store's file, opened read-only for the length of a `with` block; named like the function it is used as."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_BUSY_S)
        self._db.row_factory = sqlite3.Row

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, *_: object) -> None:
        self._db.close()


def plugin(context: Context) -> list[Finding]:
    """The manifest that Claude Code reads."""
    path = os.path.join(PLUGIN_ROOT, ".claude-plugin", "plugin.json")
    reinstall = f"claude plugin update {PLUGIN_NAME}"
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        name, version = manifest["name"], manifest["version"]
    except OSError as error:
        return [fail(f"{path} cannot be read: {error.strerror}.", reinstall)]
    except (ValueError, KeyError, TypeError) as error:
        return [fail(f"{path} is no manifest ({type(error).__name__}: {error}).", reinstall)]
    if name != PLUGIN_NAME:
        return [fail(f"{path} names the plugin {name!r} instead of {PLUGIN_NAME!r}.", reinstall)]
    if version != __version__:
        return [fail(f"{path} says version {version}, the program is {__version__}.", reinstall)]
    return [ok(f"Version {version} in {PLUGIN_ROOT}.")]
