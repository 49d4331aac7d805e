"""`status`, as people read it in a terminal and as Claude reads it: aligned, harmless, and quick."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jobfactory import add_ended, make_job
from syrupy.assertion import SnapshotAssertion
from terminals import ENTRY, companion

from companion import bootstrap, panel
from companion.commands.status import look_into, without_login
from companion.context import Context
from companion.jobs import Activity, Blocked, Job, Tokens, now_ms
from companion.plaintext import fit, flat, visible, width
from companion.report import compact_duration, hints, short_count, status_list, steps
from companion.settings import Settings
from companion.states import Status
from companion.store import Store

# Everything that a terminal would obey, from a model that means harm or from a file that happens to hold it.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\b\x7f\u202e[red]x[/red]"
WIDE = "修复 失败的测试 🚀 é"
STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10\d)(?:;\d+)*m")
MINUTE = 60_000


def command(*words: str) -> str:
    return " ".join(["opencode-companion", *words])


def some_jobs(workspace: str = "/work") -> tuple[list[Job], list[Job]]:
    now = now_ms()
    common: dict[str, Any] = {"workspace": workspace, "status": Status.RUNNING, "opencode_session": "ses_1"}
    active = [
        make_job(
            **common,
            id="task-aaaaaaaa-000000",
            title=WIDE,
            phase="working",
            created_at=now - 2 * MINUTE,
            activity=Activity("bash", "npm test", now - 3_000),
            progress=("read: src/api.ts", "edit: src/api.ts", "bash: npm test"),
            tokens=Tokens(12_345, 678, 90, 4_000),
            cost=0.1234,
        ),
        make_job(
            **common,
            id="task-bbbbbbbb-000000",
            title=HOSTILE,
            phase="waiting",
            created_at=now - MINUTE,
            blocked=Blocked("permission", "per_1", f"bash: {HOSTILE}"),
        ),
        make_job(workspace=workspace, id="task-cccccccc-000000", title="explain it", created_at=now),
    ]
    ended = [
        make_job(
            workspace=workspace,
            id="task-dddddddd-000000",
            title="write the docs",
            status=Status.COMPLETED,
            created_at=now - 200 * MINUTE,
            completed_at=now - 120 * MINUTE,
            tokens=Tokens(1_500_000, 50),
        ),
        make_job(
            workspace=workspace,
            id="review-eeeeeeee-000000",
            title="look at it",
            status=Status.FAILED,
            reason="provider_auth",
            created_at=now - 3000 * MINUTE,
            completed_at=now - 2999 * MINUTE,
        ),
    ]
    return active, ended


def lines_of(columns: int, jobs: tuple[Sequence[Job], Sequence[Job]] | None = None) -> list[str]:
    """The overview, and the hints below it, without its styles."""
    active, ended = jobs or some_jobs()
    place = panel.Place("/work", active, ended)
    lines = [*panel.overview([place], columns), *panel.commands(hints(active, ended, command), columns)]
    return [STYLE.sub("", line) for line in lines]


@pytest.fixture(autouse=True)
def a_terminal_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def workspace(tmp_path: Path, data_dir: Path) -> Path:
    """A folder with the jobs that have ended, and a job store that nobody needs a supervisor for."""
    folder = tmp_path / "work space"
    folder.mkdir()
    with Store(str(prepared(data_dir))) as store:
        for title in (WIDE, HOSTILE, "plain"):
            add_ended(store, workspace=os.path.realpath(folder), title=title, result=f"before {HOSTILE} after")
    return folder


def prepared(data_dir: Path) -> Path:
    data_dir.mkdir(mode=0o700)
    return data_dir


# The picture


@pytest.mark.parametrize("columns", [140, 80, 40])
def test_the_picture(columns: int, snapshot: SnapshotAssertion) -> None:
    assert "\n".join(lines_of(columns)) == snapshot


@pytest.mark.parametrize("columns", range(20, 140, 7))
def test_nothing_but_commands_is_wider_than_the_terminal(columns: int) -> None:
    for line in lines_of(columns):
        assert width(line) <= columns or "opencode-companion" in line


def test_columns_stand_under_their_heads_whatever_the_titles() -> None:
    active, ended = some_jobs()
    lines = lines_of(100, (active, ended))
    head = next(line for line in lines if line.startswith("STATE"))
    start = head.index("TASK")
    for job in (*active, *ended):
        line = next(line for line in lines if flat(job.title)[:8] in line)
        assert line[start:].startswith(flat(job.title)[:8])


def test_token_and_cost_columns_stand_only_where_there_are_any() -> None:
    job = make_job(title="x")
    head = next(line for line in lines_of(100, ([job], [])) if line.startswith("STATE"))
    assert head.split() == ["STATE", "TIME", "LAST", "TASK"]


def test_the_newest_step_is_always_whole_as_long_as_it_has_room() -> None:
    job = some_jobs()[0][0]
    assert steps(job, 80) == "read: src/api.ts › edit: src/api.ts › bash: npm test"
    assert steps(job, 40) == "edit: src/api.ts › bash: npm test"
    assert steps(job, 15) == "bash: npm test"
    assert steps(job, 8) == "bash: n…"


def test_small_words() -> None:
    durations = [compact_duration(ms) for ms in (0, 59_999, 61_000, 3_600_000, 26 * 3_600_000)]
    assert durations == ["0s", "59s", "1m01s", "1h00m", "1d2h"]
    assert [short_count(n) for n in (0, 999, 1_000, 12_345, 999_999, 4_560_000)] == [
        *("0", "999", "1.0k", "12.3k", "999.9k", "4.5M")
    ]


# What comes from models


def test_what_a_terminal_would_obey_is_shown_as_a_sign() -> None:
    shown = visible(f"a\tb\r\nc\n{HOSTILE}")
    assert shown.startswith("a\tb\nc\n␛[2J␛]0;owned␇�31m␍␈�")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert flat("a\n b\u2028c\u2029d") == "a b c d"
    assert flat("👩\u200d💻") == "👩💻"


def test_width_and_fit() -> None:
    assert [width(text) for text in ("abc", "修复", "e\u0301", "🚀")] == [3, 4, 1, 2]
    assert fit("修复修复", 8) == "修复修复"
    assert fit("修复修复", 7) == "修复修…"
    assert fit("修复修复", 6) == "修复…"
    assert [fit("abc", n) for n in (2, 1, 0)] == ["a…", "…", ""]


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["colour", "no colour", "dumb"])
def test_status_in_a_terminal(env: dict[str, str], workspace: Path) -> None:
    with companion("status", cwd=workspace, columns=80, env=env) as terminal:
        assert terminal.exit_code() == 0
    said = terminal.raw.decode()
    assert terminal.text.splitlines()[1].split() == ["STATE", "TIME", "LAST", "TASK"]
    assert "␛[2J␛]0;owned␇" in said and "[red]x[/red]" in said and WIDE in said
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", STYLE.sub("", said))
    assert bool(COLOUR.search(said)) == (not env)
    assert ("\x1b" in said) == (env.get("TERM") != "dumb")


def test_status_at_40_columns(workspace: Path) -> None:
    with companion("status", cwd=workspace, columns=40) as terminal:
        assert terminal.exit_code() == 0
    assert "STATE" not in terminal.text
    assert f"  {WIDE}" in terminal.text.splitlines()


def test_a_report_cannot_steer_a_terminal_but_arrives_byte_for_byte_in_a_pipe(workspace: Path) -> None:
    with companion("result", cwd=workspace) as terminal:
        assert terminal.exit_code() == 0
    assert b"before \xe2\x90\x9b[2J" in terminal.raw and b"\x1b" not in terminal.raw
    piped = subprocess.run([sys.executable, str(ENTRY), "result"], cwd=workspace, capture_output=True, check=True)
    assert f"before {HOSTILE} after".encode() in piped.stdout


def test_what_is_piped_is_plain(workspace: Path) -> None:
    piped = subprocess.run([sys.executable, str(ENTRY), "status"], cwd=workspace, capture_output=True, check=True)
    said = piped.stdout.decode()
    assert said.startswith("Jobs in ") and "\nEnded:\n" in said
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)


def test_the_plain_list(snapshot: SnapshotAssertion) -> None:
    active, ended = some_jobs()
    assert status_list("/work", active, ended, command) == snapshot


def test_without_the_library_the_plain_list_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_are_installed", lambda wanted, folders: False)
    assert bootstrap.use_environment(str(tmp_path)) is False


def test_a_pipe_does_not_wait_for_the_library(workspace: Path) -> None:
    words = [sys.executable, "-X", "importtime", str(ENTRY), "status"]
    loaded = subprocess.run(words, cwd=workspace, capture_output=True, text=True, check=True).stderr
    assert "companion.healing" in loaded
    for late in ("rich", "companion.panel", "httpx", "pydantic", "psutil"):
        assert not re.search(rf"\| +{re.escape(late)}$", loaded, re.MULTILINE), late


# Looking into a session


@pytest.fixture
def context(workspace: Path, data_dir: Path) -> Context:
    program = workspace / "bin" / "opencode"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    env = {"PATH": str(program.parent)}
    return Context(env, Settings.from_env(env), str(data_dir), str(workspace))


def test_a_session_is_looked_into_without_any_password(context: Context) -> None:
    job = make_job(workspace="/work space", status=Status.RUNNING, opencode_session="ses_1")
    assert [hint.command for hint in look_into(context, job)] == ["opencode '/work space' -s ses_1"]
    assert look_into(context, job._replace(opencode_session=None)) == []


def test_another_opencode_is_named_with_its_path(context: Context) -> None:
    job = make_job(workspace="/work", status=Status.RUNNING, opencode_session="ses_1")
    chosen = Context(
        {"PATH": "/nowhere", "OPENCODE_BIN": f"{context.env['PATH']}/opencode"},
        context.settings,
        context.data_dir,
        None,
    )
    assert [hint.command for hint in look_into(chosen, job)] == [f"'{context.env['PATH']}/opencode' /work -s ses_1"]
    nowhere = Context({"PATH": "/nowhere"}, context.settings, context.data_dir, None)
    assert look_into(nowhere, job) == []


def test_a_server_of_the_users_is_attached_to(context: Context) -> None:
    job = make_job(
        workspace="/work", server="http://me:hunter22@127.0.0.1:4096", status=Status.RUNNING, opencode_session="ses_1"
    )
    assert [hint.command for hint in look_into(context, job)] == [
        "opencode attach http://127.0.0.1:4096 --session ses_1 --dir /work",
        "http://127.0.0.1:4096/L3dvcms/session/ses_1",
    ]
    assert without_login("https://host/a@b") == "https://host/a@b"
