"""How every hook starts and ends: the payload is read in bounded time; the first look mostly finds nothing to do.

Each start loads this anew from its source, so it stays small. A hook is bound to leave without a trace and with code 0,
whatever happens.
"""

import _thread
import os
import sys
import time

# Annotations alone; loading `typing` would cost a third of a hook's start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

STDIN_LIMIT_S = 1.0
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def start(name: str, has_work: "Callable[[bytes], bool]") -> "NoReturn":
    """Run companion.hooks.NAME on the payload on stdin, if the first look finds something to do; ends the process."""
    code = 0
    try:
        payload = _read_stdin()
        if has_work(payload):
            from companion.hooks.run import run

            code = run(name, payload, sys.argv[1:])
    except Exception:
        code = 0
    # All output has been written; taking the interpreter down in order would cost 2 ms more.
    os._exit(code)


def data_folder() -> str:
    """The data dir; from here on, compiled modules are taken from it, and written to it."""
    # Where they most likely lie already; which folder is the right one takes a module to find out.
    likely = os.environ.get("OPENCODE_COMPANION_DATA") or os.environ.get("CLAUDE_PLUGIN_DATA") or ""
    cache = os.path.join(likely, "pycache")
    sys.pycache_prefix = cache if likely and os.path.isdir(cache) else None
    sys.dont_write_bytecode = sys.pycache_prefix is None
    from companion.datadir import bytecode_dir, data_dir

    folder = data_dir(os.environ, ROOT)
    sys.pycache_prefix = bytecode_dir(folder)
    sys.dont_write_bytecode = sys.pycache_prefix is None
    return folder


def _read_stdin() -> bytes:
    """All of stdin. Ends the process when that takes too long."""
    done: list[bool] = []

    def end_when_late() -> None:
        time.sleep(STDIN_LIMIT_S)
        if not done:
            os._exit(0)

    _thread.start_new_thread(end_when_late, ())
    payload = sys.stdin.buffer.read()
    done.append(True)
    return payload
