"""Holds a subagent's final text against its jobs. See companion.hooks.vague_result_detector."""

import os
import sys

sys.dont_write_bytecode = True  # the plugin's folder belongs to Claude Code
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts"))
from companion.hooks import quick  # noqa: E402


def has_work(payload: bytes) -> bool:
    folder = quick.data_folder()
    if b"opencode" in payload:
        return True
    from companion.hooks import glance

    # Any agent may have dispatched a job, also one whose text does not say so.
    return glance.finds(glance.DISPATCHES, payload, folder)


if __name__ == "__main__":
    quick.start("vague_result_detector", has_work)
