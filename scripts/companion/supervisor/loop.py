"""The supervisor's main loop: takes jobs up, keeps the server, and leaves when there is nothing to do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback

from companion import filelock
from companion.errors import CompanionError
from companion.jobs import Job, now_ms
from companion.logs import log_path, rotate, workspace_key
from companion.review.change import remove_stale
from companion.settings import Settings
from companion.states import Status
from companion.store import Store
from companion.supervisor.children import ProcessWatch
from companion.supervisor.driver import JobDriver
from companion.supervisor.events import EventHub
from companion.supervisor.server import Server

# How often the store is asked whether another process has written; it costs microseconds.
STORE_POLL_S = 0.02
HOUSEKEEPING_S = 600.0


class Supervisor:
    """Drives the jobs of one workspace that go to one server. `lock_fd` holds the right to do so."""

    def __init__(self, data_dir: str, workspace: str, server_url: str, settings: Settings, lock_fd: int) -> None:
        self._store = Store(data_dir)
        self._data_dir = data_dir
        self._workspace = workspace
        self._url = server_url
        self._lock_fd = lock_fd
        self._key = workspace_key(data_dir, workspace, server_url)
        self._idle_exit_s = settings.number("OPENCODE_SERVER_IDLE_EXIT_MS") / 1000
        self._hub = EventHub()
        self._watch = ProcessWatch(self._key)
        request_timeout_s = settings.limits.request_timeout / 1000
        self._server = Server(self._store, data_dir, workspace, server_url, self._key, request_timeout_s)
        self._server.on_new = self._hub.follow
        self._drivers: dict[str, JobDriver] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked_to_leave = False

    async def run(self) -> None:
        """Work until there has been no job for the idle limit, or a signal asks to leave."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ask_to_leave)
        seen_version = -1
        busy_at = housekeeping_at = time.monotonic()
        self._store.prune()
        remove_stale(self._data_dir)
        while not self._asked_to_leave:
            version = self._store.version()
            if version != seen_version:
                seen_version = version
                self._take_up()
            if self._tasks:
                busy_at = time.monotonic()
            elif time.monotonic() - busy_at > self._idle_exit_s and await self._leave():
                return
            if time.monotonic() - housekeeping_at > HOUSEKEEPING_S:
                housekeeping_at = time.monotonic()
                self._keep_house()
            await asyncio.sleep(STORE_POLL_S)
        # Asked by a signal: the jobs stay as they are, the next supervisor finds them and their server.
        for task in self._tasks.values():
            task.cancel()
        await self._server.drop()

    def _ask_to_leave(self) -> None:
        self._asked_to_leave = True

    def _jobs(self) -> list[Job]:
        return self._store.jobs(workspace=self._workspace, server=self._url, active=True)

    def _take_up(self) -> None:
        """Begin to drive every job that nobody drives; tell the others that the store has changed."""
        for job in reversed(self._jobs()):
            if job.id in self._drivers:
                self._drivers[job.id].poke()
                continue
            driver = JobDriver(job, self._store, self._server, self._hub, self._watch)
            self._drivers[job.id] = driver
            task = asyncio.create_task(driver.run(), name=job.id)
            self._tasks[job.id] = task
            task.add_done_callback(self._driven)

    def _driven(self, task: asyncio.Task[None]) -> None:
        job_id = task.get_name()
        del self._tasks[job_id], self._drivers[job_id]
        if task.cancelled() or task.exception() is None:
            return
        # A fault of ours must not leave a job that runs for ever.
        error = task.exception()
        traceback.print_exception(error)
        message = (
            f"The companion met a fault of its own ({type(error).__name__}: {error}); see its log in the data folder."
        )
        self._store.finish(job_id, Status.FAILED, "internal_error", error_message=message)

    async def _leave(self) -> bool:
        """Stop the server; then, unless a job came meanwhile, give up the lock while nobody can add one."""
        self._hub.stop()
        await self._server.stop()
        with self._store.exclusive():
            if self._jobs():
                return False
            filelock.unlock(self._lock_fd)
            return True

    def _keep_house(self) -> None:
        self._store.prune()
        remove_stale(self._data_dir)
        for name in ("server", "supervisor"):
            rotate(log_path(self._data_dir, name, self._key))


def main(data_dir: str, workspace: str, server_url: str, lock_fd: int) -> int:
    """Entry of the supervisor process; stdout and stderr are its log."""
    print(f"{now_ms()} supervisor {os.getpid()} for {workspace}", flush=True)
    try:
        supervisor = Supervisor(data_dir, workspace, server_url, Settings.from_env(os.environ), lock_fd)
        asyncio.run(supervisor.run())
    except CompanionError as error:
        print(f"{now_ms()} {error}", file=sys.stderr, flush=True)
        return 1
    print(f"{now_ms()} supervisor {os.getpid()} leaves", flush=True)
    return 0
