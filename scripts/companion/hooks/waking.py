"""Waits for jobs, asynchronously to Claude, and wakes it with the report when one has ended.

Claude Code runs this as an `asyncRewake` hook: exit code 2 starts a turn with what stands on stderr. One process waits
for a job, whichever of the calls that showed the job started it; it ends with its Claude.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from companion import filelock
from companion.errors import CompanionError
from companion.hooks.claude_process import cannot_be_woken
from companion.hooks.delivery import WAKING, Turn, claim, turn_of
from companion.hooks.frame import MAX_UNITS, cut, framed_ask, framed_reports, inline_limit
from companion.hooks.payload import DISPATCH, agent_text, command_output, job_ids, mapping, text
from companion.hooks.run import put
from companion.jobs import Job, now_ms
from companion.store import Store

BUSY_S = 5.0
POLL_S = 0.1
# What changes without the store telling: the clock, a subagent's transcript, the supervisor, our parent.
LOOK_S = 0.5
REVIVE_S = 10.0
# A dispatch whose command went to the background at once writes its job down within this.
APPEAR_S = 20.0
# A foreground command that meets a blocked job says so itself, and may be answered at once.
BLOCKED_MS = 5_000
# Below the timeout in hooks.json.
LIMIT_S = 14_400.0
WAKE = 2


def wake(payload: Mapping[str, Any], env: Mapping[str, str], data_dir: str) -> int:
    """2 with the report on stderr, or 0 when there is nothing to tell (any more)."""
    if cannot_be_woken(env):
        return 0
    claude = os.getppid()
    with Store(data_dir, BUSY_S, repair=False) as store:
        jobs = jobs_to_watch(store, payload, claude)
        held = [(job.id, lock) for job in jobs if (lock := lock_of(data_dir, job.id)) is not None]
        try:
            return watch(store, payload, env, data_dir, [job_id for job_id, _ in held], claude) if held else 0
        finally:
            for job_id, lock in held:
                try:
                    os.unlink(lock_path(data_dir, job_id))
                except OSError:
                    pass
                filelock.unlock(lock)


def jobs_to_watch(store: Store, payload: Mapping[str, Any], claude: int) -> list[Job]:
    """The jobs of this session that the event is about and that have not been delivered."""
    session, command = text(payload, "session_id"), text(payload, "tool_input", "command")
    if text(payload, "hook_event_name") == "UserPromptSubmit":
        return store.jobs(claude_session=session, active=True)
    call, dispatching = text(payload, "tool_use_id"), bool(DISPATCH.search(command))
    named = job_ids(command_output(payload), command, agent_text(mapping(payload, "tool_response")))
    deadline = time.monotonic() + APPEAR_S
    while True:
        found = {job.id: job for job in map(store.get, named) if job is not None}
        found.update((job.id, job) for job in store.jobs_of_call(call))
        if found or not dispatching or time.monotonic() > deadline or os.getppid() != claude:
            break
        time.sleep(LOOK_S)
        store.adopt_jobs(session)
    mine = [job for job in found.values() if job.claude_session == session]
    return [job for job in mine if turn_of(store, job, payload) is not Turn.NOBODYS]


def watch(
    store: Store,
    payload: Mapping[str, Any],
    env: Mapping[str, str],
    data_dir: str,
    job_ids: list[str],
    claude: int,
) -> int:
    """Wait until a delivery of one of these jobs is ours, and make it."""
    limit = time.monotonic() + LIMIT_S
    version, looked_at, revived_at = -1, 0.0, time.monotonic()
    while job_ids and time.monotonic() < limit and os.getppid() == claude:
        time.sleep(POLL_S)
        now, seen = time.monotonic(), store.version()
        if seen == version and now - looked_at < LOOK_S:
            continue
        version, looked_at = seen, now
        jobs = [job for job in map(store.get, job_ids) if job is not None]
        turns = {job.id: turn_of(store, job, payload) for job in jobs}
        ours = [job for job in jobs if turns[job.id] is Turn.OURS]
        if ours and deliver(store, ours, env, claude):
            return WAKE
        if tell_of_asks(store, jobs, claude):
            return WAKE
        job_ids = [job.id for job in jobs if turns[job.id] is not Turn.NOBODYS]
        if now - revived_at > REVIVE_S:
            revived_at = now
            revive(data_dir, jobs)
    return 0


def deliver(store: Store, jobs: list[Job], env: Mapping[str, str], claude: int) -> bool:
    """Hand the reports over on stderr. False, and nothing is claimed, if that is no longer ours or nobody is there."""
    if os.getppid() != claude:
        return False
    claimed = [job for job in jobs if claim(store, job, job.claude_session or "", WAKING)]
    if not claimed:
        return False
    told, shown = framed_reports(claimed, inline_limit(env))
    if os.getppid() == claude:
        put(2, told.encode("utf-8", "replace"))
    else:
        shown = []
    for job in claimed:
        if job in shown:
            store.confirm_delivery(job.id, job.claude_session or "", WAKING)
        else:
            store.release_delivery(job.id, job.claude_session or "")
    return bool(shown)


def tell_of_asks(store: Store, jobs: list[Job], claude: int) -> bool:
    """Say what blocked jobs wait for, on stderr, once each. False if there is nothing new, or nobody to tell.

    The prompt that this makes starts the next process that waits for these jobs.
    """
    asking = [job for job in jobs if job.blocked is not None and now_ms() - job.updated_at > BLOCKED_MS]
    if not asking or os.getppid() != claude:
        return False
    new = [job for job in asking if job.blocked is not None and store.tell_ask(job.blocked.request_id, job.id)]
    if new:
        put(2, cut("\n\n".join(map(framed_ask, new)), MAX_UNITS).encode("utf-8", "replace"))
    return bool(new)


def revive(data_dir: str, jobs: list[Job]) -> None:
    """A job whose supervisor has died goes on."""
    from companion.supervisor.spawn import ensure_supervisor

    for job in jobs:
        if job.active:
            try:
                ensure_supervisor(data_dir, job.workspace, job.server)
            except (CompanionError, OSError):
                pass


def lock_path(data_dir: str, job_id: str) -> str:
    """The lock of the one process that waits to wake Claude for a job."""
    return os.path.join(data_dir, "wakers", job_id + ".lock")


def lock_of(data_dir: str, job_id: str) -> int | None:
    """The lock's descriptor; None if another process waits for the job."""
    os.makedirs(os.path.dirname(lock_path(data_dir, job_id)), mode=0o700, exist_ok=True)
    return filelock.try_lock(lock_path(data_dir, job_id))
