"""The adapter for OpenCode 1.x servers. Routes, event names and field names of 1.x are known here and nowhere else.

The facts behind the odd lines were measured on 1.18.33 with a scripted model; see docs/opencode-behaviour.md.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import string
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from companion.failures import one_line
from companion.jobs import Tokens
from companion.observation import Ask, Failure, SessionState, Step, ToolCall
from companion.opencode.adapter import (
    Agent,
    Asked,
    AskSettled,
    Catalog,
    ChildBegan,
    Event,
    Files,
    Part,
    PartSeen,
    ServerDenied,
    ServerError,
    ServerUnreachable,
    ServerUnsupported,
    SessionFailed,
    StateChanged,
    StepRecord,
    StepSeen,
    TextGrew,
    Turn,
    TurnRecord,
)
from companion.policy import Rule

# The server's heartbeat comes every 10 s.
STREAM_SILENCE_S = 25.0
PROBE_TIMEOUT_S = 2.0
# Every request is answered at once, or the server is frozen: a long wait would keep a job from being cancelled.
ANSWER_LIMIT_S = 10.0
DETAIL_CHARS = 160
# What a tool's error says when its permission was turned down, or its question dismissed.
_REJECTED = re.compile(r"rejected permission|dismissed", re.IGNORECASE)
_FILE_TOOLS = ("edit", "write")
# What an activity line shows of a tool's input, in order of preference.
_DETAIL_KEYS = ("command", "filePath", "pattern", "url", "query", "description", "path", "name")


class _Shape(BaseModel):
    """An answer of the server: what we read is checked, what we don't know is ignored."""

    model_config = ConfigDict(extra="ignore")


S = TypeVar("S", bound=_Shape)


class _Time(_Shape):
    created: int = 0
    completed: int | None = None
    start: int | None = None
    end: int | None = None


class _Cache(_Shape):
    read: int = 0
    write: int = 0


class _Tokens(_Shape):
    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache: _Cache = Field(default_factory=_Cache)

    def ours(self) -> Tokens:
        return Tokens(self.input, self.output, self.reasoning, self.cache.read, self.cache.write)


class _ErrorData(_Shape):
    message: str = ""
    statusCode: int | None = None


class _Error(_Shape):
    name: str = "UnknownError"
    data: _ErrorData = Field(default_factory=_ErrorData)

    def ours(self) -> Failure:
        return Failure(self.name, self.data.message, self.data.statusCode)


class _Message(_Shape):
    id: str
    sessionID: str
    role: str
    parentID: str | None = None
    time: _Time = Field(default_factory=_Time)
    finish: str | None = None
    error: _Error | None = None
    tokens: _Tokens = Field(default_factory=_Tokens)
    cost: float = 0.0

    def ours(self) -> Step:
        return Step(
            id=self.id,
            created_at=self.time.created,
            completed_at=self.time.completed,
            finish=self.finish,
            failure=self.error.ours() if self.error else None,
            tokens=self.tokens.ours(),
            cost=self.cost,
            answers_to=self.parentID or "",
        )


class _ToolState(_Shape):
    status: str
    input: dict[str, Any] = Field(default_factory=dict)
    error: str = ""
    time: _Time = Field(default_factory=_Time)


class _Part(_Shape):
    id: str
    messageID: str
    sessionID: str
    type: str
    text: str = ""
    synthetic: bool = False
    ignored: bool = False
    tool: str = ""
    state: _ToolState | None = None
    files: list[str] = Field(default_factory=list)

    @property
    def _wrote(self) -> bool:
        return self.tool in _FILE_TOOLS and self.state is not None and self.state.status == "completed"

    def ours(self) -> Part | None:
        """The part in our words, or None for a kind that nobody here reads."""
        if self.type == "text" and not self.synthetic and not self.ignored:
            return self.text
        if self.type == "patch":
            return Files(tuple(self.files))
        if self.type == "tool" and self.state is not None:
            return ToolCall(
                tool=self.tool,
                detail=_detail(self.state.input),
                running=self.state.status in ("pending", "running"),
                started_at=self.state.time.start,
                ended_at=self.state.time.end,
                rejected=self.state.status == "error" and _REJECTED.search(self.state.error) is not None,
                command=str(self.state.input.get("command", "")),
                wrote=str(self.state.input.get("filePath", "")) if self._wrote else "",
            )
        return None


class _MessageWithParts(_Shape):
    info: _Message
    parts: list[_Part] = Field(default_factory=list)

    @property
    def made_by_opencode(self) -> bool:
        """A user message that no person wrote: it asks for a compaction, or to go on after one."""
        return bool(self.parts) and all(part.synthetic or part.type == "compaction" for part in self.parts)


class _Permission(_Shape):
    id: str
    sessionID: str
    permission: str
    patterns: list[str] = Field(default_factory=list)

    def ours(self) -> Ask:
        summary = one_line(f"{self.permission}: {', '.join(self.patterns)}", DETAIL_CHARS)
        return Ask(self.id, self.sessionID, "permission", self.permission, summary)


class _QuestionItem(_Shape):
    question: str = ""


class _Question(_Shape):
    id: str
    sessionID: str
    questions: list[_QuestionItem] = Field(default_factory=list)

    def ours(self) -> Ask:
        summary = one_line(" / ".join(item.question for item in self.questions), DETAIL_CHARS)
        return Ask(self.id, self.sessionID, "question", "question", summary)


class _Status(_Shape):
    type: str
    attempt: int = 0
    message: str = ""
    next: int | None = None

    def ours(self) -> SessionState:
        return SessionState(self.type, self.attempt, one_line(self.message, DETAIL_CHARS), self.next)


class _Session(_Shape):
    id: str
    parentID: str | None = None
    cost: float = 0.0
    tokens: _Tokens = Field(default_factory=_Tokens)


class _Rule(_Shape):
    permission: str
    pattern: str
    action: str

    def ours(self) -> Rule:
        return Rule(self.permission, self.pattern, self.action)


class _AgentModel(_Shape):
    providerID: str
    modelID: str


class _Agent(_Shape):
    name: str
    hidden: bool | None = None
    permission: list[_Rule] = Field(default_factory=list)
    model: _AgentModel | None = None


class _Provider(_Shape):
    id: str
    models: dict[str, Any] = Field(default_factory=dict)


class _Providers(_Shape):
    providers: list[_Provider]


class _Config(_Shape):
    model: str | None = None
    default_agent: str | None = None


class OpenCodeV1:
    """An OpenCode 1.x server, for one directory. Implements `companion.opencode.adapter.Adapter`."""

    def __init__(self, url: str, username: str, password: str, directory: str, request_timeout_s: float) -> None:
        self.requests = 0
        self._request_timeout_s = min(request_timeout_s, ANSWER_LIMIT_S)
        self._http = httpx.AsyncClient(
            base_url=url,
            auth=(username, password) if password else None,
            params={"directory": directory},
            timeout=httpx.Timeout(self._request_timeout_s, connect=PROBE_TIMEOUT_S),
            # A proxy set for the internet must not get requests that are meant for this machine.
            trust_env=False,
        )

    async def version(self) -> str:
        """See Adapter. Tries in short probes: a request made while the server boots is never answered."""
        try:
            response = await asyncio.wait_for(self._http.get("/global/health"), PROBE_TIMEOUT_S)
        except (httpx.HTTPError, asyncio.TimeoutError) as error:
            raise ServerUnreachable(f"{self._http.base_url} does not answer") from error
        if response.status_code == 401:
            raise ServerDenied(f"{self._http.base_url} refused the user name or password")
        try:
            return str(response.json()["version"])
        except (ValueError, KeyError, TypeError):
            raise ServerUnsupported(await self._what_answers()) from None

    async def catalog(self) -> Catalog:
        """See Adapter."""
        agents, providers, config = await asyncio.gather(
            self._get("/agent"), self._get("/config/providers"), self._get("/config")
        )
        known = [_read(_Agent, agent) for agent in agents]
        settings = _read(_Config, config)
        return Catalog(
            agents={
                agent.name: Agent(
                    agent.name,
                    tuple(rule.ours() for rule in agent.permission),
                    f"{agent.model.providerID}/{agent.model.modelID}" if agent.model else None,
                    bool(agent.hidden),
                )
                for agent in known
            },
            models=tuple(
                f"{provider.id}/{model}"
                for provider in _read(_Providers, providers).providers
                for model in provider.models
            ),
            default_agent=settings.default_agent or "build",
            default_model=settings.model,
        )

    async def create_session(self, title: str, rules: tuple[Rule, ...], job_id: str) -> str:
        """See Adapter."""
        answer = await self._post("/session", {"title": title, **_job_settings(rules, job_id)})
        return _read(_Session, answer).id

    async def update_session(self, session: str, rules: tuple[Rule, ...], job_id: str) -> None:
        """See Adapter. The server appends the rules, and the last one that matches decides."""
        await self._request("PATCH", f"/session/{session}", json=_job_settings(rules, job_id))

    async def send(self, turn: Turn) -> None:
        """See Adapter."""
        body: dict[str, Any] = {
            "messageID": turn.message_id,
            "agent": turn.agent,
            "system": turn.system,
            "parts": [{"id": turn.part_id, "type": "text", "text": turn.text}],
        }
        if turn.model:
            provider, _, model = turn.model.partition("/")
            body["model"] = {"providerID": provider, "modelID": model}
        if turn.variant:
            body["variant"] = turn.variant
        await self._post(f"/session/{turn.session}/prompt_async", body)

    async def events(self) -> AsyncIterator[Event | None]:
        """See Adapter."""
        timeout = httpx.Timeout(STREAM_SILENCE_S, connect=PROBE_TIMEOUT_S)
        try:
            async with self._http.stream("GET", "/event", timeout=timeout) as response:
                if response.status_code != 200:
                    raise ServerUnreachable(f"the event stream answered {response.status_code}")
                async for line in response.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    raw = _json(line[5:])
                    if raw.get("type") == "server.connected":
                        yield None
                    for event in _event(raw):
                        yield event
        except (httpx.HTTPError, ValueError) as error:
            raise ServerUnreachable(f"the event stream ended: {type(error).__name__}") from error
        raise ServerUnreachable("the event stream ended")

    async def states(self) -> Mapping[str, SessionState]:
        """See Adapter."""
        answer = await self._get("/session/status")
        return {session: _read(_Status, status).ours() for session, status in answer.items()}

    async def turn(self, session: str, ours: Sequence[str], newest: int | None = None) -> TurnRecord:
        """See Adapter.

        After a compaction opencode goes on under a user message of its own; its steps still belong to our turn.
        """
        answer = await self._get(f"/session/{session}/message", {"limit": newest} if newest else {})
        messages = [_read(_MessageWithParts, message) for message in answer]
        members = set(ours)
        begun = superseded = False
        for message in messages:
            if message.info.id in ours:
                begun = True
            elif begun and message.info.role == "user":
                if message.made_by_opencode and not superseded:
                    members.add(message.info.id)
                else:
                    superseded = True
        steps = tuple(
            StepRecord(message.info.ours(), _parts(message.parts))
            for message in messages
            if message.info.role == "assistant" and message.info.parentID in members
        )
        arrived = any(message.info.id == ours[-1] or message.info.parentID == ours[-1] for message in messages)
        return TurnRecord(arrived, superseded, steps, frozenset(members))

    async def asks(self) -> tuple[Ask, ...]:
        """See Adapter."""
        permissions, questions = await asyncio.gather(self._get("/permission"), self._get("/question"))
        return (
            *(_read(_Permission, permission).ours() for permission in permissions),
            *(_read(_Question, question).ours() for question in questions),
        )

    async def answer(self, ask: Ask, reply: str, message: str) -> None:
        """See Adapter. Without the directory the server does not find the ask."""
        if ask.kind == "permission":
            body = {"reply": reply, **({"message": message} if message else {})}
            await self._post(f"/permission/{ask.id}/reply", body, gone_is_fine=True)
        elif message:
            # Also to turn a question down: a reject of it has no message, and ends the whole turn.
            await self._post(f"/question/{ask.id}/reply", {"answers": [[message]]}, gone_is_fine=True)
        else:
            await self._post(f"/question/{ask.id}/reject", {}, gone_is_fine=True)

    async def abort(self, session: str) -> None:
        """See Adapter."""
        await self._post(f"/session/{session}/abort", {})

    async def parent(self, session: str) -> str | None:
        """See Adapter."""
        return _read(_Session, await self._get(f"/session/{session}")).parentID

    async def children(self, session: str) -> tuple[str, ...]:
        """See Adapter."""
        return tuple(_read(_Session, child).id for child in await self._get(f"/session/{session}/children"))

    async def usage(self, session: str) -> Step:
        """See Adapter."""
        row = _read(_Session, await self._get(f"/session/{session}"))
        return Step(row.id, 0, tokens=row.tokens.ours(), cost=row.cost)

    async def close(self) -> None:
        """See Adapter."""
        await self._http.aclose()

    # Plumbing

    async def _get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        return await self._request("GET", path, params=params or {})

    async def _post(self, path: str, body: dict[str, Any], gone_is_fine: bool = False) -> Any:
        return await self._request("POST", path, json=body, gone_is_fine=gone_is_fine)

    async def _request(self, method: str, path: str, gone_is_fine: bool = False, **options: Any) -> Any:
        self.requests += 1
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"{method} {path} was not answered in {self._request_timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{method} {path}: {type(error).__name__}") from error
        except RuntimeError as error:  # httpx's way to say that `close` was called: the server was given up
            raise ServerUnreachable(f"{method} {path}: {error}") from error
        if response.status_code == 401:
            raise ServerDenied("the server refused the user name or password")
        if response.status_code == 404 and gone_is_fine:
            return None
        if response.status_code >= 400:
            raise ServerError(f"{method} {path} answered {response.status_code}: {one_line(response.text, 300)}")
        if not response.content:
            return None
        try:
            return _json(response.text)
        except ValueError:
            raise ServerUnsupported(f"{method} {path} did not answer JSON: this is no opencode 1.x server") from None

    async def _what_answers(self) -> str:
        """Who answers where a 1.x server should: a 2.x server has /api/info, and a web page for anything else."""
        try:
            info = (await self._http.get("/api/info", timeout=PROBE_TIMEOUT_S)).json()
            return f"opencode {info['version']} answers there; 1.x is needed"
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return "something that is no opencode server answers there"


def new_message_id() -> str:
    """A message id in the server's own order: `msg_`, 12 hex digits of time, 14 random characters."""
    return f"msg_{(time.time_ns() // 1_000_000 * 4096) & (2**48 - 1):012x}{_random(14)}"


def new_part_id() -> str:
    """A part id."""
    return f"prt_{(time.time_ns() // 1_000_000 * 4096) & (2**48 - 1):012x}{_random(14)}"


def _random(length: int) -> str:
    return "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=length))


def _json(text: str) -> Any:
    """A body of the server. Half characters, which a model can produce and nobody can store, become question marks.

    Within a stream also the halves of a whole one may come apart; in the message they are together again.
    """
    body = json.loads(text)
    if "\\ud" in text.lower():
        body = json.loads(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    return body


def _read(shape: type[S], raw: Any) -> S:
    try:
        return shape.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ServerUnsupported(f"the server's answer has an unknown shape at {where or 'the top'}") from None


def _job_settings(rules: tuple[Rule, ...], job_id: str) -> dict[str, Any]:
    return {
        "permission": [{"permission": r.permission, "pattern": r.pattern, "action": r.action} for r in rules],
        "metadata": {"companionJob": job_id},
    }


def _parts(parts: list[_Part]) -> dict[str, Part]:
    ours = {part.id: part.ours() for part in parts}
    return {part_id: part for part_id, part in ours.items() if part is not None}


def _detail(tool_input: dict[str, Any]) -> str:
    for key in _DETAIL_KEYS:
        if isinstance(tool_input.get(key), str) and tool_input[key]:
            return one_line(tool_input[key], DETAIL_CHARS)
    return ""


def _event(raw: dict[str, Any]) -> list[Event]:
    """An event of the server in our words; nothing for those that nobody here reads."""
    kind, properties = raw.get("type", ""), raw.get("properties", {})
    try:
        return _read_event(kind, properties)
    except (ServerUnsupported, KeyError, TypeError):
        return []  # the reconcile sees what an event of unknown shape had to say


def _read_event(kind: str, properties: dict[str, Any]) -> list[Event]:
    if kind == "session.status":
        return [StateChanged(properties["sessionID"], _read(_Status, properties["status"]).ours())]
    if kind == "session.idle":
        return [StateChanged(properties["sessionID"], SessionState())]
    if kind == "message.updated":
        message = _read(_Message, properties["info"])
        if message.role == "assistant" and message.parentID:
            return [StepSeen(message.sessionID, message.parentID, message.ours())]
    if kind == "message.part.updated":
        part = _read(_Part, properties["part"])
        ours = part.ours()
        return [PartSeen(part.sessionID, part.messageID, part.id, ours)] if ours is not None else []
    if kind == "message.part.delta" and properties.get("field") == "text":
        names = ("sessionID", "messageID", "partID", "delta")
        session, message_id, part_id, text = (cast(str, properties[name]) for name in names)
        return [TextGrew(session, message_id, part_id, text)]
    if kind == "permission.asked":
        permission = _read(_Permission, properties).ours()
        return [Asked(permission.session, permission)]
    if kind == "question.asked":
        question = _read(_Question, properties).ours()
        return [Asked(question.session, question)]
    if kind in ("permission.replied", "question.replied", "question.rejected"):
        return [AskSettled(properties["sessionID"], properties["requestID"])]
    if kind == "session.error" and properties.get("sessionID"):
        return [SessionFailed(properties["sessionID"], _read(_Error, properties.get("error") or {}).ours())]
    if kind == "session.created":
        session_row = _read(_Session, properties["info"])
        return [ChildBegan(session_row.id, session_row.parentID)] if session_row.parentID else []
    return []
