"""Waiting for a job on the store alone, and handing its report over exactly once."""

from __future__ import annotations

import argparse
import time

from companion.context import Context
from companion.errors import StoreError
from companion.jobs import Job, blocked_json, job_json, now_ms
from companion.logs import log_path, tail, workspace_key
from companion.output import EXIT_DONE, EXIT_NOT_ENDED, show, show_json, tell
from companion.progress import StatusLine
from companion.report import now_doing, reply_command, report
from companion.states import Phase, Status
from companion.submit import Request, submit
from companion.supervisor.spawn import ensure_supervisor

# A look costs a seventh of a millisecond: so often, a command that waits takes half a percent of a core.
POLL_S = 0.025
# How often a waiting command makes sure that a supervisor lives; taking a free lock costs microseconds.
SUPERVISOR_CHECK_S = 1.0
# A supervisor that is gone so often before it did anything for the job will not do better the next time.
SUPERVISOR_STARTS = 6


def wait_for_end(context: Context, job: Job, max_wait_s: float | None) -> Job:
    """The job once it has ended or is blocked, or as it stands after `max_wait_s` seconds (None: no bound)."""
    with StatusLine() as line:
        return _wait(context, job, max_wait_s, line)


def _wait(context: Context, job: Job, max_wait_s: float | None, line: StatusLine) -> Job:
    deadline = None if max_wait_s is None else time.monotonic() + max_wait_s
    seen_version, checked_at, starts, moved_at = -1, -SUPERVISOR_CHECK_S, 0, job.updated_at
    while True:
        version = context.store.version()
        if version != seen_version:
            seen_version = version
            job = context.store.get(job.id) or job
        if not job.active or job.blocked is not None:
            return job
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return job
        if now - checked_at >= SUPERVISOR_CHECK_S:
            checked_at = now
            if job.updated_at != moved_at:
                starts, moved_at = 0, job.updated_at
            starts += ensure_supervisor(context.data_dir, job.workspace, job.server)
            if starts > SUPERVISOR_STARTS:
                give_up(context, job)
        if line.due:
            line.show(job.elapsed_ms, progress(job))
        time.sleep(POLL_S if deadline is None else max(0.0, min(POLL_S, deadline - now)))


def progress(job: Job) -> str:
    """What a person who waits reads: the phase and the last activity."""
    if job.activity is None:
        return "starting opencode" if job.phase == Phase.STARTING.value else job.phase
    return f"{job.phase} · {now_doing(job)}"


def give_up(context: Context, job: Job) -> None:
    """End a job whose supervisors all die at once: a job that nobody can work on must not look as if it ran."""
    log = log_path(context.data_dir, "supervisor", workspace_key(context.data_dir, job.workspace, job.server))
    last = tail(log).strip().splitlines()[-1:]
    message = f"The supervisor ends as soon as it starts: {' '.join(last)} — the whole log is {log}."
    context.store.finish(job.id, Status.FAILED, "supervisor_start", error_message=message, result=job.result)


def dispatch(context: Context, request: Request, options: argparse.Namespace) -> int:
    """Submit a job, then print its id, or wait for it and print its report, as the options say; the exit code."""
    job = submit(context, request)
    if not options.background:
        return hand_over(context, wait_for_end(context, job, options.max_wait), options.json, request.job_type)
    if options.json:
        show_json({"jobId": job.id, "status": job.status.value, "workspaceRoot": job.workspace})
    else:
        show(job.id)
    return EXIT_DONE


def hand_over(context: Context, job: Job, as_json: bool, channel: str) -> int:
    """Print an ended job and record that this Claude session has it; or say why there is nothing yet."""
    if job.active:
        return not_ended(context, job, as_json)
    if as_json:
        ended = {"jobId": job.id, "status": job.status.value, "workspaceRoot": job.workspace, "job": job_json(job)}
        show_json({**(job.review or {}), **ended})
    else:
        show(report(job, context.command))
    try:
        context.store.confirm_delivery(job.id, context.session or "", channel)
    except StoreError:
        pass  # it is shown, which is what was asked for; on a read-only disk nothing more can be done
    return EXIT_DONE


def not_ended(context: Context, job: Job, as_json: bool) -> int:
    """Exit 2: the job goes on. Says why, and the exact command to run next."""
    if job.blocked is not None:
        following = reply_command(job.blocked, context.command)
        why = f"{job.id} is {now_doing(job)}. Answer it with: {following}"
    else:
        following = context.command("wait-and-result", job.id)
        why = f"{job.id} has not ended yet ({now_doing(job)}); it goes on. Wait again with: {following}"
    if as_json:
        show_json(
            {
                "status": "running",
                "jobId": job.id,
                "phase": job.phase,
                "blockedOn": blocked_json(job),
                "elapsedMs": now_ms() - job.created_at,
                "next": following,
                "workspaceRoot": job.workspace,
                "job": job_json(job),
            }
        )
    tell(why)
    return EXIT_NOT_ENDED
