"""Watch the jobs of this workspace, every Claude session's, until interrupted: what each does right now.

With --all, of every workspace. In a terminal the picture is kept up to date in place; elsewhere there is a line for
each change. Only looks: no job depends on it, and none is touched by it.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from collections.abc import Callable
from types import ModuleType

from companion import progress, terminal
from companion.context import Context
from companion.jobs import Job, now_ms
from companion.output import EXIT_DONE, show
from companion.plaintext import flat
from companion.report import duration, hints, tokens_and_cost, waits_for, what_it_does

RECENT = 10
LOOK_EVERY_S = 0.2
# Without a change only ages grow. They are shown in seconds as long as something runs.
AGES_EVERY_S = 1.0
IDLE_AGES_EVERY_S = 15.0
# What was last told of a job: more of it will not come.
ENDED = "ended"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--all", action="store_true", help="the jobs of every workspace")


def run(context: Context, options: argparse.Namespace) -> int:
    """Show until interrupted."""
    workspace = None if options.all else context.workspace
    panel = terminal.panel(context.data_dir) if progress.moves_cursor(sys.stdout) else None
    if panel is None:
        tell_changes(context, workspace)
    else:
        show_picture(context, workspace, panel)
    return EXIT_DONE


class Looks:
    """The store, looked at again only when it has changed."""

    def __init__(self, context: Context, workspace: str | None) -> None:
        self._store, self._workspace = context.store, workspace
        self._version = -1
        self.active: list[Job] = []
        self.ended: list[Job] = []

    def changed(self) -> bool:
        """Whether there is something new; `active` and `ended`, newest first, are up to date then."""
        version = self._store.version()
        if version == self._version:
            return False
        self._version = version
        self.active = self._store.jobs(workspace=self._workspace, active=True)
        self.ended = self._store.jobs(workspace=self._workspace, active=False, limit=RECENT)
        return True

    def workspaces(self) -> list[str]:
        """Those that the jobs belong to; where something runs comes first."""
        return list(dict.fromkeys(job.workspace for job in (*self.active, *self.ended)))


# In a terminal


def show_picture(context: Context, workspace: str | None, panel: ModuleType) -> None:
    """Keep a picture of the jobs up to date, whatever the size of the terminal becomes."""
    looks = Looks(context, workspace)
    drawn_at, drawn_for = 0.0, os.terminal_size((0, 0))
    with terminal.Screen() as screen:
        while True:
            now, size = time.monotonic(), progress.size(sys.stdout)
            ages_due = now - drawn_at >= (AGES_EVERY_S if looks.active else IDLE_AGES_EVERY_S)
            if looks.changed() or size != drawn_for or ages_due:
                drawn_at, drawn_for = now, size
                screen.paint(_picture(context, workspace, looks, panel, size))
            time.sleep(LOOK_EVERY_S)


def _picture(
    context: Context, workspace: str | None, looks: Looks, panel: ModuleType, size: os.terminal_size
) -> list[str]:
    places = [
        panel.Place(
            folder,
            [job for job in looks.active if job.workspace == folder],
            [job for job in looks.ended if job.workspace == folder],
        )
        for folder in looks.workspaces() or [workspace or "Every workspace"]
    ]
    urgent = [hint for hint in hints(looks.active, [], context.command) if hint.urgent]
    lines: list[str] = panel.picture(places, urgent, size)
    return lines


# Anywhere else


def tell_changes(context: Context, workspace: str | None) -> None:
    """A line for every job that runs, then one for each change of what a job does, and one for its end."""
    looks, began = Looks(context, workspace), now_ms()
    told: dict[str, object] = {}
    rest = _rest_while_read()
    looks.changed()
    if not looks.active:
        show(f"{_now()} nothing is running in {_place(workspace)}; what starts will be shown")
    while True:
        for job in _news(context, looks, told, began):
            show(_line(job, job.id not in told, workspace is None))
            told[job.id] = _state(job)
        while not looks.changed():
            rest(LOOK_EVERY_S)


def _news(context: Context, looks: Looks, told: dict[str, object], began: int) -> list[Job]:
    """Jobs that are not as they were told, oldest first. A job may also have begun and ended between two looks."""
    seen = {job.id: job for job in looks.ended if (job.completed_at or 0) >= began}
    seen.update((job.id, job) for job in looks.active)
    for job_id, state in told.items():
        if state != ENDED and job_id not in seen:
            job = context.store.get(job_id)
            if job is not None:
                seen[job_id] = job
    return sorted((job for job in seen.values() if told.get(job.id) != _state(job)), key=lambda job: job.created_at)


def _state(job: Job) -> object:
    return (job.phase, job.blocked, what_it_does(job)) if job.active else ENDED


def _line(job: Job, is_new: bool, with_place: bool) -> str:
    words = [job.status.value if job.reason in (None, job.status.value) else f"{job.status.value} ({job.reason})"]
    if not job.active:
        words += [f"after {duration(job.elapsed_ms)}", tokens_and_cost(job)]
    elif job.blocked:
        words.append(f"blocked on a {waits_for(job.blocked)}")
    else:
        words += [word for word in dict.fromkeys((job.phase, what_it_does(job))) if word != job.status.value]
    if is_new or not job.active:
        words.append(flat(job.title) + (f" in {_place(job.workspace)}" if with_place else ""))
    return f"{_now()} {job.id} {' · '.join(words)}"


def _place(workspace: str | None) -> str:
    return flat(workspace or "any workspace")


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _rest_while_read() -> Callable[[float], None]:
    """A sleep, in seconds, that ends with BrokenPipeError when nobody reads our lines any more."""
    if not hasattr(select, "poll"):
        return time.sleep
    stdout = select.poll()
    stdout.register(sys.stdout.fileno(), 0)  # a closed reader is reported unasked

    def rest(seconds: float) -> None:
        if stdout.poll(seconds * 1000):
            raise BrokenPipeError

    return rest
