"""A scripted Messages API on loopback: the test plays the model.

    def reply(request: Request) -> Reply:
        if request.is_subagent:
            return Reply("the subagent's last words")
        if not request.tool_results:
            return call("Bash", command="echo hi", description="say hi")
        return Reply("done")

    with MessagesApi(reply) as api:
        ...                                # run claude with ANTHROPIC_BASE_URL=api.url
        assert "hi" in api.main[-1].text
        print(api.cost())                  # model requests and approximate tokens so far

Every request is kept, in order of arrival, in `requests`; `main`, `subagents` and `side` are views of it.
Side requests (titles, summaries: whatever offers the model no tools) never reach the script unless
`script_side` says so: they are answered with a fixed line. A script that raises, or is asked for more than
`max_requests` turns, answers 529, and `close` raises what it said, so that a broken script fails its test.

To play a failing API, answer with status 529: at a 400 newer versions ask again, up to six times, offering
other capabilities.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

SIDE_REPLY = '{"title": "A scripted session", "isNewTopic": false}'
BYTES_PER_TOKEN = 4
MAX_REQUESTS = 200
HOLD_LIMIT_S = 60.0


@dataclass(frozen=True)
class ToolUse:
    """One tool call of the model; without an `id` the server makes one from the request's number."""

    name: str
    input: dict[str, Any]
    id: str = ""


@dataclass(frozen=True)
class Reply:
    """What the model answers: text, tool calls, or an API error when `status` is not 200.

    `hold` keeps the answer back until the event is set (a minute at most), `delay_s` for a time.
    """

    text: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    status: int = 200
    error: str = "overloaded_error"
    hold: threading.Event | None = None
    delay_s: float = 0.0


def call(name: str, *, text: str = "", **tool_input: Any) -> Reply:
    """A reply that makes one tool call."""
    return Reply(text, (ToolUse(name, tool_input),))


def calls(*uses: ToolUse, text: str = "") -> Reply:
    """A reply that makes several tool calls at once."""
    return Reply(text, uses)


@dataclass(frozen=True)
class ToolResult:
    """What the model was told about one of its tool calls."""

    tool_use_id: str
    text: str
    is_error: bool


@dataclass(frozen=True)
class Request:
    """One request for a model's turn, as Claude Code sent it."""

    number: int
    at: float
    body: dict[str, Any]
    size: int
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body.get("messages") or [])

    @cached_property
    def system(self) -> str:
        return "\n".join(_texts(self.body.get("system")))

    @cached_property
    def tools(self) -> tuple[str, ...]:
        return tuple(str(tool.get("name", "")) for tool in self.body.get("tools") or [])

    @property
    def is_side(self) -> bool:
        """A title, a summary or the like: no tools are offered."""
        return not self.tools

    @property
    def agent_id(self) -> str:
        """The subagent that asks, as Claude Code's own header names it; empty for the main thread."""
        return self.headers.get("x-claude-code-agent-id", "")

    @property
    def is_subagent(self) -> bool:
        return bool(self.agent_id) or "cc_is_subagent=true" in self.system

    @cached_property
    def tool_uses(self) -> tuple[ToolUse, ...]:
        """All tool calls in the conversation so far, oldest first."""
        return tuple(
            ToolUse(block["name"], block.get("input") or {}, block.get("id", ""))
            for message in self.messages
            for block in _blocks(message)
            if block.get("type") == "tool_use"
        )

    @cached_property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """All tool results in the conversation so far, oldest first."""
        return tuple(
            ToolResult(
                block.get("tool_use_id", ""),
                "\n".join(_texts(block.get("content"))),
                bool(block.get("is_error")),
            )
            for message in self.messages
            for block in _blocks(message)
            if block.get("type") == "tool_result"
        )

    def result_of(self, tool_use_id: str) -> ToolResult | None:
        return next((result for result in self.tool_results if result.tool_use_id == tool_use_id), None)

    @cached_property
    def last_user_text(self) -> str:
        """The text of the last user message, without tool results."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return "\n".join(_texts(message.get("content")))
        return ""

    @cached_property
    def text(self) -> str:
        """All that the model reads in this conversation except the system prompt: texts and tool results."""
        return "\n".join(part for message in self.messages for part in _all_texts(message))

    @cached_property
    def new_text(self) -> str:
        """What the model reads since its own last message."""
        fresh: list[str] = []
        for message in reversed(self.messages):
            if message.get("role") == "assistant":
                break
            fresh[:0] = _all_texts(message)
        return "\n".join(fresh)

    @property
    def turns(self) -> int:
        """How many times the model has spoken in this conversation before now."""
        return sum(1 for message in self.messages if message.get("role") == "assistant")

    @property
    def tokens(self) -> int:
        """About how many tokens this request costs to read."""
        return max(1, self.size // BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Cost:
    """What some requests cost: how many there were and about how many tokens the model had to read."""

    requests: int
    tokens: int

    @staticmethod
    def of(requests: Iterable[Request]) -> Cost:
        seen = list(requests)
        return Cost(len(seen), sum(request.tokens for request in seen))


Script = Callable[[Request], Reply]


class MessagesApi:
    """The server; a context manager.  Thread-safe: the script is called by one thread at a time."""

    def __init__(self, reply: Script, *, script_side: bool = False, max_requests: int = MAX_REQUESTS) -> None:
        self._reply = reply
        self._script_side = script_side
        self._max_requests = max_requests
        self._requests: list[Request] = []
        self._failures: list[str] = []
        self._changed = threading.Condition()
        self._scripting = threading.RLock()
        self._closing = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        with self._changed:
            return list(self._requests)

    @property
    def main(self) -> list[Request]:
        return [request for request in self.requests if not request.is_side and not request.is_subagent]

    @property
    def subagents(self) -> list[Request]:
        return [request for request in self.requests if not request.is_side and request.is_subagent]

    @property
    def side(self) -> list[Request]:
        return [request for request in self.requests if request.is_side]

    def cost(self, since: int = 0) -> Cost:
        """Requests and tokens of main thread and subagents, from request number `since` on."""
        return Cost.of(request for request in self.requests if request.number >= since and not request.is_side)

    def wait_for(self, seen: Callable[[Request], bool], timeout: float = 30.0) -> Request:
        """The first request that `seen` accepts, now or later; AssertionError when none comes in time."""
        deadline = time.monotonic() + timeout
        checked = 0
        with self._changed:
            while True:
                for request in self._requests[checked:]:
                    if seen(request):
                        return request
                checked = len(self._requests)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise AssertionError(f"no such request within {timeout} s; {checked} came:\n{self.story()}")
                self._changed.wait(remaining)

    def story(self) -> str:
        """A short account of what was asked, for failure messages."""
        lines = []
        for request in self.requests:
            who = "side" if request.is_side else f"agent {request.agent_id[:8]}" if request.is_subagent else "main"
            lines.append(f"#{request.number} {who} turns={request.turns} … {request.new_text[-300:]!r}")
        return "\n".join(lines)

    def close(self) -> None:
        """Stops serving; raises AssertionError when the script failed at some request."""
        if not self._closing.is_set():
            self._closing.set()
            self._http.shutdown()
            self._http.close_connections()
            self._http.server_close()
            self._thread.join(5)
        if self._failures:
            failures, self._failures = self._failures, []
            raise AssertionError("the scripted model failed: " + "; ".join(failures))

    def __enter__(self) -> MessagesApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except AssertionError as failure:
            # Shown below the error that ended the block instead of hiding it.
            print(failure)

    def _answer(self, raw: bytes, headers: dict[str, str]) -> tuple[Request, Reply]:
        """Records one request and asks the script."""
        body = json.loads(raw)
        with self._changed:
            request = Request(len(self._requests), time.monotonic(), body, len(raw), headers)
            self._requests.append(request)
            self._changed.notify_all()
        if request.is_side and not self._script_side:
            return request, Reply(SIDE_REPLY)
        if request.number >= self._max_requests:
            return request, self._failed(f"more than {self._max_requests} requests")
        try:
            with self._scripting:
                reply = self._reply(request)
        except Exception as error:
            return request, self._failed(f"request #{request.number}: {type(error).__name__}: {error}")
        self._wait(reply)
        return request, reply

    def _failed(self, why: str) -> Reply:
        with self._changed:
            if not self._closing.is_set():
                self._failures.append(why)
        return Reply(why, status=529)

    def _wait(self, reply: Reply) -> None:
        deadline = time.monotonic() + (HOLD_LIMIT_S if reply.hold is not None else reply.delay_s)
        while not self._closing.is_set() and time.monotonic() < deadline:
            if reply.hold is not None and reply.hold.wait(0.05):
                return
            if reply.hold is None:
                self._closing.wait(max(0.0, deadline - time.monotonic()))


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _texts(content: Any) -> list[str]:
    """The texts of a message's content, of a system prompt or of a tool result."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [block["text"] for block in content if isinstance(block, dict) and block.get("type") == "text"]


def _all_texts(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts: list[str] = []
    for block in _blocks(message):
        parts += _texts(block.get("content")) if block.get("type") == "tool_result" else _texts([block])
    return parts


def _events(request: Request, reply: Reply) -> Iterator[dict[str, Any]]:
    """The server-sent events of one streamed answer."""
    message = _message(request, reply)
    opening = {
        **message,
        "content": [],
        "stop_reason": None,
        "usage": {**message["usage"], "output_tokens": 1},
    }
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            start: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {
        "type": "message_delta",
        "delta": ending,
        "usage": {"output_tokens": message["usage"]["output_tokens"]},
    }
    yield {"type": "message_stop"}


def _message(request: Request, reply: Reply) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if reply.text or not reply.tool_uses:
        content.append({"type": "text", "text": reply.text})
    for index, use in enumerate(reply.tool_uses):
        made = use.id or f"toolu_{request.number:04d}{index:02d}"
        content.append({"type": "tool_use", "id": made, "name": use.name, "input": use.input})
    return {
        "id": f"msg_{request.number:04d}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": "tool_use" if reply.tool_uses else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": request.tokens,
            "output_tokens": max(1, len(json.dumps(content)) // BYTES_PER_TOKEN),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Ends kept-alive connections, whose threads would otherwise wait for a next request for ever."""
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in mid-answer (a killed claude) is nobody's error."""


def _handler_for(api: MessagesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._json(200, {})

        def do_GET(self) -> None:
            self._json(200, {"data": [], "has_more": False})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            path = self.path.partition("?")[0]
            if path.endswith("/messages/count_tokens"):
                self._json(200, {"input_tokens": max(1, len(raw) // BYTES_PER_TOKEN)})
            elif path.endswith("/v1/messages"):
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._play(*api._answer(raw, headers))
            else:
                self._json(200, {})

        def _play(self, request: Request, reply: Reply) -> None:
            if reply.status != 200:
                error = {"type": reply.error, "message": reply.text or "scripted failure"}
                self._json(reply.status, {"type": "error", "error": error})
            elif not request.body.get("stream"):
                self._json(200, _message(request, reply))
            else:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in _events(request, reply):
                    self._chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
                self._chunk(b"")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

        def _json(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            if status >= 400:
                self.send_header("x-should-retry", "false")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler
