"""Watch jobs and print one line for each event, for an agent that reads along.

  task-… running: bash: npm test               a change of state or activity
  HEARTBEAT task-… running for 2m              nothing has changed for a while
  READY task-… completed: the answer …         the answer; lines that belong to it are indented
  TERMINAL=completed task-…                    the job has ended; `TERMINAL=timeout` if the polls are used up

Ends with code 0 when every job has ended, with 2 if one goes on.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from companion.context import Context
from companion.hooks.delivery import MONITOR, claim
from companion.hooks.frame import cut, harmless, whole
from companion.jobs import Job
from companion.output import EXIT_DONE, EXIT_NOT_ENDED, show
from companion.report import describe, short_duration
from companion.states import Status
from companion.supervisor.spawn import ensure_supervisor
from companion.waiting import POLL_S

# The polls that the settings count. Between them the store is watched, so that an end is told at once.
POLL_INTERVAL_S = 5.0
# Claude's Monitor tool cuts a line at 500 characters.
LINE_CHARS = 480
INDENT = "  "


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("jobs", nargs="+", metavar="JOB", help="a job's id, or the beginning of it")


def run(context: Context, options: argparse.Namespace) -> int:
    """Watch until every job has ended or the polls are used up."""
    watched = {job.id: Watched(job.id) for job in map(context.store.find, options.jobs)}
    polls = context.settings.number("OPENCODE_MONITOR_MAX_POLLS")
    limit = time.monotonic() + polls * POLL_INTERVAL_S
    heartbeat_s = context.settings.number("OPENCODE_MONITOR_HEARTBEAT_POLLS") * POLL_INTERVAL_S
    version, checked_at = -1, float("-inf")
    while True:
        now, seen = time.monotonic(), context.store.version()
        if seen != version or now - checked_at >= 1.0:
            version, checked_at = seen, now
            for job_id in list(watched):
                job = context.store.get(job_id)
                if job is None or not job.active:
                    del watched[job_id]
                    if job is not None:
                        tell_end(context, job)
                    continue
                ensure_supervisor(context.data_dir, job.workspace, job.server)
                watched[job_id].tell_change(job, now, heartbeat_s)
        if not watched:
            return EXIT_DONE
        if now >= limit:
            for job_id in watched:
                show(f"TERMINAL=timeout {job_id}")
            return EXIT_NOT_ENDED
        time.sleep(POLL_S)


@dataclass
class Watched:
    """A job that has not ended: what was last said of it, and when."""

    job_id: str
    state: tuple[object, ...] = ()
    told_at: float = 0.0

    def tell_change(self, job: Job, now: float, heartbeat_s: float) -> None:
        """A line where the job does something else than before, or a heartbeat after a long quiet."""
        activity = job.activity and (job.activity.tool, job.activity.detail)
        state = (job.status, job.phase, activity, job.blocked)
        if state != self.state:
            self.state, self.told_at = state, now
            show(line(f"{job.id} {job.status.value}: {describe(job)}"))
        elif heartbeat_s and now - self.told_at >= heartbeat_s:
            self.told_at = now
            show(line(f"HEARTBEAT {job.id} {job.status.value} for {short_duration(job.elapsed_ms)}: {describe(job)}"))


def tell_end(context: Context, job: Job) -> None:
    """The answer, if this Claude session has not got it yet, and the end."""
    session = context.session or ""
    if claim(context.store, job, session, MONITOR):
        show("\n".join(ready_lines(job, context.settings.number("OPENCODE_MONITOR_RESULT_CHARS"))))
        context.store.confirm_delivery(job.id, session, MONITOR)
    else:
        show(f"READY {job.id} {job.status.value} (its report has been delivered; again: {whole(job.id)})")
    show(f"TERMINAL={job.status.value} {job.id}")


def ready_lines(job: Job, limit: int) -> list[str]:
    """The announcement of an ended job with the beginning of its answer."""
    answer = harmless(job.result or "")
    if job.status is not Status.COMPLETED:
        answer = f"{job.reason or 'unknown'}: {job.error_message or ''}\n{answer}".strip()
    shown = cut(answer, limit)
    pieces = [piece for text in shown.splitlines() for piece in _pieces(text)]
    lines = [f"READY {job.id} {job.status.value}: {pieces[0] if pieces else ''}".rstrip()]
    lines += [INDENT + piece for piece in pieces[1:]]
    if shown != answer:
        lines.append(f"{INDENT}[{len(shown)} of {len(answer)} characters; the whole: {whole(job.id)}]")
    return lines


def line(text: str) -> str:
    """One event on one line."""
    return cut(" ".join(harmless(text).split()), LINE_CHARS)


def _pieces(text: str) -> list[str]:
    """A line of an answer, in pieces that are shown whole."""
    size = LINE_CHARS - 80
    return [text[start : start + size] for start in range(0, max(len(text), 1), size)]
