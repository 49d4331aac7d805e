"""The job record, its id, and the shape in which `--json` shows it.

Named tuples, not dataclasses: every command loads this module, and building dataclasses costs it 20 ms.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import time
from datetime import datetime, timezone
from typing import Any, NamedTuple

from companion.settings import Limits
from companion.states import ACTIVE, TERMINAL, Status

JOB_ID = re.compile(r"\b(?:task|review|adversarial-review)-[0-9a-z]+-[0-9a-z]{6}\b")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def now_ms() -> int:
    """Wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def new_job_id(job_type: str) -> str:
    """A fresh id such as `task-mf3k2a9x-0q7zt1`: type, time in base 36, six random digits."""
    number, digits = now_ms(), ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    suffix = "".join(random.SystemRandom().choices(_DIGITS, k=6))
    return f"{job_type}-{digits}-{suffix}"


class Tokens(NamedTuple):
    """Tokens of one run, its subagents' included."""

    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def plus(self, other: Tokens) -> Tokens:
        """The sum, kind by kind."""
        return Tokens(*map(int.__add__, self, other))


class Activity(NamedTuple):
    """The last thing opencode did for a job. `at` is ms since the epoch."""

    tool: str
    detail: str
    at: int


class Ending(NamedTuple):
    """How a job is to end: decided and stored before the run is stopped, so that a crash in between changes nothing."""

    status: Status
    reason: str
    message: str


class Blocked(NamedTuple):
    """What a job waits for from outside. `kind` is `permission` or `question`."""

    kind: str
    request_id: str
    summary: str


class Followup(NamedTuple):
    """A second message of ours in the same turn: opencode lost a command, and is asked to go on without it."""

    message_id: str
    part_id: str
    text: str


class Job(NamedTuple):
    """One row of the store. Times are ms since the epoch.

    `server` is empty for the managed server, else the URL of the server that the user named. `review`: the checked
    findings of a review that has ended, as companion.review.answer makes them.
    """

    id: str
    type: str
    workspace: str
    server: str
    claude_session: str | None
    status: Status
    phase: str
    prompt: str
    title: str
    limits: Limits
    permissions: str
    read_only: bool
    created_at: int
    updated_at: int
    agent: str | None = None
    model: str | None = None
    variant: str | None = None
    resume_of: str | None = None
    opencode_session: str | None = None
    message_id: str | None = None
    part_id: str | None = None
    reason: str | None = None
    blocked: Blocked | None = None
    started_at: int | None = None
    completed_at: int | None = None
    alive_at: int | None = None
    activity: Activity | None = None
    progress: tuple[str, ...] = ()
    tokens: Tokens = Tokens()
    cost: float = 0.0
    result: str | None = None
    error_message: str | None = None
    files: tuple[str, ...] = ()
    recovered: bool = False
    resends: int = 0
    followup: Followup | None = None
    cancel_requested_at: int | None = None
    ending: Ending | None = None
    delivered_via: str | None = None
    review: dict[str, Any] | None = None

    @property
    def is_review(self) -> bool:
        """A review, of whatever kind: it only reads."""
        return self.type != "task"

    @property
    def active(self) -> bool:
        """Not ended yet."""
        return self.status in ACTIVE

    @property
    def elapsed_ms(self) -> int:
        """From submission to the end, or to now."""
        return (self.completed_at or now_ms()) - self.created_at


def job_from_row(row: sqlite3.Row) -> Job:
    """A job from a row of the store's `jobs` table."""
    values: dict[str, Any] = dict(row)
    for name, build in _STRUCTURED.items():
        raw = values[name]
        values[name] = build(json.loads(raw)) if raw is not None else None
    values["status"] = Status(values["status"])
    values["read_only"] = bool(values["read_only"])
    values["recovered"] = bool(values["recovered"])
    values["tokens"] = values["tokens"] or Tokens()
    values["progress"] = values["progress"] or ()
    values["files"] = values["files"] or ()
    return Job(**values)


def column_value(value: Any) -> Any:
    """What a job field looks like in its column: structured values as JSON, the rest as it is."""
    if isinstance(value, (Limits, Tokens, Activity, Blocked, Ending, Followup)):
        return json.dumps(value._asdict())
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, (Status, bool)):
        return value.value if isinstance(value, Status) else int(value)
    return value


_STRUCTURED: dict[str, Any] = {
    "limits": lambda raw: Limits(**raw),
    "tokens": lambda raw: Tokens(**raw),
    "activity": lambda raw: Activity(**raw),
    "blocked": lambda raw: Blocked(**raw),
    "ending": lambda raw: Ending(Status(raw["status"]), raw["reason"], raw["message"]),
    "followup": lambda raw: Followup(**raw),
    "progress": tuple,
    "files": tuple,
    "review": dict,
}


def iso(ms: int | None) -> str | None:
    """A time as ISO-8601 UTC with milliseconds."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_json(job: Job) -> dict[str, Any]:
    """The one shape in which every `--json` shows a job."""
    now = now_ms()
    return {
        "id": job.id,
        "type": job.type,
        "status": job.status.value,
        "phase": job.phase,
        "reason": job.reason,
        "blockedOn": blocked_json(job),
        "workspaceRoot": job.workspace,
        "claudeSessionId": job.claude_session,
        "opencodeSessionId": job.opencode_session,
        "agent": job.agent,
        "model": job.model,
        "variant": job.variant,
        "title": job.title,
        "createdAt": iso(job.created_at),
        "startedAt": iso(job.started_at),
        "updatedAt": iso(job.updated_at),
        "completedAt": iso(job.completed_at),
        "elapsedMs": job.elapsed_ms,
        "lastActivity": job.activity
        and {
            "tool": job.activity.tool,
            "detail": job.activity.detail,
            "ageMs": max(0, (job.completed_at or now) - job.activity.at),
        },
        "progressPreview": list(job.progress),
        "tokens": {
            "input": job.tokens.input,
            "output": job.tokens.output,
            "reasoning": job.tokens.reasoning,
            "cacheRead": job.tokens.cache_read,
            "cacheWrite": job.tokens.cache_write,
        },
        "cost": job.cost,
        "result": job.result if job.status in TERMINAL else None,
        "partialResult": None if job.status in TERMINAL else job.result,
        "errorMessage": job.error_message,
        "review": job.review,
        "files": list(job.files),
        "readOnly": job.read_only,
        "recovered": job.recovered,
        "deliveredVia": job.delivered_via,
    }


def blocked_json(job: Job) -> dict[str, str] | None:
    """`blockedOn` of a job: what it waits for from outside."""
    if job.blocked is None:
        return None
    return {"kind": job.blocked.kind, "requestId": job.blocked.request_id, "summary": job.blocked.summary}
