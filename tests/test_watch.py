"""`watch`: a live picture in a terminal, a line for each change elsewhere, and a clean end of both."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobfactory import add_ended, make_job
from terminals import ENTRY, Terminal, companion

from companion.jobs import Activity, Blocked, Job, now_ms
from companion.output import EXIT_ERROR, EXIT_INTERRUPTED
from companion.plaintext import width
from companion.states import Status
from companion.store import Store
from companion.terminal import Screen

pytestmark = pytest.mark.slow

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\r[red]x[/red]"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    data_dir.mkdir(mode=0o700)
    with Store(str(data_dir)) as store:
        yield store


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def running(store: Store, workspace: Path, title: str) -> Job:
    """A job that runs as far as the store knows."""
    job = make_job(workspace=os.path.realpath(workspace), title=title)
    store.add(job)
    assert store.start(job.id)
    return job


def works(store: Store, job: Job, detail: str) -> None:
    store.update(job.id, phase="working", activity=Activity("bash", detail, now_ms()))


def watch(workspace: Path, *words: str, columns: int = 100, lines: int = 30, **env: str) -> Terminal:
    return companion("watch", *words, cwd=workspace, columns=columns, lines=lines, env=env)


# In a terminal


def test_the_picture_follows_the_store(store: Store, workspace: Path) -> None:
    first = running(store, workspace, "mend the parser")
    with watch(workspace) as terminal:
        terminal.shows("1 running", "mend the parser", first.id)
        works(store, first, "npm test")
        terminal.shows("working · bash: npm test")
        second = running(store, workspace, "看看 日志")
        store.update(second.id, blocked=Blocked("permission", "per_1", "bash: rm -rf build"))
        terminal.shows("1 blocked · 1 running", "看", "permission: bash: rm -rf build")
        # How long the command is, and so where its line ends, depends on where the program lies.
        terminal.until(lambda: "reply per_1 once" in "".join(terminal.screen.display))
        store.finish(first.id, Status.COMPLETED, result="done")
        store.finish(second.id, Status.FAILED, "idle")
        terminal.shows("nothing is running", "completed", "failed", "idle")
        assert "reply per_1" not in terminal.text


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_terminal_is_as_before_however_it_ends(
    number: signal.Signals, code: int, store: Store, workspace: Path
) -> None:
    running(store, workspace, "mend it")
    with watch(workspace) as terminal:
        terminal.shows("mend it")
        assert terminal.screen.cursor.hidden
        assert not terminal.echoes()
        os.kill(terminal.pid, number)
        assert terminal.exit_code() == code
        assert not terminal.screen.cursor.hidden
        assert terminal.echoes()
        after = terminal.raw.partition(Screen.LEAVE.encode())[2]
        assert after.strip() in (b"", b"Interrupted; jobs that were started go on.")


def test_ctrl_c(store: Store, workspace: Path) -> None:
    with watch(workspace) as terminal:
        terminal.shows("nothing is running")
        terminal.type("typed\n\x03")
        assert terminal.exit_code() == EXIT_INTERRUPTED
        assert b"typed" not in terminal.raw


def test_it_fits_whatever_the_size_becomes(store: Store, workspace: Path) -> None:
    job = running(store, workspace, "a title that is quite a bit longer than a narrow window is wide")
    for n in range(12):
        add_ended(store, workspace=job.workspace, title=f"ended {n}")
    with watch(workspace, columns=120, lines=30) as terminal:
        terminal.shows("STATE", "ended 11", "Ctrl-C")
        terminal.resize(40, 12)
        terminal.shows("· 1 running\n", "\n  a title that is quite a bit longer", "Ctrl-C")
        assert "STATE" not in terminal.text
        assert sum("running" in line for line in terminal.text.splitlines()) == 2  # the heading and the job
        terminal.resize(120, 30)
        terminal.shows("STATE", "ended 11", "Ctrl-C")
        assert terminal.text.count("STATE") == 1
        terminal.resize(40, 3)
        terminal.until(lambda: terminal.text.endswith("\n…\nCtrl-C ends the watch; the jobs go on."))
        assert len(terminal.text.splitlines()) == 3


@pytest.mark.parametrize("columns", [100, 40, 12])
def test_what_models_write_harms_neither_terminal_nor_alignment(columns: int, store: Store, workspace: Path) -> None:
    job = running(store, workspace, HOSTILE)
    works(store, job, HOSTILE)
    running(store, workspace, "修复" * 30)
    with watch(workspace, columns=columns) as terminal:
        terminal.shows("␛[2J" if columns > 12 else "␛")
        terminal.shows("复")
        terminal.type("\x03")
        terminal.exit_code()
    shown, _, _ = terminal.raw.decode().partition(Screen.LEAVE)
    picture = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", re.sub(r"\r+\n", "\n", shown))
    assert not CONTROL.search(picture)
    if columns > 12:
        assert "[red]" in picture
    assert all(width(line) <= columns for line in terminal.screen.display)


def test_without_colour(store: Store, workspace: Path) -> None:
    running(store, workspace, "mend it")
    with watch(workspace, NO_COLOR="1") as terminal:
        terminal.shows("mend it")
    assert not re.search(rb"\x1b\[(\d+;)*[349]\d", terminal.raw)


def test_the_jobs_of_every_workspace(store: Store, workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "blog"
    other.mkdir()
    running(store, workspace, "in the shop")
    running(store, other, "in the blog")
    with watch(workspace, "--all") as terminal:
        terminal.shows("in the shop", "in the blog", "shop · 1 running", "blog · 1 running")
    with watch(workspace) as terminal:
        terminal.shows("in the shop")
        assert "in the blog" not in terminal.text


# Elsewhere


class Lines:
    """`watch` with its stdout in a pipe."""

    def __init__(self, workspace: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ENTRY), "watch", *words],
            cwd=workspace,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def next(self) -> str:
        """The next line, without its time."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert re.match(r"\d\d:\d\d:\d\d ", line), line
        assert not CONTROL.search(line)
        return line[9:].rstrip("\n")


def test_a_line_for_each_change(store: Store, workspace: Path) -> None:
    with Lines(workspace) as lines:
        assert lines.next() == f"nothing is running in {workspace}; what starts will be shown"
        job = running(store, workspace, HOSTILE)
        assert lines.next() == f"{job.id} running · starting · ␛[2J␛]0;owned␇�31m␍[red]x[/red]"
        works(store, job, "npm\ntest")
        assert lines.next() == f"{job.id} running · working · bash: npm test"
        works(store, job, "npm test")  # only its time is new
        store.update(job.id, blocked=Blocked("question", "que_1", "which one?"))
        assert lines.next() == f"{job.id} running · blocked on a question: which one?"
        store.finish(job.id, Status.FAILED, "idle")
        assert re.fullmatch(rf"{job.id} failed \(idle\) · after .* · 0 in, 0 out · ␛\[2J.*", lines.next())
        quick = add_ended(store, workspace=job.workspace, title="over at once")
        assert lines.next().startswith(f"{quick.id} completed · after ")
        lines.process.send_signal(signal.SIGINT)
        _, said = lines.process.communicate()
        assert lines.process.returncode == EXIT_INTERRUPTED
        assert said == "Interrupted; jobs that were started go on.\n"


def test_the_end_of_every_job_is_told(store: Store, workspace: Path) -> None:
    jobs = [running(store, workspace, f"job {n}") for n in range(30)]
    with Lines(workspace) as lines:
        assert {lines.next().split()[0] for _ in jobs} == {job.id for job in jobs}
        for job in jobs:
            store.finish(job.id, Status.COMPLETED, result="x")
        assert {tuple(lines.next().split()[:2]) for _ in jobs} == {(job.id, "completed") for job in jobs}


def test_the_workspace_is_named_where_there_are_several(store: Store, workspace: Path) -> None:
    running(store, workspace, "mend it")
    with Lines(workspace, "--all") as lines:
        assert lines.next().endswith(f" · mend it in {workspace}")


def test_it_ends_when_nobody_reads_any_more(store: Store, workspace: Path) -> None:
    with Lines(workspace) as lines:
        lines.next()
        assert lines.process.stdout is not None and lines.process.stderr is not None
        lines.process.stdout.close()
        assert lines.process.wait(timeout=60) == EXIT_ERROR
        assert lines.process.stderr.read() == ""


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(store: Store, workspace: Path) -> None:
    running(store, workspace, "mend it")
    with watch(workspace, TERM="dumb") as terminal:
        terminal.shows("running · starting · mend it")
        terminal.type("\x03")
        assert terminal.exit_code() == EXIT_INTERRUPTED
    assert b"\x1b" not in terminal.raw
