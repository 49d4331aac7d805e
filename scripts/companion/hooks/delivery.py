"""When a hook may hand an ended job's answer to the main model, so that it gets there once.

Three others may be about to: a command that prints in the main thread, the subagent that dispatched the job and will
return its report, and another hook. Each gets its time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

from companion.hooks.payload import text
from companion.jobs import Job, now_ms
from companion.store import Store

# A command that waits in the main thread prints and records it within this.
PRINT_MS = 1_500
# The hook at a subagent's return comes right after the one at its stop.
RETURN_MS = 2_000
# A subagent that ended without any event has written nothing to its transcript for this long.
AGENT_QUIET_MS = 180_000

WAKING = "waking-hook"
PROMPT = "prompt-hook"
AGENT_REPORT = "agent-report"
SUBAGENT = "subagent"
MONITOR = "monitor"
# Deliveries that put the report before the main model with no subagent in between.
DIRECT = (WAKING, PROMPT, MONITOR)


class Turn(Enum):
    """Whose turn it is to deliver."""

    OURS = "deliver now"
    OTHERS = "look again later"
    NOBODYS = "it has been delivered"


def turn(
    job: Job,
    dispatch: Mapping[str, Any] | None,
    delivered: tuple[str, bool] | None,
    now: int,
    agent_quiet_ms: int,
    patient: bool = True,
) -> Turn:
    """Whether a hook may deliver the job's answer now. Times in ms; `delivered` is `Store.delivered_by`.

    Not `patient`: nothing else goes on in the main thread, so nobody is about to deliver.
    """
    if job.active:
        return Turn.OTHERS
    if delivered is not None:
        return Turn.NOBODYS if delivered[1] else Turn.OTHERS
    since_end = now - (job.completed_at or job.updated_at)
    if dispatch is not None and dispatch["agent_id"]:
        if dispatch["agent_ended_at"] is None:
            return Turn.OURS if min(since_end, agent_quiet_ms) >= AGENT_QUIET_MS else Turn.OTHERS
        return Turn.OURS if not patient or now - dispatch["agent_ended_at"] >= RETURN_MS else Turn.OTHERS
    return Turn.OURS if not patient or since_end >= PRINT_MS else Turn.OTHERS


def turn_of(store: Store, job: Job, payload: Mapping[str, Any], patient: bool = True) -> Turn:
    """`turn`, with what the store and the subagent's transcript say."""
    row = store.dispatch_of(job.id)
    dispatch = dict(row) if row is not None else None
    session = job.claude_session or text(payload, "session_id")
    quiet = agent_quiet_ms(payload, dispatch["agent_id"]) if dispatch and dispatch["agent_id"] else 0
    return turn(job, dispatch, store.delivered_by(job.id, session), now_ms(), quiet, patient)


def agent_quiet_ms(payload: Mapping[str, Any], agent_id: str) -> int:
    """How long ago a subagent of this session last wrote to its transcript; long, where there is none."""
    transcript = text(payload, "transcript_path")
    if not transcript.endswith(".jsonl"):
        return AGENT_QUIET_MS
    path = os.path.join(transcript[: -len(".jsonl")], "subagents", f"agent-{agent_id}.jsonl")
    try:
        return now_ms() - int(os.stat(path).st_mtime * 1000)
    except (OSError, ValueError):
        return AGENT_QUIET_MS


def claim(store: Store, job: Job, session: str, channel: str) -> bool:
    """Take the right to deliver, also over a print that nobody read. False if somebody has it."""
    if store.delivered_by(job.id, session) is not None:
        return False
    store.void_unheard_print(job.id, session)
    return store.claim_delivery(job.id, session, channel)
