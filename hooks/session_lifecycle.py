"""Prepares a Claude session, and announces unread answers. See companion.hooks.session_lifecycle."""

import os
import sys

sys.dont_write_bytecode = True  # the plugin's folder belongs to Claude Code
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts"))
from companion.hooks import quick  # noqa: E402


def has_work(payload: bytes) -> bool:
    if b"SessionStart" not in payload and b"UserPromptSubmit" not in payload:
        return False
    folder = quick.data_folder()
    if b"SessionStart" in payload or b"/opencode:" in payload:
        return True
    from companion.hooks import gate_switch, glance

    # Besides answers, the notice of a subagent's end is of interest where one has dispatched a job.
    question = glance.DISPATCHES if b"<task-notification>" in payload else glance.UNREAD
    return gate_switch.may_be_on(folder) or glance.finds(question, payload, folder)


if __name__ == "__main__":
    quick.start("session_lifecycle", has_work)
