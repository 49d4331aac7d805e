"""The hooks' first look at the store: what it remembers never hides an answer."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from hook_runs import add_job

from companion.hooks import glance
from companion.store import Store

MINE, ANOTHER = "session-1", "session-2"
QUESTIONS = [glance.ACTIVE, glance.DISPATCHES, glance.UNREAD]


def finds(data: Path, session: str = MINE, question: tuple[str, str] = glance.UNREAD) -> bool:
    return glance.finds(question, json.dumps({"session_id": session}).encode(), str(data))


def let_settle(data: Path) -> None:
    """As if nobody had written for some time."""
    for file in data.glob("jobs.db*"):
        os.utime(file, (time.time() - 60, time.time() - 60))


def without_sqlite(data: Path, monkeypatch: pytest.MonkeyPatch, session: str = MINE) -> bool:
    """Whether the answer is no although the store cannot be asked: from memory, that is."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "_sqlite3", None)
        return not finds(data, session)


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """A data dir whose store was last written some time ago, and holds an answer for another session."""
    tmp_path.chmod(0o700)
    add_job(tmp_path, "An answer.", claude_session=ANOTHER)
    let_settle(tmp_path)
    return tmp_path


def test_a_store_that_stays_as_it_was_is_not_asked_again(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not without_sqlite(quiet, monkeypatch)
    assert not finds(quiet)
    assert without_sqlite(quiet, monkeypatch)
    assert finds(quiet, ANOTHER)
    assert finds(quiet, ANOTHER)


@pytest.mark.parametrize("settled", [True, False])
def test_what_is_written_is_found_at_once(quiet: Path, settled: bool) -> None:
    for _ in range(20):
        assert not finds(quiet)
        job = add_job(quiet, "An answer.", claude_session=MINE)
        assert finds(quiet)
        with Store(str(quiet)) as store:
            store.claim_delivery(job.id, MINE, "prompt")
            store.confirm_delivery(job.id, MINE, "prompt")
        if settled:
            let_settle(quiet)


def test_nothing_is_remembered_of_a_store_that_was_just_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_job(tmp_path, "An answer.", claude_session=ANOTHER)
    assert not finds(tmp_path)
    assert not without_sqlite(tmp_path, monkeypatch)


def test_sessions_and_questions_are_told_apart(quiet: Path) -> None:
    for _ in range(2):
        assert [finds(quiet, MINE, question) for question in QUESTIONS] == [False, False, False]
        assert [finds(quiet, ANOTHER, question) for question in QUESTIONS] == [False, False, True]


def test_half_a_note_is_none(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not finds(quiet)
    (note,) = quiet.glob("nothing-*")
    assert note.stat().st_mode & 0o777 == 0o600 or os.name == "nt"
    whole = note.read_text()
    for size in (0, 5, len(whole) - 1):
        note.write_text(whole[:size])
        assert not without_sqlite(quiet, monkeypatch)
    note.write_bytes(b"\xff\xfe")
    assert not finds(quiet)


def test_a_disk_that_cannot_be_written_to_is_no_obstacle(quiet: Path) -> None:
    (quiet / "nothing-unread").mkdir()
    assert not finds(quiet)
    assert finds(quiet, ANOTHER)
