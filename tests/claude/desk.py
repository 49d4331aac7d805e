"""A whole desk: the real Claude Code with this plugin, the real opencode behind it, both models scripted.

    def test_something(desk: Desk) -> None:
        desk.opencode("count", says("There are 7."))             # OpenCode's model, for tasks that hold `count`
        desk.claude(main=[bash(task("count the files"))])         # Claude's: main thread, and by default one last word
        done = desk.run.print("Count.")
        assert desk.told_main("There are 7.") == 1

One desk serves all tests of a module on one Claude Code, so that one opencode server does.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import NO_PUBLIC_MODELS, share_bytecode, without_installing

from companion.demo.scripted_model import ChatRequest, ScriptedModel, Wire, provider_config
from companion.jobs import JOB_ID, Job
from companion.store import Store

from .messages_api import Cost, MessagesApi, Reply, Request, call
from .runner import Claude, ClaudeRun

REPO = Path(__file__).resolve().parents[2]
WAIT_S = 45.0
Line = Reply | Callable[[Request], Reply]
Play = Callable[[ChatRequest, Wire], None]


def bash(command: str, **more: Any) -> Reply:
    """Claude's model runs a command."""
    return call("Bash", command=command, description="A step", **more)


def task(text: str, options: str = "--background") -> str:
    """The command that commands and skills teach."""
    return f"opencode-companion task {options} - <<'OPENCODE_TASK'\n{text}\nOPENCODE_TASK"


def wait(request: Request, options: str = "") -> str:
    """The command that waits for the job that this conversation named last."""
    return f"opencode-companion wait-and-result {job_in(request)} {options}".rstrip()


def job_in(request: Request) -> str:
    """The job id that a conversation named last."""
    return str(JOB_ID.findall(request.text)[-1])


def says(answer: str, gate: threading.Event | None = None) -> Play:
    """OpenCode's model answers, once the gate is open."""

    def play(request: ChatRequest, wire: Wire) -> None:
        if gate is not None:
            gate.wait(WAIT_S)
        wire.text(answer)
        wire.finish()

    return play


class Desk:
    """What one test has at hand. `begin` clears it for the next."""

    def __init__(self, claude: Claude, root: Path, opencode: str) -> None:
        self.version = claude
        self.data = root / "data"
        share_bytecode(self.data)
        self._plays: dict[str, Play] = {}
        self._main: list[Line] = []
        self._agent: Callable[[Request], Reply] = lambda request: Reply("Nothing.")
        self._first = 0
        self._lock = threading.Lock()
        self.model = ScriptedModel(self._play)
        self.api = MessagesApi(self._reply, max_requests=1_000)
        self.run = ClaudeRun(
            claude,
            self.api.url,
            root,
            plugins=[REPO],
            env={
                "OPENCODE_BIN": opencode,
                "OPENCODE_COMPANION_DATA": str(self.data),
                "OPENCODE_DISABLE_MODELS_FETCH": "1",
                "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
                "npm_config_offline": "true",
                "OPENCODE_COMPLETION_POLL_MS": "1000",
                **NO_PUBLIC_MODELS,
            },
        )

    def begin(self) -> None:
        """Forget the test before."""
        self._plays, self._main = {}, []
        self._agent = lambda request: Reply("Nothing.")
        self._first = len(self.api.requests)

    # Scripts

    def opencode(self, word: str, play: Play) -> None:
        """OpenCode's model plays this for tasks that hold `word`."""
        self._plays[word] = play

    def claude(self, main: Sequence[Line] = (), agent: Sequence[Line] = ()) -> None:
        """The lines of Claude's model, in order; a subagent repeats its last one, the main thread says `Noted.`."""
        self._main = list(main)
        lines = list(agent) or [Reply("Nothing.")]
        self._agent = lambda request: _said(lines[min(request.turns, len(lines) - 1)], request)

    def _reply(self, request: Request) -> Reply:
        if request.is_subagent:
            return self._agent(request)
        with self._lock:
            line = self._main.pop(0) if self._main else Reply("Noted.")
        return _said(line, request)

    def _play(self, request: ChatRequest, wire: Wire) -> None:
        asked = "\n".join(request.user_texts[-1:])
        play = next((play for word, play in self._plays.items() if word in asked), says("An answer to nobody."))
        play(request, wire)

    # What happened

    @property
    def main(self) -> list[Request]:
        """The requests of the main thread since `begin`."""
        return [request for request in self.api.main if request.number >= self._first]

    @property
    def agents(self) -> list[Request]:
        """The requests of subagents since `begin`."""
        return [request for request in self.api.subagents if request.number >= self._first]

    @property
    def cost(self) -> Cost:
        """What all of it cost since `begin`."""
        return self.api.cost(self._first)

    def told_main(self, text: str) -> int:
        """How often a text stands in the main thread's conversation now."""
        return self.main[-1].text.count(text)

    def until_told(self, text: str) -> Request:
        """The first request in which the main model is told this."""
        return self.api.wait_for(
            lambda request: (
                request.number >= self._first and not (request.is_side or request.is_subagent) and text in request.text
            ),
            WAIT_S,
        )

    def job(self, word: str) -> Job:
        """The newest job whose task holds `word`, once there is one."""
        found: Job = self.until(lambda: next((job for job in self.jobs() if word in job.prompt), None))
        return found

    def ended(self, word: str) -> Job:
        """That job, once it has ended."""
        self.until(lambda: not self.job(word).active)
        return self.job(word)

    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        if not (self.data / "jobs.db").exists():
            return []
        with Store(str(self.data)) as store:
            return store.jobs()

    def until(self, condition: Callable[[], Any], limit_s: float = WAIT_S) -> Any:
        """Wait for what has no event of its own; the condition's value."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within {limit_s} s\n{self.story()}")

    def story(self) -> str:
        """All there is to know, for a failure message."""
        logs = "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in self.data.glob("logs/*")
        )
        jobs = "\n".join(f"{job.id} {job.status.value} {job.delivered_via} {job.prompt[:60]!r}" for job in self.jobs())
        return f"{self.api.story()}\n{jobs}\n{logs}"


def _said(line: Line, request: Request) -> Reply:
    return line if isinstance(line, Reply) else line(request)


@contextmanager
def desk_in(root: Path, claude: Claude) -> Iterator[Desk]:
    """A desk with the opencode that the test command installed."""
    desk = Desk(claude, root, os.environ["OPENCODE_TEST_BIN"])
    config = desk.run.home / ".config" / "opencode" / "opencode.json"
    without_installing(config.parent)
    with desk.model:
        config.write_text(json.dumps(provider_config(desk.model.base_url)), encoding="utf-8")
        with desk.api, desk.run:
            yield desk
