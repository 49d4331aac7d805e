"""Holds what a subagent returns against the truth: the jobs that it dispatched.

The store decides. Only where it knows no job of the agent, its text alone is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from companion.errors import StoreError
from companion.hooks.answers import reported
from companion.hooks.claude_process import cannot_be_woken
from companion.hooks.delivery import AGENT_REPORT, DIRECT, SUBAGENT, Turn, claim, turn_of
from companion.hooks.frame import MAX_RESULT_UNITS, PROGRAM, cut, framed_reports, wait_command
from companion.hooks.payload import agent_text, is_rescue_agent, job_ids, mapping, text
from companion.hooks.run import answer, write
from companion.jobs import Job
from companion.store import PRINTING_CHANNELS, Store

BUSY_S = 2.0
# How often a subagent that wants to stop before its job has ended is sent back to wait.
MOST_RETURNS = 3
MAX_REASON_UNITS = 4_000

Output = dict[str, Any]


def main(payload: dict[str, Any], env: Mapping[str, str], data_dir: str, arguments: list[str]) -> int:
    """Judge one end of a subagent."""
    event, tool = text(payload, "hook_event_name"), text(payload, "tool_name")
    try:
        with Store(data_dir, BUSY_S, repair=False) as store:
            if event == "SubagentStop":
                at_stop(store, payload)
            elif event == "StopFailure":
                note_end(store, payload, text(payload, "agent_id"))
            elif tool == "TaskStop":
                note_end(store, payload, text(payload, "tool_input", "task_id"))
            elif event == "PostToolUseFailure":
                at_failure(store, payload, env)
            else:
                at_return(store, payload, env)
    except StoreError:
        judge_text_alone(payload)
        raise
    return 0


def note_end(store: Store, payload: Mapping[str, Any], agent_id: str) -> None:
    """Nothing more comes from this agent."""
    store.adopt_jobs(text(payload, "session_id"))
    if agent_id:
        store.note_agent_ended(agent_id)


def at_stop(store: Store, payload: Mapping[str, Any]) -> None:
    """A subagent wants to stop: back with it while its jobs run, a few times."""
    session, agent_id = text(payload, "session_id"), text(payload, "agent_id")
    said = text(payload, "last_assistant_message")
    jobs = jobs_of(store, payload, agent_id, text(payload, "agent_type"), said)
    if not jobs:
        judge_text_alone(payload)
        return
    active = [job for job in jobs if job.active]
    if active and is_rescue_agent(text(payload, "agent_type")):
        row = store.dispatch_of(active[0].id)
        if row is not None and row["sent_back"] < MOST_RETURNS:
            store.note_sent_back(agent_id)
            write({"decision": "block", "reason": wait_reason([job.id for job in active])})
            return
    store.note_agent_ended(agent_id)
    if in_background(payload, agent_id):
        # There is no further hook: its notification takes the text to the main model as it is.
        for job in jobs:
            if not job.active and reported(said, job) and take(store, job, session, SUBAGENT):
                store.confirm_delivery(job.id, session, SUBAGENT)


def at_return(store: Store, payload: dict[str, Any], env: Mapping[str, str]) -> None:
    """A subagent has returned to the main thread: what it says of ended jobs must be their reports."""
    session, response = text(payload, "session_id"), mapping(payload, "tool_response")
    agent_id, said = text(response, "agentId"), agent_text(response)
    if text(response, "status") != "completed":
        return
    jobs = jobs_of(store, payload, agent_id, text(payload, "tool_input", "subagent_type"), said)
    if not jobs:
        judge_text_alone(payload)
        return
    store.note_agent_ended(agent_id)
    specific: Output = {}
    missing, told = [], False
    for job in jobs:
        if job.active:
            continue
        delivered = store.delivered_by(job.id, session)
        is_told = reported(said, job)
        if delivered is not None and delivered[0] in DIRECT:
            specific["updatedToolOutput"] = with_text(response, already_delivered(job))
        elif is_told:
            told = True
            if take(store, job, session, SUBAGENT):
                store.confirm_delivery(job.id, session, SUBAGENT)
        elif (delivered is not None and delivered[0] in (AGENT_REPORT, SUBAGENT)) or take(
            store, job, session, AGENT_REPORT
        ):
            missing.append(job)
    shown: list[Job] = []
    if missing:
        reports, shown = framed_reports(missing, MAX_RESULT_UNITS)
        if isinstance(response.get("content"), list) and agent_id:
            whole = f"{said}\n\n{reports}" if told else reports
            specific["updatedToolOutput"] = with_text(response, whole)
        else:
            specific["additionalContext"] = reports
    active = [job.id for job in jobs if job.active]
    if active:
        specific["additionalContext"] = still_running(active, cannot_be_woken(env))
    if specific:
        answer("PostToolUse", **specific)
    for job in missing:
        if job in shown:
            store.confirm_delivery(job.id, session, AGENT_REPORT)
        else:
            store.release_delivery(job.id, session)


def at_failure(store: Store, payload: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """The call of a subagent failed, so its text is lost: tell the main thread of the jobs that it left."""
    session, agent_type = text(payload, "session_id"), text(payload, "tool_input", "subagent_type")
    store.adopt_jobs(session)
    left = []
    for job in store.jobs(claude_session=session, limit=50):
        row = store.dispatch_of(job.id)
        if row is not None and row["agent_type"] == agent_type and row["agent_ended_at"] is not None:
            left.append(job)
    ended = [job for job in left if turn_of(store, job, payload, patient=False) is Turn.OURS]
    claimed = [job for job in ended if claim(store, job, session, AGENT_REPORT)]
    active = [job.id for job in left if job.active]
    parts: list[str] = []
    shown: list[Job] = []
    if claimed:
        reports, shown = framed_reports(claimed, MAX_RESULT_UNITS)
        parts.append(reports)
    if active:
        parts.append(still_running(active, cannot_be_woken(env)))
    if parts:
        answer("PostToolUseFailure", additionalContext=cut("\n\n".join(parts), 9_999))
    for job in claimed:
        if job in shown:
            store.confirm_delivery(job.id, session, AGENT_REPORT)
        else:
            store.release_delivery(job.id, session)


def judge_text_alone(payload: Mapping[str, Any]) -> None:
    """No job of the agent is known: guidance where the rescue agent's text is only a placeholder."""
    from companion.hooks.placeholder import looks_like_placeholder

    if text(payload, "hook_event_name") == "SubagentStop":
        wants = is_rescue_agent(text(payload, "agent_type")) and payload.get("stop_hook_active") is False
        if wants and looks_like_placeholder(text(payload, "last_assistant_message")):
            write({"decision": "block", "reason": UNKNOWN_JOB_REASON})
        return
    response = mapping(payload, "tool_response")
    if text(response, "status") != "completed" or not is_rescue_agent(text(payload, "tool_input", "subagent_type")):
        return
    if looks_like_placeholder(agent_text(response)):
        answer("PostToolUse", additionalContext=UNKNOWN_JOB_NOTE)


def jobs_of(store: Store, payload: Mapping[str, Any], agent_id: str, agent_type: str, said: str) -> list[Job]:
    """The jobs that an agent dispatched; where none is recorded, those of the session that the rescue agent names."""
    session = text(payload, "session_id")
    if agent_id:
        store.adopt_jobs(session)
        jobs = store.jobs_of_agent(session, agent_id)
        if jobs:
            return jobs
    if not is_rescue_agent(agent_type):
        return []
    named = [store.get(job_id) for job_id in job_ids(said)]
    return [job for job in named if job is not None and job.claude_session == session]


def take(store: Store, job: Job, session: str, channel: str) -> bool:
    """`claim`, also over what was printed in the subagent a moment ago."""
    delivered = store.delivered_by(job.id, session)
    if delivered is not None and delivered[0] in PRINTING_CHANNELS and not delivered[1]:
        store.void_unheard_print(job.id, session)
    return claim(store, job, session, channel)


def in_background(payload: Mapping[str, Any], agent_id: str) -> bool:
    """Whether the agent runs in the background: then it lists itself among the tasks."""
    tasks = payload.get("background_tasks")
    found = tasks if isinstance(tasks, list) else []
    return any(isinstance(task, dict) and task.get("id") == agent_id for task in found)


def with_text(response: Mapping[str, Any], said: str) -> Output:
    """A subagent's response with another text. Claude Code takes only a whole one."""
    return {**response, "content": [{"type": "text", "text": said}]}


def wait_reason(active: list[str]) -> str:
    """What a subagent is told that wants to stop too early."""
    commands = "\n".join(f"{wait_command(job_id)} --max-wait 480" for job_id in active)
    return cut(
        "[opencode plugin] Your OpenCode job has not ended, so there is no result to return yet. Run this in the "
        f"foreground with a Bash timeout of 600000, again for as long as it exits with 2:\n{commands}\n"
        "Then return the report that it prints, verbatim and nothing else.",
        MAX_REASON_UNITS,
    )


def still_running(active: list[str], blocked: bool) -> str:
    """What the main thread is told of jobs that a subagent left behind."""
    commands = "\n".join(wait_command(job_id) for job_id in active)
    if blocked:
        how = "Run this now, with a Bash timeout of 600000, and again for as long as it exits with 2:"
    else:
        how = "Its report will be put before you here as soon as it ends; do not poll. To wait for it at once:"
    return cut(
        f"[opencode plugin] The subagent returned before its OpenCode job had ended; it goes on. {how}\n{commands}",
        MAX_REASON_UNITS,
    )


def already_delivered(job: Job) -> str:
    """Stands where a second copy of a report would."""
    return (
        f"[opencode plugin] The report of OpenCode job {job.id} ({job.status.value}) has already been put before you. "
        f"To read it again: {PROGRAM} result {job.id}"
    )


UNKNOWN_JOB_REASON = (
    "[opencode plugin] Your text announces a result instead of giving one, and no OpenCode job of yours is known. "
    f"Run `{PROGRAM} status` to find the job. If there is one: `{PROGRAM} wait-and-result JOB --max-wait 480`, in the "
    "foreground with a Bash timeout of 600000, again for as long as it exits with 2; then return the report that it "
    f"prints, verbatim. If there is none, dispatch the task with `{PROGRAM} task`. If that fails, return one line: "
    "OPENCODE_RESCUE_FAILED: <reason>"
)
UNKNOWN_JOB_NOTE = (
    "[opencode plugin] The subagent's text announces a result instead of giving one, and no OpenCode job of it is "
    f"known. Do not take it for an answer. Run `{PROGRAM} status` to look for the job; if there is one, run "
    f"`{PROGRAM} wait-and-result JOB` with a Bash timeout of 600000, again for as long as it exits with 2."
)
