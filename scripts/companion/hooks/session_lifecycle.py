"""What a Claude session needs at its start, and at each prompt the answers that nobody has read yet."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

from companion.hooks.payload import text
from companion.hooks.run import answer

BUSY_S = 1.0
_TASK_ID = re.compile(r"<task-id>\s*([0-9A-Za-z_-]+)\s*</task-id>")
# Such a prompt comes from Claude Code itself, not from a person.
NOTIFICATION = "<task-notification>"
# Slash commands that dispatch a job.
DISPATCHING = ("/opencode:rescue", "/opencode:review", "/opencode:adversarial-review")


def main(payload: dict[str, Any], env: Mapping[str, str], data_dir: str, arguments: list[str]) -> int:
    """Export at the session's start, take over after /clear, announce at a prompt."""
    event = text(payload, "hook_event_name")
    if event == "SessionStart":
        export(text(payload, "session_id"), env, data_dir)
        if text(payload, "source") == "clear":
            take_over(payload, data_dir)
    elif event == "UserPromptSubmit":
        at_prompt(payload, env, data_dir)
    return 0


def export(session: str, env: Mapping[str, str], data_dir: str) -> None:
    """Give the session's Bash the data dir, and the session's id where Claude Code does not."""
    path = env.get("CLAUDE_ENV_FILE")
    if not path:
        return
    lines = [f"export OPENCODE_COMPANION_DATA={shlex.quote(data_dir)}\n"]
    if session:
        lines.append(f"export CLAUDE_CODE_SESSION_ID={shlex.quote(session)}\n")
    with open(path, "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(lines))


def take_over(payload: Mapping[str, Any], data_dir: str) -> None:
    """/clear gave this process a new session: the unread answers of the one before belong to it."""
    from companion.store import Store
    from companion.workspace import find_workspace

    if os.path.exists(os.path.join(data_dir, "jobs.db")):
        with Store(data_dir, BUSY_S, repair=False) as store:
            store.follow_claude(find_workspace(text(payload, "cwd") or None), text(payload, "session_id"))


def at_prompt(payload: Mapping[str, Any], env: Mapping[str, str], data_dir: str) -> None:
    """Note a turn's beginning for the gate, say how to run a rescue where nothing can wake Claude, announce answers."""
    if not text(payload, "prompt").lstrip().startswith(NOTIFICATION):
        begin_gate_turn(payload, data_dir)
    if text(payload, "prompt").startswith(DISPATCHING):
        from companion.hooks.claude_process import cannot_be_woken

        if cannot_be_woken(env):
            answer("UserPromptSubmit", additionalContext=PRINT_MODE_NOTE)
            return
    over = ended_agent(text(payload, "prompt"))
    announce(payload, env, data_dir, over)


def begin_gate_turn(payload: Mapping[str, Any], data_dir: str) -> None:
    """Where the review gate is on, note what the working tree holds before Claude works on it."""
    from companion.hooks.gate_switch import may_be_on

    if not may_be_on(data_dir):
        return
    from companion.errors import CompanionError
    from companion.hooks.stop_review_gate import begin_turn, is_on
    from companion.workspace import find_workspace

    workspace = find_workspace(text(payload, "cwd") or None)
    if is_on(data_dir, workspace):
        try:
            begin_turn(text(payload, "session_id"), data_dir, workspace)
        except CompanionError:
            pass  # the gate then compares with the last commit, and tells itself what is amiss


def announce(payload: Mapping[str, Any], env: Mapping[str, str], data_dir: str, over: str) -> None:
    """Put the reports of ended jobs that nobody has read before the model, along with the prompt."""
    from companion.hooks.delivery import PROMPT, Turn, claim, turn_of
    from companion.hooks.frame import framed_reports, inline_limit
    from companion.store import Store, store_path

    if not os.path.exists(store_path(data_dir)):
        return
    session = text(payload, "session_id")
    with Store(data_dir, BUSY_S, repair=False) as store:
        if over:
            store.adopt_jobs(session)
            store.note_agent_ended(over)
        ended = store.jobs(claude_session=session, active=False, limit=50)
        ours = [job for job in reversed(ended) if turn_of(store, job, payload, patient=False) is Turn.OURS]
        claimed = [job for job in ours if claim(store, job, session, PROMPT)]
        if not claimed:
            return
        told, shown = framed_reports(claimed, inline_limit(env))
        answer("UserPromptSubmit", additionalContext=told)
        for job in claimed:
            if job in shown:
                store.confirm_delivery(job.id, session, PROMPT)
            else:
                store.release_delivery(job.id, session)


def ended_agent(prompt: str) -> str:
    """The id of the subagent whose end a notification tells, if it is one."""
    if not prompt.lstrip().startswith(NOTIFICATION):
        return ""
    found = _TASK_ID.search(prompt)
    return found.group(1) if found else ""


PRINT_MODE_NOTE = (
    "[opencode plugin] This session cannot be woken when a job ends (claude -p). So run the command without "
    "--background and with a Bash timeout of 600000: it prints the report. If it exits with 2, run the command that it "
    "names, again for as long as it exits with 2."
)
