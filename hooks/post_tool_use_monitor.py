"""Sees a job being dispatched; arranges for its answer to come by itself. See companion.hooks.post_tool_use_monitor."""

import os
import sys

sys.dont_write_bytecode = True  # the plugin's folder belongs to Claude Code
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts"))
from companion.hooks import quick  # noqa: E402

OURS = (b"opencode-companion", b"opencode_companion", b"opencode-rescue")


def has_work(payload: bytes) -> bool:
    if b"UserPromptSubmit" in payload and "--wake" in sys.argv:
        from companion.hooks import glance

        return glance.finds(glance.ACTIVE, payload, quick.data_folder())
    if not any(word in payload for word in OURS):
        return False
    quick.data_folder()
    return True


if __name__ == "__main__":
    quick.start("post_tool_use_monitor", has_work)
