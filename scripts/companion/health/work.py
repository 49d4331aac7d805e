"""Jobs and their supervisors, looked at without changing anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from companion import filelock
from companion.context import Context
from companion.errors import CompanionError
from companion.health.check import Finding, fail, ok, warn
from companion.jobs import Job, now_ms
from companion.logs import workspace_key
from companion.report import short_duration
from companion.store import Store, store_path

# A supervisor writes at least once a minute that a job lives.
UNWRITTEN_MS = 5 * 60_000
UNMOVED_MS = 15 * 60_000


@contextmanager
def store_to_look(context: Context) -> Iterator[Store | None]:
    """The store for reading, None where there is none yet. StoreError if it cannot be read; nothing is repaired."""
    if not os.path.exists(store_path(context.data_dir)):
        yield None
        return
    with Store(context.data_dir, busy_timeout_s=2.0, repair=False) as store:
        yield store


def supervised(data_dir: str, workspace: str, server: str) -> bool:
    """Whether a supervisor lives for these jobs. Makes no file; a free lock is held for some microseconds."""
    key = workspace_key(data_dir, workspace, server)
    path = os.path.join(data_dir, "supervisors", f"{key}.lock")
    if not os.path.exists(path):
        return False
    fd = filelock.try_lock(path)
    if fd is None:
        return True
    filelock.unlock(fd)
    return False


def jobs(context: Context) -> list[Finding]:
    """The jobs that have not ended, of every workspace: does anybody drive them, and do they move."""
    with store_to_look(context) as store:
        active = store.jobs(active=True) if store else []
    if not active:
        return [ok("None is running.")]
    living = {
        place: supervised(context.data_dir, *place)
        for place in dict.fromkeys((job.workspace, job.server) for job in active)
    }
    findings = [
        finding for job in active if (finding := _trouble(context, job, living[job.workspace, job.server])) is not None
    ]
    return findings or [ok(f"{len(active)} running, each with a living supervisor.")]


def _trouble(context: Context, job: Job, has_supervisor: bool) -> Finding | None:
    now = now_ms()
    if not has_supervisor:
        elsewhere = [] if job.workspace == _workspace(context) else ["--all"]
        return fail(f"{job.id} has no living supervisor.", context.command("heal", *elsewhere))
    if job.blocked is not None:
        where = [] if job.workspace == _workspace(context) else ["--cwd", job.workspace]
        return warn(f"{job.id} is blocked on a {job.blocked.kind}.", context.command("permissions", "list", *where))
    quiet = now - job.updated_at
    if quiet > UNWRITTEN_MS:
        return warn(f"{job.id}: its supervisor has written nothing for {short_duration(quiet)}.", _cancel(context, job))
    unmoved = now - job.activity.at if job.activity else 0
    if unmoved > UNMOVED_MS:
        return warn(f"{job.id} has not moved for {short_duration(unmoved)}.", _cancel(context, job))
    return None


def _cancel(context: Context, job: Job) -> str:
    return f"{context.command('status', job.id)}, or {context.command('cancel', job.id)}"


def _workspace(context: Context) -> str | None:
    try:
        return context.workspace
    except CompanionError:
        return None
