"""What the supervisor needs of an opencode server, whatever its generation.

ServerError                 the server answered, but not as hoped
├── ServerUnreachable       nothing answers there (any more)
├── ServerDenied            wrong user name or password
└── ServerUnsupported       something else, or another generation, answers there
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from companion.observation import Ask, Failure, SessionState, Step, ToolCall
from companion.policy import Rule


class ServerError(Exception):
    """The server answered, but not as hoped."""


class ServerUnreachable(ServerError):
    """Nothing answers there (any more)."""


class ServerDenied(ServerError):
    """Wrong user name or password."""


class ServerUnsupported(ServerError):
    """Something else, or another generation of opencode, answers there."""


@dataclass(frozen=True)
class Agent:
    """An agent that the server offers, with the permission rules it has from defaults and the user's config."""

    name: str
    rules: tuple[Rule, ...]
    model: str | None
    hidden: bool


@dataclass(frozen=True)
class Catalog:
    """What a server offers for a directory. Models are named `provider/model`."""

    agents: Mapping[str, Agent]
    models: tuple[str, ...]
    default_agent: str
    default_model: str | None


@dataclass(frozen=True)
class Turn:
    """The message that begins a turn: `message_id` and `part_id` are ours, so that sending it again is harmless."""

    session: str
    message_id: str
    part_id: str
    text: str
    system: str
    agent: str
    model: str | None
    variant: str | None


@dataclass(frozen=True)
class TurnRecord:
    """A turn as the server has stored it. `user_message`: the newest of our messages has arrived; `members`: ids of the
    messages that the turn's steps answer to.
    """

    user_message: bool
    superseded: bool
    steps: tuple[StepRecord, ...]
    members: frozenset[str]


@dataclass(frozen=True)
class StepRecord:
    """A step with its parts by id, in order: a text, a tool call, or the files that a step changed."""

    head: Step
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class Files:
    """Absolute paths of files that a step changed."""

    paths: tuple[str, ...]


Part = str | ToolCall | Files


# Events: what the server says while it works


@dataclass(frozen=True)
class StateChanged:
    """A session turned idle, busy, or into a retry."""

    session: str
    state: SessionState


@dataclass(frozen=True)
class StepSeen:
    """A step began or changed; `answers_to` is the id of the message it answers."""

    session: str
    answers_to: str
    head: Step


@dataclass(frozen=True)
class PartSeen:
    """A part of a step began or changed."""

    session: str
    step_id: str
    part_id: str
    part: Part


@dataclass(frozen=True)
class TextGrew:
    """Text was added to a part."""

    session: str
    step_id: str
    part_id: str
    text: str


@dataclass(frozen=True)
class Asked:
    """The server waits for an answer."""

    session: str
    ask: Ask


@dataclass(frozen=True)
class AskSettled:
    """An ask was answered, by whomever."""

    session: str
    ask_id: str


@dataclass(frozen=True)
class SessionFailed:
    """An error of a session that may not show in any message."""

    session: str
    failure: Failure


@dataclass(frozen=True)
class ChildBegan:
    """A subagent's session was made."""

    session: str
    parent: str


Event = StateChanged | StepSeen | PartSeen | TextGrew | Asked | AskSettled | SessionFailed | ChildBegan


class Adapter(Protocol):
    """One opencode server, for one directory. Every call raises ServerError (or one of its kind) on failure.

    `requests` counts the requests made so far.
    """

    requests: int

    async def version(self) -> str:
        """The server's version; also proves that it answers and that the password is right."""

    async def catalog(self) -> Catalog:
        """Agents and models of the directory."""

    async def create_session(self, title: str, rules: tuple[Rule, ...], job_id: str) -> str:
        """A new session; returns its id."""

    async def update_session(self, session: str, rules: tuple[Rule, ...], job_id: str) -> None:
        """Give an existing session the rules of a further job."""

    async def send(self, turn: Turn) -> None:
        """Begin the turn. Sent again with the same ids it begins no second one, but resumes an interrupted one."""

    def events(self) -> AsyncIterator[Event | None]:
        """The event stream; the first item is None, once connected. Ends with ServerUnreachable."""

    async def states(self) -> Mapping[str, SessionState]:
        """Every session of the directory that is not idle."""

    async def turn(self, session: str, ours: Sequence[str], newest: int | None = None) -> TurnRecord:
        """The turn of our messages `ours`, oldest first; `newest` reads only that many of the session's messages."""

    async def asks(self) -> tuple[Ask, ...]:
        """What the directory's sessions wait for. May fail as a whole; the events are the better source."""

    async def answer(self, ask: Ask, reply: str, message: str) -> None:
        """Answer an ask. One that is settled already is no error."""

    async def abort(self, session: str) -> None:
        """Stop a session's run and its subagents'."""

    async def parent(self, session: str) -> str | None:
        """The session that started this one as a subagent."""

    async def children(self, session: str) -> tuple[str, ...]:
        """The subagents' sessions that a session started."""

    async def usage(self, session: str) -> Step:
        """A whole session summed up as one step: tokens and cost."""

    async def close(self) -> None:
        """Release the connections."""
