"""Prepends the safety header to what goes to OpenCode directly. See companion.hooks.safety_header_injector."""

import _thread
import os
import sys
import time

STDIN_LIMIT_S = 1.0
OURS = (b"opencode",)


def main() -> int:
    payload = read_stdin()
    if not any(word in payload for word in OURS):
        return 0
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(root, "scripts"))
    from companion.hooks.run import run

    return run("safety_header_injector", payload, sys.argv[1:])


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
