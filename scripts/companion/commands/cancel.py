"""Stop a job: its run is aborted and its processes end. What it produced so far is kept.

Without JOB: the only job of this session (in a plain terminal: of this workspace) that has not ended.
"""

from __future__ import annotations

import argparse
import time

from companion.commands.options import add_json
from companion.context import Context
from companion.errors import CompanionError
from companion.jobs import Job, job_json
from companion.output import EXIT_DONE, show, show_json
from companion.states import Status
from companion.supervisor.spawn import ensure_supervisor
from companion.waiting import POLL_S

LIMIT_S = 20.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="the job's id, or the beginning of it")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Ask for the stop and see it through."""
    job = context.store.find(options.job) if options.job is not None else _only_active(context)
    had_ended = not job.active
    if not had_ended:
        job = _cancel(context, job)
    if options.json:
        show_json({"workspaceRoot": job.workspace, "job": job_json(job)})
    elif had_ended:
        show(f"{job.id} had already ended: {job.status.value}.")
    elif job.status is Status.CANCELLED:
        show(f"{job.id} is cancelled.")
    else:
        show(f"{job.id} ended before it could be stopped: {job.status.value}.")
    return EXIT_DONE


def _only_active(context: Context) -> Job:
    active = context.store.jobs(workspace=context.workspace, claude_session=context.session, active=True)
    if not active:
        raise CompanionError("No job is running here, so there is nothing to cancel.")
    if len(active) > 1:
        names = ", ".join(f"{job.id} ({job.title})" for job in active)
        raise CompanionError(f"{len(active)} jobs are running: {names}. Say which one.")
    return active[0]


def _cancel(context: Context, job: Job) -> Job:
    context.store.request_cancel(job.id)
    ensure_supervisor(context.data_dir, job.workspace, job.server)
    deadline = time.monotonic() + LIMIT_S
    while True:
        job = context.store.get(job.id) or job
        if not job.active:
            return job
        if time.monotonic() > deadline:
            raise CompanionError(f"{job.id} was asked to stop but has not ended in {LIMIT_S:g} s; see `status`.")
        time.sleep(POLL_S)
