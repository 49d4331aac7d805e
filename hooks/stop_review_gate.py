"""The review gate at the end of a turn, off by default. See companion.hooks.stop_review_gate."""

import os
import sys

sys.dont_write_bytecode = True  # the plugin's folder belongs to Claude Code
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts"))
from companion.hooks import quick  # noqa: E402

# What a payload holds when a gate has sent Claude on already, as Claude Code writes it.
SENT_ON = (b'"stop_hook_active":true', b'"stop_hook_active": true')


def has_work(payload: bytes) -> bool:
    if b'"Stop"' not in payload or any(mark in payload for mark in SENT_ON):
        return False
    folder = quick.data_folder()
    from companion.hooks.gate_switch import may_be_on

    return may_be_on(folder)


if __name__ == "__main__":
    quick.start("stop_review_gate", has_work)
