"""What can be seen of a turn, in our own words: no route, no event name, no field name of any opencode version.

The adapter (`companion.opencode`) fills these in; `companion.judge` decides on them. Times are ms since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from companion.jobs import Tokens


@dataclass(frozen=True)
class Failure:
    """An error as opencode or the provider reported it. `status` is the HTTP status, where there was one."""

    name: str
    message: str
    status: int | None = None


@dataclass(frozen=True)
class ToolCall:
    """One tool call of a step.

    `rejected`: it ended because its permission or question was turned down; `wrote`: the file that it wrote.
    """

    tool: str
    detail: str
    running: bool
    started_at: int | None = None
    ended_at: int | None = None
    rejected: bool = False
    command: str = ""
    wrote: str = ""


@dataclass(frozen=True)
class Step:
    """One message of the model within our turn. `finish` is opencode's finish word; `answers_to`: to which message."""

    id: str
    created_at: int
    completed_at: int | None = None
    finish: str | None = None
    failure: Failure | None = None
    text: str = ""
    tools: tuple[ToolCall, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)
    answers_to: str = ""
    cost: float = 0.0


@dataclass(frozen=True)
class Ask:
    """Something opencode waits for: a permission, or an answer to a question.

    `session` is the session that asked, which may be a subagent's; `permission` is the permission's name. `seen_at` is
    when it was first seen.
    """

    id: str
    session: str
    kind: str
    permission: str
    summary: str
    seen_at: int = 0


@dataclass(frozen=True)
class SessionState:
    """What the server says of a session: `idle`, `busy`, or `retry` with the attempt, its cause and the next try."""

    kind: str = "idle"
    attempt: int = 0
    message: str = ""
    next_at: int | None = None


IDLE = SessionState()


@dataclass(frozen=True)
class Observation:
    """Everything known of a job's turn at one moment.

    `idle_since` and `retrying_since` say how long the state holds. `live_children` is None where nobody can look: a
    server that is not ours, or a platform that hides them. `processless_polls` counts the reconciles in a row at which
    a command counted as running while its shell was gone; `holders` are the processes that it left behind.
    `superseded`: another turn of the session has begun after ours. `correction`: what to tell the model about the last
    step's answer, where an answer is checked and this one cannot be used.
    """

    reachable: bool
    state: SessionState = IDLE
    idle_since: int | None = None
    retrying_since: int | None = None
    sent_at: int = 0
    user_message: bool = False
    superseded: bool = False
    steps: tuple[Step, ...] = ()
    asks: tuple[Ask, ...] = ()
    failure: Failure | None = None
    moved_at: int = 0
    live_children: int | None = None
    processless_polls: int = 0
    holders: int = 0
    correction: str = ""
