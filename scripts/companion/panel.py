"""Jobs as a person's terminal shows them, drawn with rich; `report` says the same without it.

Texts of models and files go through `plaintext.flat` and are never read as markup.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from companion.jobs import Job, now_ms
from companion.output import paint
from companion.plaintext import flat, width
from companion.progress import size
from companion.report import (
    Hint,
    compact_duration,
    short_count,
    short_duration,
    steps,
    tokens_and_cost,
    waits_for,
    what_it_does,
)
from companion.states import Status

# Below so many columns each job gets lines of its own instead of a row in a table.
TABLE_COLUMNS = 64
# From here on there is room for the ids of jobs beside their titles.
ID_COLUMNS = 132
GAP = 2
HEADS = ("STATE", "TIME", "LAST", "IN", "OUT", "COST")
# Wide enough for what comes next, so that a live picture does not jump at every full minute.
LEAST = (9, 6, 7, 5, 5, 5)
# Token and cost columns stand only where a job has some.
ALWAYS = 3
# How many ended jobs of a workspace a live picture shows, tried in this order until it fits.
ENDED_KEPT = (10, 5, 2, 0)
QUIET, NAME, BLOCKED = "dim", "bold", "blocked"
STYLES = {
    Status.QUEUED.value: "cyan",
    Status.RUNNING.value: "green",
    BLOCKED: "bold yellow",
    Status.COMPLETED.value: "blue",
    Status.INCOMPLETE.value: "yellow",
    Status.FAILED.value: "red",
    Status.CANCELLED.value: QUIET,
}


class Place(NamedTuple):
    """A workspace with its jobs: those that have not ended, and the latest that have."""

    workspace: str
    active: Sequence[Job]
    ended: Sequence[Job]

    @property
    def jobs(self) -> list[Job]:
        """All of them, in the order in which they are shown."""
        return [*self.active, *self.ended]


def print_overview(place: Place, hints: Sequence[Hint]) -> None:
    """Print a workspace's jobs, and what can be done next."""
    columns = size(sys.stdout).columns
    paint("\n".join([*overview([place], columns), *commands(hints, columns), ""]))


def print_details(job: Job, hints: Sequence[Hint]) -> None:
    """Print all there is to say of a job that has not ended, and what can be done next."""
    columns = size(sys.stdout).columns
    paint("\n".join([*drawn(details(job), columns), "", *commands(hints, columns), ""]))


def picture(places: Sequence[Place], hints: Sequence[Hint], screen: os.terminal_size) -> list[str]:
    """The lines of a live picture, which fill at most the screen: where it is small, ended jobs go first."""
    footer = drawn(Text("Ctrl-C ends the watch; the jobs go on.", style=QUIET, no_wrap=True), screen.columns)
    below = [*commands(hints, screen.columns), *footer]
    room = screen.lines - sum(map(_rows(screen.columns), below))
    if room < 1:
        below, room = [], screen.lines
    lines: list[str] = []
    for kept in ENDED_KEPT:
        lines = overview([place._replace(ended=place.ended[:kept]) for place in places], screen.columns)
        if len(lines) <= room:
            break
    if len(lines) > room:
        lines = [*lines[: room - 1], "…"]
    return [*lines, *below]


def drawn(renderable: RenderableType, columns: int) -> list[str]:
    """The lines that a terminal of so many columns is sent: in colour as far as it has any and NO_COLOR allows."""
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=columns,
        height=100,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
    )
    with console.capture() as capture:
        # soft_wrap: a command that is longer than the line must stay one line to whoever copies it.
        console.print(renderable, soft_wrap=isinstance(renderable, Text))
    return [line.rstrip() for line in capture.get().splitlines()]


def overview(places: Sequence[Place], columns: int) -> list[str]:
    """The jobs of each workspace, in tables or, where the terminal is narrow, on lines of their own."""
    lines: list[str] = []
    shape = Shape([job for place in places for job in place.jobs], columns)
    for place in places:
        body = shape.table(place) if columns >= TABLE_COLUMNS else _narrow(place, columns)
        lines += [*drawn(_heading(place, columns), columns), *(drawn(body, columns) if place.jobs else []), ""]
    return lines


def commands(hints: Sequence[Hint], columns: int) -> list[str]:
    """What can be done next, a line for each, however long: commands are there to be copied."""
    lines = []
    for hint in hints:
        line = Text(f"{hint.purpose}: ", style=STYLES[BLOCKED] if hint.urgent else QUIET)
        lines += drawn(Text.assemble(line, hint.command), columns)
    return lines


def details(job: Job) -> RenderableType:
    """All there is to say of a job that has not ended."""
    facts = Table.grid(padding=(0, GAP))
    facts.add_column(style=QUIET, no_wrap=True)
    facts.add_column(overflow="fold")
    state = _state(job) + Text(f" · {job.phase} · {compact_duration(job.elapsed_ms)}")
    facts.add_row("State", state)
    if job.blocked:
        facts.add_row("Waits for", Text(waits_for(job.blocked), style=STYLES[BLOCKED]))
    facts.add_row("Job", job.id)
    facts.add_row("Session", job.opencode_session or "none yet")
    facts.add_row("Model", flat(job.model or "default") + (f" · agent {flat(job.agent)}" if job.agent else ""))
    facts.add_row("Tokens", tokens_and_cost(job))
    trail = [flat(step) for step in job.progress]
    if trail[-1:] != [what_it_does(job)]:
        trail.append(what_it_does(job))
    for index, step in enumerate(trail):
        newest = index == len(trail) - 1
        line = Text(step, style="" if newest else QUIET)
        if newest and job.activity:
            line.append(f" · {short_duration(now_ms() - job.activity.at)} ago", style=QUIET)
        facts.add_row("" if index else "Steps", line)
    return Group(Text(flat(job.title), style=NAME), facts)


class Shape:
    """Which columns the tables have and how wide they are: alike for all workspaces, so that they align."""

    def __init__(self, jobs: Sequence[Job], columns: int) -> None:
        rows = [_cells(job) for job in jobs]
        self.kept = [at for at in range(len(HEADS)) if at < ALWAYS or any(cells[at].plain for cells in rows)]
        self.sizes = [max([LEAST[at], *(cells[at].cell_len for cells in rows)]) for at in self.kept]
        self.with_id = columns >= ID_COLUMNS
        if self.with_id:
            self.sizes.append(max((len(job.id) for job in jobs), default=0))
        self.room = columns - sum(self.sizes) - GAP * len(self.sizes)

    def table(self, place: Place) -> Table:
        """The table of one workspace. Free text stands last: where a terminal disagrees on its width, nothing moves."""
        table = Table.grid(padding=(0, GAP, 0, 0))
        heads = [HEADS[at] for at in self.kept] + (["JOB"] if self.with_id else [])
        for at, columns in enumerate(self.sizes):
            table.add_column(width=columns, no_wrap=True, justify="right" if 0 < at < len(self.kept) else "left")
        table.add_column(width=self.room, no_wrap=True, overflow="ellipsis")
        table.add_row(*(Text.assemble((head, QUIET)) for head in [*heads, "TASK"]))
        for job in place.jobs:
            cells = _cells(job)
            ids = [Text(job.id, style=QUIET)] if self.with_id else []
            table.add_row(*(cells[at] for at in self.kept), *ids, _task(job, not self.with_id, self.room))
        return table


def _heading(place: Place, columns: int) -> Text:
    """The workspace, cut at its beginning if need be, and how many of its jobs are in which state."""
    counts: dict[str, int] = {}
    for job in place.active:
        counts[_state(job).plain] = counts.get(_state(job).plain, 0) + 1
    states = Text()
    for name, count in counts.items():
        states.append(" · ", style=QUIET).append(f"{count} {name}", style=STYLES[name])
    if not counts:
        states.append(" · nothing is running", style=QUIET)
    path = flat(shown_path(place.workspace))
    while path and width(path) + states.cell_len > columns:
        path = "…" + path[2:] if len(path) > 2 else ""
    line = Text.assemble((path, NAME), states) if path else states[3:]
    line.truncate(columns, overflow="ellipsis")
    return line


def _narrow(place: Place, columns: int) -> RenderableType:
    lines: list[Text] = []
    for job in place.jobs:
        cells = [cell for cell in _cells(job) if cell.plain]
        gap = GAP if sum(cell.cell_len + GAP for cell in cells) - GAP <= columns else 1
        lines.append(Text(" " * gap).join(cells))
        lines += [Text("  ") + line for line in _task(job, True, columns - GAP).split("\n")]
    for line in lines:
        line.truncate(columns, overflow="ellipsis")
    return Group(*lines)


def _cells(job: Job) -> list[Text]:
    """What stands under HEADS; empty where there is nothing to say. LAST is the last sign of life, or the end."""
    last = job.completed_at or (job.activity.at if job.activity else None)
    tokens, cost = job.tokens, job.cost
    return [
        _state(job),
        Text(compact_duration(job.elapsed_ms)),
        Text(f"{short_duration(now_ms() - last)} ago" if last else "", style=QUIET),
        Text(short_count(tokens.input) if tokens.input else ""),
        Text(short_count(tokens.output) if tokens.output else ""),
        Text((f"${cost:.2f}" if cost >= 0.01 else f"${cost:.4f}") if cost else ""),
    ]


def _state(job: Job) -> Text:
    name = BLOCKED if job.blocked else job.status.value
    return Text(name, style=STYLES[name])


def _task(job: Job, with_id: bool, room: int) -> Text:
    """The title, below it what the job does, and its id or why it ended. `room`: columns of a line."""
    lines = [Text(flat(job.title), style=NAME if job.active else "")]
    style = STYLES[_state(job).plain]
    if job.blocked:
        lines.append(Text(waits_for(job.blocked), style=style))
    elif job.status is Status.RUNNING:
        phase = f"{job.phase} · " if job.activity else ""
        lines.append(Text(phase + steps(job, room - len(phase)), style=style))
    if with_id:
        lines.append(Text(job.id, style=QUIET))
    if not job.active and job.reason not in (None, job.status.value):
        why = Text(job.reason or "", style=style)
        if with_id and lines[-1].cell_len + len(" · ") + why.cell_len <= room:
            lines[-1].append(" · ").append_text(why)
        else:
            lines.append(why)
    return Text("\n").join(lines)


def _rows(columns: int) -> Callable[[str], int]:
    """How many rows of the terminal a line takes."""
    return lambda line: max(1, -(-cell_len(Text.from_ansi(line).plain) // columns))


def shown_path(path: str) -> str:
    """A path with the home folder as `~`."""
    home = os.path.expanduser("~")
    if home != "/" and (path == home or path.startswith(home + os.sep)):
        return "~" + path[len(home) :]
    return path
