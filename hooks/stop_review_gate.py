"""The review gate at the end of a turn, off by default. See companion.hooks.stop_review_gate."""

import _thread
import os
import sys
import time

STDIN_LIMIT_S = 1.0
# What a payload holds when a gate has sent Claude on already, as Claude Code writes it.
SENT_ON = (b'"stop_hook_active":true', b'"stop_hook_active": true')


def main() -> int:
    payload = read_stdin()
    if b'"Stop"' not in payload or any(mark in payload for mark in SENT_ON):
        return 0
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, os.path.join(root, "scripts"))
    # Where compiled modules most likely lie already; which folder is the right one takes a module to find out.
    likely = os.environ.get("OPENCODE_COMPANION_DATA") or os.environ.get("CLAUDE_PLUGIN_DATA") or ""
    cache = os.path.join(likely, "pycache")
    sys.pycache_prefix = cache if likely and os.path.isdir(cache) else None
    sys.dont_write_bytecode = sys.pycache_prefix is None
    from companion.datadir import data_dir
    from companion.hooks.gate_switch import may_be_on

    if not may_be_on(data_dir(os.environ, root)):
        return 0
    from companion.hooks.run import run

    return run("stop_review_gate", payload, sys.argv[1:])


def read_stdin() -> bytes:
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


if __name__ == "__main__":
    try:
        code = main()
    except Exception:
        code = 0
    # All output has been written; taking the interpreter down in order would cost 2 ms more.
    os._exit(code)
