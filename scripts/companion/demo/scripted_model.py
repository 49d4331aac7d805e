"""A small OpenAI-compatible model server that plays a script, for `demo` and `doctor --self-test`.

It speaks the streaming half of `POST /v1/chat/completions`, on loopback only. A script is a function that gets the
request and a `Wire` to answer on; it may stream text, call tools, send an HTTP error, or stop half-way.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class ChatRequest:
    """One request as the model got it.

    `messages` are OpenAI chat messages; `received_at` is seconds on the monotonic clock.
    """

    messages: list[dict[str, Any]]
    tools: list[str]
    received_at: float
    body: dict[str, Any] = field(repr=False)

    @property
    def system(self) -> str:
        """All system texts, joined."""
        return "\n".join(message_text(m) for m in self.messages if m["role"] == "system")

    @property
    def user_texts(self) -> list[str]:
        """The text of every user message, oldest first."""
        return [message_text(m) for m in self.messages if m["role"] == "user"]

    @property
    def tool_results(self) -> list[str]:
        """What the tools answered since the last user message, oldest first."""
        results: list[str] = []
        for message in self.messages:
            if message["role"] == "user":
                results = []
            elif message["role"] == "tool":
                results.append(message_text(message))
        return results


def message_text(message: dict[str, Any]) -> str:
    """The text of a chat message whose content is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


class Wire:
    """The answering end of one request. Nothing is sent before the first call."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self._streaming = False
        self._calls = 0
        self.last_byte_at = 0.0

    def text(self, text: str) -> None:
        """Stream a piece of the answer."""
        self.delta({"content": text})

    def tool(self, name: str, arguments: dict[str, Any]) -> None:
        """Stream a whole tool call. End the turn with `finish("tool_calls")`."""
        call = {
            "index": self._calls,
            "id": f"call_{time.monotonic_ns()}_{self._calls}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        self._calls += 1
        self.delta({"tool_calls": [call]})

    def delta(self, delta: dict[str, Any], finish: str | None = None, usage: dict[str, Any] | None = None) -> None:
        """Stream one chunk in OpenAI's form."""
        chunk: dict[str, Any] = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        if usage is not None:
            chunk["usage"] = usage
        self.raw(f"data: {json.dumps(chunk)}\n\n".encode())

    def finish(self, reason: str = "stop", input_tokens: int = 100, output_tokens: int = 20) -> None:
        """End the stream properly."""
        usage = {
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        }
        self.delta({}, finish=reason, usage=usage)
        self.raw(b"data: [DONE]\n\n")
        self.last_byte_at = time.monotonic()

    def error(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        """Answer with an HTTP error instead of a stream."""
        payload = json.dumps(body).encode()
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", "application/json")
        self._handler.send_header("Content-Length", str(len(payload)))
        for name, value in (headers or {}).items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        self._handler.wfile.write(payload)

    def raw(self, data: bytes) -> None:
        """Send bytes on the stream, opening it first if need be."""
        if not self._streaming:
            self._handler.send_response(200)
            self._handler.send_header("Content-Type", "text/event-stream")
            self._handler.send_header("Connection", "close")
            self._handler.end_headers()
            self._streaming = True
        self._handler.wfile.write(data)
        self._handler.wfile.flush()


Script = Callable[[ChatRequest, Wire], None]


class ScriptedModel:
    """The server. Use as a context manager; `base_url` goes into opencode's provider options.

    `requests` holds every chat request, oldest first; wait for one with `wait_for_requests`.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[ChatRequest] = []
        self.closing = threading.Event()
        self._arrived = threading.Condition()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model._answer(body, Wire(self))
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where the model listens, e.g. `http://127.0.0.1:40001/v1`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedModel:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for_requests(self, count: int, timeout: float = 30.0) -> list[ChatRequest]:
        """The requests, as soon as there are `count` of them; TimeoutError after `timeout` seconds."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"the model got {len(self.requests)} of {count} requests in {timeout} s")
            return list(self.requests)

    def _answer(self, body: dict[str, Any], wire: Wire) -> None:
        tools = [tool["function"]["name"] for tool in body.get("tools", [])]
        request = ChatRequest(body["messages"], tools, time.monotonic(), body)
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        try:
            self.script(request, wire)
        except (BrokenPipeError, ConnectionResetError):
            pass  # opencode gave the request up, which is its right


def provider_config(base_url: str) -> dict[str, Any]:
    """An `opencode.json` whose only provider is the scripted model (`scripted/scripted`)."""
    return {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        "provider": {
            "scripted": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Scripted",
                "options": {"baseURL": base_url, "apiKey": "not-a-secret"},
                "models": {"scripted": {"name": "scripted"}},
            }
        },
    }
