"""The command line: finds the command, gives it its surroundings, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
from typing import NoReturn

from companion import __version__
from companion.bootstrap import PLUGIN_ROOT, ensure_environment, environment_python, stderr_progress
from companion.commands import INTERNAL, SUMMARIES, module_name
from companion.context import PROGRAM, Context
from companion.datadir import data_dir, ensure_private_dir
from companion.errors import CompanionError, SettingError, UsageError
from companion.output import EXIT_ERROR, EXIT_INTERRUPTED, show, silence_broken_pipe, tell
from companion.settings import JOB_MARKER, VARIABLES, Settings
from companion.store import store_path
from companion.supervisor.spawn import COMMAND as SUPERVISE

# These only read the store: they serve what it holds also where no environment can be made.
_STORE_ONLY = ("status", "watch", "result", "wait-and-result", "task-resume-candidate", "config")
# These make the environment where they need it, or say that there is none.
_SELF_RELIANT = ("heal", "permissions", "setup", "doctor")


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See `{self.prog} --help`.")


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code. Errors become one line on stderr."""
    try:
        return _run(argv)
    except BrokenPipeError:
        silence_broken_pipe()
        return EXIT_ERROR
    except KeyboardInterrupt:
        tell("Interrupted; jobs that were started go on.")
        return EXIT_INTERRUPTED
    except CompanionError as error:
        tell(f"{PROGRAM}: {error}")
        return EXIT_ERROR
    except OSError as error:
        tell(f"{PROGRAM}: {error.filename or 'the system'}: {error.strerror or error}")
        return EXIT_ERROR


def _run(argv: list[str]) -> int:
    if argv[:1] == [SUPERVISE]:
        from companion.supervisor.loop import main as supervise

        data, workspace, server_url, lock_fd = argv[1:5]
        return supervise(data, workspace, server_url, int(lock_fd))
    if not argv or argv[0] in ("-h", "--help", "help"):
        show(_help())
        return 0
    if argv[0] in ("-V", "--version"):
        show(f"{PROGRAM} {__version__}")
        return 0
    name, *words = argv
    if name not in SUMMARIES and name not in INTERNAL:
        raise UsageError(f"There is no command {name!r}{_nearest(name)}. See `{PROGRAM} --help`.")
    command = importlib.import_module(module_name(name))
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--cwd", metavar="DIR", help="work for this folder's workspace instead of the current one's")
    command.configure(parser)
    options = _parse(parser, words)
    if os.environ.get(JOB_MARKER):
        raise CompanionError(
            "This runs inside a job of the companion, and a job does not delegate on: do the work here yourself."
        )
    data = data_dir(os.environ, PLUGIN_ROOT)
    code: int = command.run(Context(os.environ, _prepare(name, data), data, options.cwd), options)
    return code


def _prepare(command: str, data: str) -> Settings:
    """The settings; with the data folder and the environment in place, as far as the command needs them."""
    try:
        settings = Settings.from_env(os.environ)
    except SettingError:
        if command != "doctor":
            raise
        settings = _usable_settings()
    try:
        ensure_private_dir(data)
    except CompanionError:
        if command != "doctor" and not (command in _STORE_ONLY and os.path.exists(store_path(data))):
            raise
    if command not in _SELF_RELIANT:
        _ensure_environment(command, data)
    return settings


def _usable_settings() -> Settings:
    """For the command that tells which variables are unusable: their defaults in their place."""
    values: dict[str, str | int | None] = {}
    for variable in VARIABLES:
        try:
            values[variable.name] = variable.read(os.environ)
        except SettingError:
            values[variable.name] = variable.default
    return Settings(values)


def _parse(parser: Parser, words: list[str]) -> argparse.Namespace:
    """Options may stand before, between and after words of text; what follows `--` is text, whatever it looks like."""
    after: list[str] = []
    if "--" in words:
        split = words.index("--")
        words, after = words[:split], words[split + 1 :]
    options = parser.parse_intermixed_args(words)
    if after:
        if not hasattr(options, "text"):
            parser.error(f"unrecognized arguments: {' '.join(after)}")
        options.text += after
        options.literal = True
    return options


def _ensure_environment(command: str, data: str) -> None:
    """The first start makes the Python environment that supervisors run in."""
    if environment_python(data) is not None:
        return
    try:
        ensure_environment(data, stderr_progress)
    except CompanionError as error:
        if command not in _STORE_ONLY or not os.path.exists(store_path(data)):
            raise
        tell(f"{PROGRAM}: {error}")


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, SUMMARIES, 1)
    return f", did you mean {near[0]!r}?" if near else ""


def _help() -> str:
    width = max(map(len, SUMMARIES))
    commands = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in SUMMARIES.items())
    return f"""\
usage: {PROGRAM} COMMAND [options]

Hands work to OpenCode, another coding agent, and brings the answer back. A job goes on whatever happens to the
command that started it, and its answer is kept.

commands:
{commands}

`{PROGRAM} COMMAND --help` tells more. JOB is a job's id or the beginning of one.
Exit codes: 0 done, 1 error, 2 not ended yet, 130 interrupted."""
