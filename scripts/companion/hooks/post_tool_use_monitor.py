"""Sees jobs being dispatched, waited for and printed, and records what only a hook can know: in whose thread.

With `--wake` (an asynchronous hook) it then stays and wakes Claude when such a job has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from companion.hooks import waking
from companion.hooks.answers import printed
from companion.hooks.claude_process import cannot_be_woken
from companion.hooks.frame import wait_command
from companion.hooks.payload import (
    COMPANION,
    DISPATCH,
    agent_text,
    command_output,
    in_background,
    is_rescue_agent,
    job_ids,
    mapping,
    milliseconds,
    text,
)
from companion.hooks.run import answer
from companion.jobs import Job, now_ms
from companion.store import ADOPTION_MS, Store

BUSY_S = 1.0
# The events at which Claude Code takes a note.
ANSWERED = ("PostToolUse", "PostToolUseFailure")
# Of a command without a visible job: enough to recognise the task's text in it.
KEPT_COMMAND_CHARS = 200_000


def main(payload: dict[str, Any], env: Mapping[str, str], data_dir: str, arguments: list[str]) -> int:
    """Record, and say what is to be done where nothing wakes Claude; or wait and wake it."""
    if not concerns_jobs(payload):
        return 0
    if "--wake" in arguments:
        return waking.wake(payload, env, data_dir)
    with Store(data_dir, BUSY_S, repair=False) as store:
        note = observe(store, payload, env)
    event = text(payload, "hook_event_name")
    if note and event in ANSWERED:
        answer(event, additionalContext=note)
    return 0


def concerns_jobs(payload: Mapping[str, Any]) -> bool:
    """Whether a call can have dispatched or shown a job."""
    tool = text(payload, "tool_name")
    if tool == "Bash":
        return bool(COMPANION.search(text(payload, "tool_input", "command")))
    if tool in ("Agent", "Task"):
        return is_rescue_agent(text(payload, "tool_input", "subagent_type"))
    return text(payload, "hook_event_name") == "UserPromptSubmit"


def observe(store: Store, payload: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """Record what this call tells; the note for the model, empty if there is nothing to say."""
    if text(payload, "tool_name") == "Bash":
        return observe_command(store, payload, env)
    response = mapping(payload, "tool_response")
    for job in known_jobs(store, payload, agent_text(response)):
        # The agent's own commands went unseen, or their jobs would have their records.
        agent_id, session = text(response, "agentId"), text(payload, "session_id")
        agent_type = text(payload, "tool_input", "subagent_type")
        store.record_dispatch(job.id, session, text(payload, "tool_use_id"), agent_id or None, agent_type, heard=False)
        store.note_agent_ended(agent_id)
    return ""


def observe_command(store: Store, payload: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """What a companion command in a Bash call tells."""
    command, output = text(payload, "tool_input", "command"), command_output(payload)
    session, call = text(payload, "session_id"), text(payload, "tool_use_id")
    agent_id = text(payload, "agent_id") or None
    aside = bool(agent_id) or in_background(payload)
    shown = known_jobs(store, payload, output, command)
    dispatching = bool(DISPATCH.search(command))
    if dispatching:
        took = milliseconds(payload, "duration_ms")
        agent_type = text(payload, "agent_type") or None
        # In a command, an id names an older job: one that is resumed.
        oldest = now_ms() - took - ADOPTION_MS
        new = [
            job
            for job in shown
            if job.id not in command and job.created_at >= oldest and store.dispatch_of(job.id) is None
        ]
        for job in new:
            store.record_dispatch(job.id, session, call, agent_id, agent_type, heard=not aside, took_ms=took)
        if not new:
            kept = command[:KEPT_COMMAND_CHARS]
            store.record_dispatch(None, session, call, agent_id, agent_type, not aside, took, kept)
            store.adopt_jobs(session)
    for job in shown:
        if in_background(payload):
            store.note_unheard(job.id)
        elif not job.active and printed(output, job):
            if aside:
                store.note_unheard(job.id)
                store.void_unheard_print(job.id, session)
            else:
                store.heard(job.id, session)
    if agent_id:
        return ""
    jobs = store.jobs_of_call(call) if dispatching else shown
    active = [job.id for job in jobs if job.active]
    return what_now(active, dispatching, cannot_be_woken(env), output) if active else ""


def what_now(active: list[str], dispatching: bool, blocked: bool, output: str) -> str:
    """The note to the main model about its jobs that go on."""
    if not blocked:
        if not dispatching:
            return ""
        return (
            f"[opencode plugin] {' and '.join(active)} works in the background. Its report will be put before you "
            "here as soon as it ends. Do not poll and do not wait: go on with other work, or end your turn."
        )
    waiting = [job_id for job_id in active if wait_command(job_id) not in output]
    if not waiting:
        return ""
    commands = "\n".join(wait_command(job_id) for job_id in waiting)
    return (
        "[opencode plugin] The job goes on, and nothing will announce its end in this session. Run this now in the "
        f"foreground, with a Bash timeout of 600000, and again for as long as it exits with 2:\n{commands}"
    )


def known_jobs(store: Store, payload: Mapping[str, Any], *texts: str) -> list[Job]:
    """The jobs of this session that some texts name."""
    found = [store.get(job_id) for job_id in job_ids(*texts)]
    return [job for job in found if job is not None and job.claude_session == text(payload, "session_id")]
