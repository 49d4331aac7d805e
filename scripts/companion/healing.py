"""Carries jobs on whose supervisor has died."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from companion.bootstrap import environment_python
from companion.context import Context
from companion.errors import CompanionError
from companion.jobs import Job
from companion.progress import ticking
from companion.states import Phase
from companion.store import store_path
from companion.supervisor.spawn import ensure_supervisor

POLL_S = 0.02
# How long `heal` watches what becomes of the jobs, and how long a command that only reads may be held up.
HEAL_LIMIT_S = 15.0
REVIVE_LIMIT_S = 2.0
# In these a new supervisor has not found out yet what became of a job; in `starting` it may still fail to begin.
_UNSEEN = (Phase.QUEUED.value, Phase.RECOVERING.value, Phase.FINALIZING.value)
_UNCERTAIN = (*_UNSEEN, Phase.STARTING.value)

RECOVERED = "recovered"
STILL_RECOVERING = "still_recovering"
WOULD_RECOVER = "would_recover"
NO_SUPERVISOR = "no_supervisor"
_SENTENCES = {
    RECOVERED: "goes on under a new supervisor",
    STILL_RECOVERING: "has a new supervisor, which has not found out yet what became of it",
    WOULD_RECOVER: "has no living supervisor; heal would start one, which carries it on or ends it",
    NO_SUPERVISOR: "has no living supervisor, and none can be started",
}


class Action(NamedTuple):
    """What healing did about one job: its status before and after, and why, as a machine word."""

    job_id: str
    before: str
    after: str
    reason: str

    @property
    def sentence(self) -> str:
        """The action for a person."""
        return f"{self.job_id} {_SENTENCES.get(self.reason) or f'has ended: {self.after} ({self.reason})'}."


class Outcome(NamedTuple):
    """How many jobs were looked at, what was done, and why something could not be done (else empty)."""

    scanned: int
    actions: list[Action]
    trouble: str = ""


def heal(context: Context, everywhere: bool, dry_run: bool, limit_s: float = HEAL_LIMIT_S) -> Outcome:
    """Give every job that has not ended and that nobody drives a supervisor, and watch what becomes of it.

    `everywhere`: of all workspaces. With `dry_run` nothing is written and nothing started.
    """
    if not os.path.exists(store_path(context.data_dir)):
        return Outcome(0, [])
    active = context.store.jobs(workspace=None if everywhere else context.workspace, active=True)
    if dry_run:
        return Outcome(len(active), [_action(job, job, WOULD_RECOVER) for job in _unsupervised(context, active)])
    started, refused = [], []
    trouble = ""
    for place, jobs in _by_place(active).items():
        try:
            if ensure_supervisor(context.data_dir, *place):
                started += jobs
        except (CompanionError, OSError) as error:
            refused += jobs
            trouble = str(error)
    now = _watch(context, started, limit_s, _UNCERTAIN)
    actions = [_action(job, now[job.id], _became(job, now[job.id])) for job in started]
    return Outcome(len(active), [*actions, *(_action(job, job, NO_SUPERVISOR) for job in refused)], trouble)


def revive(context: Context, workspace: str) -> None:
    """Before a read: see that every job of this workspace is driven, and wait a moment where one was not.

    Never takes long, and fails only if the store cannot be read: what it holds is shown without opencode, environment
    or writable disk.
    """
    active = context.store.jobs(workspace=workspace, active=True)
    if not active or environment_python(context.data_dir) is None:
        return
    try:
        started: list[Job] = []
        for place, jobs in _by_place(active).items():
            if ensure_supervisor(context.data_dir, *place):
                started += jobs
        if started:
            _watch(context, started, REVIVE_LIMIT_S, _UNSEEN)
    except (CompanionError, OSError):
        pass


def _by_place(jobs: Iterable[Job]) -> dict[tuple[str, str], list[Job]]:
    """The jobs of each supervisor."""
    places: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        places.setdefault((job.workspace, job.server), []).append(job)
    return places


def _unsupervised(context: Context, active: list[Job]) -> list[Job]:
    from companion.health.work import supervised

    return [
        job for place, jobs in _by_place(active).items() if not supervised(context.data_dir, *place) for job in jobs
    ]


def _watch(context: Context, jobs: list[Job], limit_s: float, unknown: Sequence[str]) -> dict[str, Job]:
    """The jobs, once each has left the phases `unknown`, or as they stand after `limit_s` seconds."""
    now = {job.id: job for job in jobs}
    waiting = dict(now)

    def look() -> bool:
        for job_id, before in list(waiting.items()):
            now[job_id] = context.store.get(job_id) or before
            if _known(before, now[job_id], unknown):
                del waiting[job_id]
        return not waiting

    wait_until(context, look, limit_s)
    return now


def wait_until(context: Context, condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait until the store is as hoped. False after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    seen = -1
    with ticking("waiting for opencode"):
        while True:
            version = context.store.version()
            if version != seen:
                seen = version
                if condition():
                    return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)


def _known(before: Job, now: Job, unknown: Sequence[str]) -> bool:
    return not now.active or (now.updated_at != before.updated_at and now.phase not in unknown)


def _became(before: Job, now: Job) -> str:
    if not now.active:
        return now.reason or now.status.value
    return RECOVERED if _known(before, now, _UNCERTAIN) else STILL_RECOVERING


def _action(before: Job, now: Job, reason: str) -> Action:
    return Action(before.id, before.status.value, now.status.value, reason)
