"""The opencode server of a workspace: found alive, started, or — where the user named one — only used."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from companion.errors import CompanionError
from companion.failures import classify, one_line
from companion.jobs import now_ms
from companion.logs import log_path, open_log, tail
from companion.observation import Ask, Failure, SessionState
from companion.opencode import binary
from companion.opencode.adapter import Adapter, Catalog, ServerDenied, ServerError, ServerUnreachable
from companion.opencode.v1 import OpenCodeV1
from companion.store import Store
from companion.supervisor import processes

USERNAME = "opencode"
BOOT_LIMIT_S = 60.0
BOOT_TRIES = 4
LISTENING = b"server listening on http"
# A server that lives but answers nothing for so long is frozen: it is ended, and its jobs are resumed on another.
SILENCE_LIMIT_S = 30.0
# Jobs that reconcile within this time share one answer about all sessions.
SHARED_FOR_MS = 1_000
# How long a server that the user named may be away before its jobs are given up.
EXTERNAL_PATIENCE_S = 10.0
# Claude Code's own variables would make a `claude` that a job runs believe it is part of this session.
_CLAUDE_VARIABLES = (
    "CLAUDECODE",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_EFFORT",
    "CLAUDE_ENV_FILE",
    "CLAUDE_PLUGIN_ROOT",
    "CLAUDE_PLUGIN_DATA",
    "CLAUDE_PROJECT_DIR",
    "AI_AGENT",
)


@dataclass(frozen=True)
class Surroundings:
    """The sessions that are not idle, and what is asked; `asks` is None where the server could not list them.

    `at` is when the server was asked, ms since the epoch.
    """

    at: int
    states: Mapping[str, SessionState]
    asks: tuple[Ask, ...] | None


class ServerTrouble(Exception):
    """There is no server to work with. `reason` is the job's reason word; the message is for a person."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Server:
    """The one server that this supervisor uses, through `adapter()`."""

    def __init__(
        self, store: Store, data_dir: str, workspace: str, url: str, key: str, request_timeout_s: float
    ) -> None:
        self._store = store
        self._data_dir = data_dir
        self._workspace = workspace
        self._url = url
        self._key = key
        self._request_timeout_s = request_timeout_s
        self._adapter: Adapter | None = None
        self._catalog: Catalog | None = None
        self._starting = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._surroundings: Surroundings | None = None
        self._silent_since: float | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self.pid: int | None = None
        self._create_time = 0.0
        self.on_new: Callable[[Adapter], None] = lambda adapter: None

    @property
    def managed(self) -> bool:
        """Ours to start and stop."""
        return not self._url

    def alive(self) -> bool:
        """Whether the server is there, as far as can be told without asking it."""
        if not self.managed:
            return self._adapter is not None
        if self._child is not None and self._child.poll() is not None:
            return False
        return self.pid is not None and processes.is_alive(self.pid, self._create_time)

    def serves(self, adapter: Adapter) -> bool:
        """Whether this adapter's server is still the one in use, alive, and not frozen."""
        return self._adapter is adapter and self.alive() and not self._frozen()

    def answered(self, did: bool) -> None:
        """Take note that a request was answered, or was not."""
        self._silent_since = None if did else self._silent_since or time.monotonic()

    @property
    def silent(self) -> bool:
        """The last request was not answered."""
        return self._silent_since is not None

    def _frozen(self) -> bool:
        return self._silent_since is not None and time.monotonic() - self._silent_since > SILENCE_LIMIT_S

    async def adapter(self) -> Adapter:
        """The server's adapter; finds or starts the server if there is none. Raises ServerTrouble."""
        async with self._starting:
            if self._adapter is not None and self.serves(self._adapter):
                return self._adapter
            await self.drop()
            adapter = await (self._attach_or_start() if self.managed else self._connect_external())
            self._adapter = adapter
            self.on_new(adapter)
            return adapter

    async def drop(self) -> None:
        """Forget the connection, e.g. because the server is gone. The next use finds or starts one."""
        if self._adapter is not None:
            print(f"{now_ms()} {self._adapter.requests} requests to the server", flush=True)
            await self._adapter.close()
        self._adapter = self._catalog = self._surroundings = self._silent_since = None

    async def catalog(self, fresh: bool = False) -> Catalog:
        """Agents and models, kept for the server's life unless `fresh`."""
        adapter = await self.adapter()
        if self._catalog is None or fresh:
            self._catalog = await adapter.catalog()
        return self._catalog

    async def surroundings(self, adapter: Adapter) -> Surroundings:
        """What the server says of all sessions at once; asked once for all jobs that reconcile within a moment."""
        async with self._asking:
            if self._surroundings is None or now_ms() - self._surroundings.at > SHARED_FOR_MS:
                at, states = now_ms(), await adapter.states()
                try:
                    asks: tuple[Ask, ...] | None = await adapter.asks()
                except ServerUnreachable:
                    raise
                except ServerError:
                    asks = None  # the list fails as a whole on some asks; the event stream has them
                self._surroundings = Surroundings(at, states, asks)
            return self._surroundings

    async def stop(self) -> None:
        """End a managed server and all that its jobs left behind; takes up to some seconds."""
        await self.drop()
        if self.managed:
            await asyncio.to_thread(processes.end_marked, self._key)
            self.pid = self._child = None
            self._store.forget_server(self._workspace)

    # A server that the user named

    async def _connect_external(self) -> Adapter:
        adapter = self._new_adapter(self._url, *self._store.credentials(self._url))
        deadline = time.monotonic() + EXTERNAL_PATIENCE_S
        while True:
            try:
                binary.check_version(await adapter.version())
                return adapter
            except ServerUnreachable as error:
                if time.monotonic() > deadline:
                    await adapter.close()
                    message = f"{error}. Start it, or unset OPENCODE_SERVER_URL to let the companion start its own."
                    raise ServerTrouble("server_unreachable", message) from error
                await asyncio.sleep(0.2)
            except ServerDenied as error:
                await adapter.close()
                message = f"{error}. Set OPENCODE_SERVER_USERNAME and OPENCODE_SERVER_PASSWORD to that server's."
                raise ServerTrouble("server_auth", message) from error
            except (ServerError, CompanionError) as error:
                await adapter.close()
                raise ServerTrouble("server_version", f"OPENCODE_SERVER_URL={self._url}: {error}.") from error

    # Our own server

    async def _attach_or_start(self) -> Adapter:
        known = self._store.server(self._workspace)
        if known and processes.is_alive(known["pid"], known["create_time"]):
            adapter = self._new_adapter(known["url"], USERNAME, known["password"])
            if await self._answers(adapter):
                self.pid, self._create_time = known["pid"], known["create_time"]
                return adapter
            await adapter.close()
        # What an earlier server left behind would go on writing beside the resumed run.
        await asyncio.to_thread(processes.end_marked, self._key)
        self._child = None
        return await self._start()

    async def _answers(self, adapter: Adapter) -> bool:
        for _ in range(3):
            try:
                await adapter.version()
                return True
            except ServerError:
                await asyncio.sleep(0.1)
        return False

    async def _start(self) -> Adapter:
        try:
            program = binary.find(os.environ, self._data_dir)
        except CompanionError as error:
            raise ServerTrouble("opencode_missing", str(error)) from error
        path = log_path(self._data_dir, "server", self._key)
        for attempt in range(BOOT_TRIES):
            password = secrets.token_urlsafe(24)
            marker = f"{self._key}.{secrets.token_hex(4)}"
            port = _free_port()
            fd = open_log(path)
            begins_at = os.fstat(fd).st_size
            try:
                self._child = subprocess.Popen(
                    [program, "serve", "--hostname", "127.0.0.1", "--port", str(port)],
                    cwd=self._workspace,
                    env=_environment(password, marker),
                    stdin=subprocess.DEVNULL,
                    stdout=fd,
                    stderr=fd,
                    start_new_session=True,
                )
            except OSError as error:
                if not os.path.isdir(self._workspace):
                    message = f"The workspace {self._workspace} is gone; run the task in a folder that exists."
                    raise ServerTrouble("workspace_gone", message) from error
                message = f"{program} cannot be run ({error.strerror}); reinstall opencode or set OPENCODE_BIN."
                raise ServerTrouble("opencode_missing", message) from error
            finally:
                os.close(fd)
            if await self._listening(path, begins_at):
                return await self._adopt(self._child, f"http://127.0.0.1:{port}", password, marker)
            trouble = _boot_trouble(tail(path)[-600:], path)
            if trouble.reason == "config_unreadable":
                break
            # Two first starts in one HOME race in opencode's own database: the loser ends, and starts the next time.
            await asyncio.sleep(0.3 * (attempt + 1))
        raise trouble

    async def _listening(self, path: str, begins_at: int) -> bool:
        """Wait for the line that says the server listens: what is asked before is never answered."""
        assert self._child is not None
        deadline = time.monotonic() + BOOT_LIMIT_S
        with open(path, "rb") as log:
            log.seek(begins_at)
            seen = b""
            while time.monotonic() < deadline:
                seen += log.read()
                if LISTENING in seen:
                    return True
                if self._child.poll() is not None:
                    return False
                await asyncio.sleep(0.02)
        await asyncio.to_thread(processes.end_marked, self._key)
        return False

    async def _adopt(self, child: subprocess.Popen[bytes], url: str, password: str, marker: str) -> Adapter:
        adapter = self._new_adapter(url, USERNAME, password)
        deadline = time.monotonic() + BOOT_LIMIT_S
        while True:
            try:
                version = await adapter.version()
                break
            except ServerUnreachable as error:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise ServerTrouble(
                        "server_unreachable", f"The opencode server does not answer: {error}."
                    ) from error
            except ServerError as error:
                # The line was seen, so something answers — but a program that is no opencode 1.x.
                await asyncio.to_thread(processes.end_marked, self._key)
                raise ServerTrouble("opencode_version", f"{error}. Set OPENCODE_BIN to an opencode 1.x.") from error
        try:
            binary.check_version(version)
        except CompanionError as error:
            await asyncio.to_thread(processes.end_marked, self._key)
            raise ServerTrouble("opencode_version", str(error)) from error
        self.pid = child.pid
        self._create_time = processes.create_time(child.pid) or time.time()
        self._store.save_server(
            self._workspace,
            url=url,
            password=password,
            marker=marker,
            pid=child.pid,
            create_time=self._create_time,
            version=version,
        )
        return adapter

    def _new_adapter(self, url: str, username: str, password: str) -> Adapter:
        return OpenCodeV1(url, username, password, self._workspace, self._request_timeout_s)


def _free_port() -> int:
    """A port that is free now. Asked for none, opencode would take 4096, which users expect to be theirs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(password: str, marker: str) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in _CLAUDE_VARIABLES}
    env["OPENCODE_SERVER_PASSWORD"] = password
    env.pop("OPENCODE_SERVER_USERNAME", None)
    env.setdefault("OPENCODE_DISABLE_AUTOUPDATE", "1")
    env[processes.MARKER] = marker
    return env


def _boot_trouble(said: str, path: str) -> ServerTrouble:
    config = re.search(r"[^\s'\"]+\.jsonc?\b", said)
    if config is not None and re.search(r"JSONC|config", said, re.IGNORECASE):
        # What opencode prints here repeats the file, keys and all: only the place of the mistake is shown.
        place = re.search(r"\w+ at line \d+, column \d+", said)
        what = f"{config[0]} ({place[0]})" if place else config[0]
        return ServerTrouble("config_unreadable", f"opencode cannot read its configuration {what}; correct that file.")
    line = one_line(said, 300) or "it said nothing"
    known = classify(Failure("BootError", said))
    if known.reason == "disk_full":
        return ServerTrouble("disk_full", known.message)
    return ServerTrouble("server_start", f"`opencode serve` did not start: {line} — the whole log is {path}.")
