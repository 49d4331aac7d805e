"""Entry point: checks the interpreter, says where byte code goes, and hands over to `companion.cli`.

Parses on Python 3.6 and newer, so that an old interpreter gets a sentence instead of a syntax error.
"""

import os
import sys

OLDEST_PYTHON = (3, 10)
NEWER_PYTHONS = ("python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3", "python")
# A program started from a desktop often has a PATH without the folders that package managers install to.
USUAL_FOLDERS = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")

SCRIPTS = os.path.dirname(os.path.abspath(__file__))


def run() -> None:
    """Runs the command line in this interpreter and ends the process with its exit code."""
    if sys.version_info < OLDEST_PYTHON:
        replace_old_python(os.path.abspath(sys.argv[0]))
    if sys.path[:1] != [SCRIPTS]:
        sys.path.insert(0, SCRIPTS)
    if sys.pycache_prefix is None:
        # The plugin folder belongs to Claude Code and may be read-only: no __pycache__ in it. The data dir is ours,
        # so byte code goes there even where the user wants none beside sources: without it every start costs double.
        sys.dont_write_bytecode = True
        from companion.datadir import bytecode_dir, data_dir

        sys.pycache_prefix = bytecode_dir(data_dir(os.environ, os.path.dirname(SCRIPTS)))
        sys.dont_write_bytecode = sys.pycache_prefix is None
    else:
        sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

    from companion.cli import main

    sys.exit(main(sys.argv[1:]))


def replace_old_python(script: str) -> None:
    """Runs `script` with the same arguments in a newer Python; ends with a message where there is none."""
    path = newer_python()
    if not path:
        oldest, mine = ("{}.{}".format(*version) for version in (OLDEST_PYTHON, sys.version_info))
        sys.exit(
            f"opencode-companion: this is Python {mine}, and no Python {oldest} or newer was found on PATH; "
            f"install Python {oldest} or newer and run this again."
        )
    command = [path, script, *sys.argv[1:]]
    if os.name == "nt":
        import subprocess

        sys.exit(subprocess.call(command))
    os.execv(path, command)


def newer_python() -> str:
    """The path of a Python that can run the program, or "". Each is tried, for a shim may exist and fail."""
    import subprocess

    probe = f"import sqlite3, sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *USUAL_FOLDERS]
    for name in NEWER_PYTHONS:
        for folder in filter(None, folders):
            path = os.path.join(folder, name + (".exe" if os.name == "nt" else ""))
            if not os.path.isfile(path) or not os.access(path, os.X_OK):
                continue
            try:
                subprocess.check_output([path, "-c", probe], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            except (OSError, subprocess.CalledProcessError):
                continue
            return path
    return ""


if __name__ == "__main__":
    run()
