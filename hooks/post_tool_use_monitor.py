"""Sees a job being dispatched; arranges for its answer to come by itself. See companion.hooks.post_tool_use_monitor."""

import _thread
import os
import sys
import time

STDIN_LIMIT_S = 1.0
OURS = (b"opencode-companion", b"opencode_companion", b"opencode-rescue")
PROMPT = b"UserPromptSubmit"


def main() -> int:
    payload = read_stdin()
    at_prompt = PROMPT in payload and "--wake" in sys.argv
    if not at_prompt and not any(word in payload for word in OURS):
        return 0
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, os.path.join(root, "scripts"))
    # Where compiled modules most likely lie already; which folder is the right one takes a module to find out.
    likely = os.environ.get("OPENCODE_COMPANION_DATA") or os.environ.get("CLAUDE_PLUGIN_DATA") or ""
    cache = os.path.join(likely, "pycache")
    sys.pycache_prefix = cache if likely and os.path.isdir(cache) else None
    sys.dont_write_bytecode = sys.pycache_prefix is None
    from companion.datadir import bytecode_dir, data_dir

    folder = data_dir(os.environ, root)
    sys.pycache_prefix = bytecode_dir(folder)
    sys.dont_write_bytecode = sys.pycache_prefix is None
    if at_prompt:
        from companion.hooks import glance

        if not glance.finds(glance.ACTIVE, payload, folder):
            return 0
    from companion.hooks.run import run

    return run("post_tool_use_monitor", payload, sys.argv[1:])


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
