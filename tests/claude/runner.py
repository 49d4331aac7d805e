"""Runs the real Claude Code in a HOME of its own against a scripted Messages API.

    def test_something(claude: Claude, tmp_path: Path) -> None:   # `claude`: each of CLAUDE_TEST_BINS in turn
        with MessagesApi(reply) as api, ClaudeRun(claude, api.url, tmp_path, plugins=[REPO]) as run:
            done = run.print("/opencode:rescue mend it")          # plain `claude -p`; its answer: done.result
            with run.stream() as session:                         # fed by stream-json: lives on while idle
                session.say("Dispatch it.")
                session.wait_results(1)                           # a turn has ended ...
                session.wait_results(2)                           # ... and a hook woke the model for another
            with run.interactive("The first prompt.") as screen:  # the terminal program, in a pty
                api.wait_for(lambda request: "The first prompt." in request.text)
                screen.enter("The second prompt.")

The binaries come from the environment: CLAUDE_TEST_BINS, paths joined by os.pathsep. Everything that a run
writes stays below `root` (HOME, project folder, temp dir), and `ClaudeRun.close` ends every process that
carries the run's marker in its environment, whatever session or parent it has by then. What a test has to
see happen is best awaited at the API (`MessagesApi.wait_for`).

`skip_permissions=False` gives the default permission mode, `allowed_tools` its exceptions, `args` any other
option. `env` adds to the environment, which holds nothing of the caller's but PATH; `python3` on it is the
interpreter that runs the test.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import psutil

from companion.supervisor.processes import wait_gone

BINS_VARIABLE = "CLAUDE_TEST_BINS"
MARKER = "CLAUDE_HARNESS_RUN"
# The test session's own marker (tests/conftest.py), by which it finds what outlives it.
SESSION_MARKER = "OPENCODE_COMPANION_TEST_RUN"
API_KEY = "sk-fake-0123456789-0123456789-0123456789"
RUN_TIMEOUT_S = 60.0
END_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Claude:
    """One Claude Code binary."""

    path: Path
    version: str

    @staticmethod
    def at(path: str | Path) -> Claude:
        told = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=60, check=True)
        return Claude(Path(path), told.stdout.split()[0])

    @property
    def key(self) -> tuple[int, ...]:
        """The version for comparing."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])

    def __str__(self) -> str:
        return self.version


@functools.cache
def binaries() -> tuple[Claude, ...]:
    """The binaries that the environment names, oldest first."""
    named = [path for path in os.environ.get(BINS_VARIABLE, "").split(os.pathsep) if path]
    return tuple(sorted((Claude.at(path) for path in named), key=lambda claude: claude.key))


@dataclass(frozen=True)
class Printed:
    """A finished `claude -p`."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The JSON values on stdout, a line each (one with `--output-format json`)."""
        return [value for line in self.stdout.splitlines() if isinstance(value := _json(line), dict)]

    @property
    def result(self) -> str:
        """The answer `claude -p` printed."""
        last = next((event for event in reversed(self.events) if event.get("type") == "result"), None)
        if last is None:
            raise AssertionError(f"no result (exit {self.returncode}): {self.stdout[-500:]!r} {self.stderr[-500:]!r}")
        return str(last.get("result", ""))


class ClaudeRun:
    """A HOME, a project folder and the processes that were started in them; a context manager."""

    def __init__(
        self,
        claude: Claude,
        api_url: str,
        root: Path,
        *,
        plugins: Sequence[Path] = (),
        skip_permissions: bool = True,
        allowed_tools: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
    ) -> None:
        self.claude = claude
        self.root = root
        self.home = root / "home"
        self.project = root / "project"
        self.temp = root / "tmp"
        self.marker = uuid.uuid4().hex
        self._children: list[_Child] = []
        for folder in (self.home / ".claude", self.project, self.temp):
            folder.mkdir(parents=True, exist_ok=True)
        self._seed_home()
        self.env = self._environment(api_url, env or {})
        self.options = [f"--plugin-dir={plugin}" for plugin in plugins]
        if skip_permissions:
            self.options.append("--dangerously-skip-permissions")
        if allowed_tools:
            self.options.append("--allowedTools=" + ",".join(allowed_tools))
        self.options += args

    def _environment(self, api_url: str, extra: Mapping[str, str]) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        session = {SESSION_MARKER: os.environ[SESSION_MARKER]} if SESSION_MARKER in os.environ else {}
        return {
            "PATH": path,
            "HOME": str(self.home),
            "TMPDIR": str(self.temp),
            "CLAUDE_CODE_TMPDIR": str(self.temp),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/bash",
            "ANTHROPIC_BASE_URL": api_url,
            "ANTHROPIC_API_KEY": API_KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            # Whatever would leave this machine ends at a closed port of it.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            MARKER: self.marker,
            **session,
            **extra,
        }

    def _seed_home(self) -> None:
        """Answers the dialogs of a first interactive start: theme, API key, trust of the folder, bypass."""
        state = {
            "hasCompletedOnboarding": True,
            "lastOnboardingVersion": self.claude.version,
            "theme": "dark",
            "bypassPermissionsModeAccepted": True,
            "customApiKeyResponses": {"approved": [API_KEY[-20:]], "rejected": []},
            "projects": {
                str(self.project): {
                    "hasTrustDialogAccepted": True,
                    "hasCompletedProjectOnboarding": True,
                    "projectOnboardingSeenCount": 9,
                }
            },
        }
        settings = {"skipDangerousModePermissionPrompt": True, "theme": "dark"}
        for file, content in ((".claude.json", state), (".claude/settings.json", settings)):
            path = self.home / file
            if not path.exists():
                path.write_text(json.dumps(content), encoding="utf-8")

    def command(self, *args: str) -> list[str]:
        return [str(self.claude.path), *self.options, *args]

    def print(
        self,
        prompt: str,
        *args: str,
        timeout: float = RUN_TIMEOUT_S,
        output: str = "json",
        stdin: str | None = None,
    ) -> Printed:
        """Runs plain `claude -p PROMPT` to its end; AssertionError when `timeout` seconds are not enough."""
        command = self.command("-p", prompt, "--output-format", output, *args)
        if output == "stream-json":
            command.append("--verbose")
        started = time.monotonic()
        child = self._start(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        try:
            stdout, stderr = child.process.communicate(stdin.encode() if stdin is not None else None, timeout)
        except subprocess.TimeoutExpired:
            child.end()
            stdout, stderr = child.process.communicate()
            raise AssertionError(
                f"claude -p was not done after {timeout} s: {stdout[-500:]!r} {stderr[-500:]!r}"
            ) from None
        child.end()
        seconds = time.monotonic() - started
        return Printed(child.process.returncode, _text(stdout), _text(stderr), seconds)

    def stream(self, *args: str) -> StreamSession:
        """Starts `claude -p` that reads user messages from stdin, a JSON line each, until that is closed."""
        command = self.command(
            "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", *args
        )
        return StreamSession(self._start(command, stdin=subprocess.PIPE))

    def interactive(self, *args: str, columns: int = 150, rows: int = 50) -> Screen:
        """Starts the terminal program in a pseudo-terminal; a prompt among `args` is its first turn."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        try:
            child = self._start(self.command(*args), stdin=terminal, stdout=terminal, stderr=terminal)
        finally:
            os.close(terminal)
        return Screen(child, controller)

    def _start(self, command: list[str], **streams: Any) -> _Child:
        for name in ("stdout", "stderr"):
            streams.setdefault(name, subprocess.PIPE)
        process = subprocess.Popen(
            command, cwd=self.project, env=self.env, start_new_session=True, close_fds=True, **streams
        )
        child = _Child(process)
        self._children.append(child)
        return child

    def processes(self) -> list[psutil.Process]:
        """Every living process of this run, whoever its parent is."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARKER) == self.marker and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def transcripts(self) -> Iterator[Path]:
        """The session transcripts in this HOME, those of subagents included."""
        return (self.home / ".claude" / "projects").rglob("*.jsonl")

    def close(self) -> None:
        for child in self._children:
            child.end()
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        wait_gone(left, END_TIMEOUT_S)

    def __enter__(self) -> ClaudeRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass
class _Child:
    """A started claude, leader of its own process group."""

    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """Ends the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(END_TIMEOUT_S)


class StreamSession:
    """A `claude -p` with stream-json on both sides; a context manager that ends it."""

    def __init__(self, child: _Child) -> None:
        self._child = child
        self._events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._ended = False
        self.stderr = b""
        process = child.process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._stdin: IO[bytes] = process.stdin
        self._readers = [
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._child.process.pid

    @property
    def events(self) -> list[dict[str, Any]]:
        with self._changed:
            return list(self._events)

    @property
    def results(self) -> list[str]:
        """The answers of the turns that have ended."""
        return [str(event.get("result", "")) for event in self.events if event.get("type") == "result"]

    def say(self, text: str) -> None:
        """Sends one user message."""
        self.send({"type": "user", "message": {"role": "user", "content": text}})

    def send(self, message: Mapping[str, Any]) -> None:
        self._stdin.write(json.dumps(message).encode() + b"\n")
        self._stdin.flush()

    def wait(self, done: Callable[[list[dict[str, Any]]], bool], timeout: float = 30.0) -> list[dict[str, Any]]:
        """Waits until `done` accepts the events so far; AssertionError when it never does."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not done(self._events):
                remaining = deadline - time.monotonic()
                if remaining <= 0 or self._ended:
                    why = "claude ended" if self._ended else f"not within {timeout} s"
                    raise AssertionError(f"{why}; events: {[_brief(event) for event in self._events]}; {self.stderr!r}")
                self._changed.wait(remaining)
            return list(self._events)

    def wait_results(self, count: int, timeout: float = 30.0) -> list[str]:
        """Waits until `count` turns have ended since the start and gives their answers."""
        self.wait(lambda events: sum(event.get("type") == "result" for event in events) >= count, timeout)
        return self.results

    def finish(self, timeout: float = 30.0) -> int:
        """Closes stdin and waits for the program to end by itself; its exit code."""
        self._stdin.close()
        code = self._child.process.wait(timeout)
        for reader in self._readers:
            reader.join(END_TIMEOUT_S)
        return code

    def kill(self) -> None:
        """Kills claude alone, as a crash would; its children live on until the run is closed."""
        self._child.process.kill()
        self._child.process.wait(END_TIMEOUT_S)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._child.end()
        for reader in self._readers:
            reader.join(END_TIMEOUT_S)

    def __enter__(self) -> StreamSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            event = _json(line.decode(errors="replace"))
            if isinstance(event, dict):
                with self._changed:
                    self._events.append(event)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_errors(self, stderr: IO[bytes]) -> None:
        for line in stderr:
            self.stderr += line


@dataclass
class Screen:
    """An interactive claude in a pseudo-terminal; a context manager that ends it."""

    _child: _Child
    _controller: int
    _output: bytearray = field(default_factory=bytearray)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._child.process.pid

    @property
    def text(self) -> str:
        """All that was printed so far, without control sequences and blanks: words are placed, not spaced."""
        with self._changed:
            plain = _CONTROL.sub("", self._output.decode(errors="replace"))
        return re.sub(r"\s+", "", plain)

    def wait_text(self, text: str, timeout: float = 30.0, since: int = 0) -> None:
        """Waits until `text` (blanks don't count) has been printed, `since` characters into `self.text`."""
        wanted = re.sub(r"\s+", "", text)
        deadline = time.monotonic() + timeout
        while wanted not in self.text[since:]:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self._child.process.poll() is not None:
                raise AssertionError(f"{text!r} was not printed; screen: {self.text[-1500:]}")
            with self._changed:
                self._changed.wait(min(remaining, 0.1))

    def keys(self, data: str) -> None:
        """Sends key presses as they are."""
        os.write(self._controller, data.encode())

    def enter(self, text: str) -> None:
        """Types a prompt and sends it off once the program has shown it."""
        shown = len(self.text)
        self.keys(text)
        self.wait_text(text, since=shown)
        self.keys("\r")

    def close(self) -> None:
        self._child.end()
        self._reader.join(END_TIMEOUT_S)
        with contextlib.suppress(OSError):
            os.close(self._controller)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._controller, 65536)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self._output += data
                self._changed.notify_all()


_CONTROL = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[PX^_].*?\x1b\\|\x1b[ -/]*[0-~]")


def write_plugin(
    root: Path,
    name: str,
    hooks: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    files: Mapping[str, str] | None = None,
) -> Path:
    """Makes a throwaway plugin: `hooks` as in hooks.json, `files` by their paths, say agents/x.md."""
    folder = root / name
    content = {
        ".claude-plugin/plugin.json": json.dumps({"name": name, "version": "0.0.1", "description": "For a test."}),
        "hooks/hooks.json": json.dumps({"hooks": hooks or {}}),
        **(files or {}),
    }
    for path, text in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def hook(script: Path, *args: str, **fields: Any) -> dict[str, Any]:
    """A command hook in exec form that runs a Python script with the test's own interpreter."""
    return {"type": "command", "command": sys.executable, "args": ["-I", str(script), *args], **fields}


def _brief(event: Mapping[str, Any]) -> str:
    return f"{event.get('type')}/{event.get('subtype', '')}"


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")
