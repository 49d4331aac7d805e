"""The job store: nothing that was acknowledged is lost, and a job ends once."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from jobfactory import add_ended, make_job

from companion.errors import JobNotFound, StoreError
from companion.hooks import glance
from companion.jobs import Activity, Blocked, Tokens, now_ms
from companion.states import Status
from companion.store import RETENTION_MS, RETENTION_PER_WORKSPACE, Store

WRITERS, WRITES = 16, 200


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


WRITER = """
import sys
from jobfactory import make_job
from companion.store import Store
folder, number, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Store(folder) as store:
    for n in range(jobs):
        job = make_job(id=f"task-{number}x{n}-000000")
        store.add(job)
        assert store.start(job.id)
"""


@pytest.mark.slow
def test_sixteen_processes_with_two_hundred_writes_each_lose_none(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    jobs_each = WRITES // 2  # each job is two writes
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n), str(jobs_each)], env=env)
        for n in range(WRITERS)
    ]
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    with Store(str(tmp_path)) as store:
        assert len(store.jobs(active=True)) == WRITERS * jobs_each
        assert all(job.status is Status.RUNNING for job in store.jobs())


def test_what_goes_in_comes_out(store: Store) -> None:
    job = make_job(prompt="a\0b 'c' \"d\"\r\n 你", model="p/m", read_only=True)
    store.add(job)
    assert store.get(job.id) == job
    changes = {
        "activity": Activity("bash", "npm test", 5),
        "tokens": Tokens(1, 2, 3, 4, 5),
        "progress": ("a", "b"),
        "blocked": Blocked("permission", "per_1", "bash: x"),
    }
    assert store.update(job.id, **changes)
    known = store.get(job.id)
    assert known is not None
    assert {name: getattr(known, name) for name in changes} == changes


def test_a_job_ends_once_with_its_answer(store: Store) -> None:
    job = make_job()
    store.add(job)
    assert store.finish(job.id, Status.COMPLETED, result="first")
    assert not store.finish(job.id, Status.FAILED, "late", result="second")
    assert not store.update(job.id, phase="working")
    ended = store.get(job.id)
    assert ended is not None
    assert (ended.status, ended.result, ended.reason) == (Status.COMPLETED, "first", None)


def test_two_cannot_take_up_one_job(store: Store) -> None:
    job = make_job()
    store.add(job)
    assert store.start(job.id)
    assert not store.start(job.id)


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked(store: Store) -> None:
    queued, running = make_job(), make_job()
    for job in (queued, running):
        store.add(job)
    store.start(running.id)
    for job in (queued, running):
        store.request_cancel(job.id)
    statuses = [(store.get(job.id) or job).status for job in (queued, running)]
    assert statuses == [Status.CANCELLED, Status.RUNNING]
    assert (store.get(running.id) or running).cancel_requested_at is not None


def test_a_job_is_found_by_an_unambiguous_beginning(store: Store) -> None:
    for name in ("task-aaa-000000", "task-aab-000000", "task-b-000000"):
        store.add(make_job(id=name))
    assert store.find("task-b").id == "task-b-000000"
    with pytest.raises(JobNotFound, match=r"task-aa[ab]-000000.*task-aa[ab]-000000"):
        store.find("task-a")
    with pytest.raises(JobNotFound, match="No job 'nope'"):
        store.find("nope")
    with pytest.raises(JobNotFound):
        store.find("task-%")


def test_old_and_surplus_ended_jobs_go_and_no_others(store: Store) -> None:
    old = add_ended(store, completed_at=now_ms() - RETENTION_MS - 1)
    kept = add_ended(store, completed_at=now_ms() - RETENTION_MS + 60_000)
    waiting = make_job(created_at=now_ms() - 2 * RETENTION_MS)
    store.add(waiting)
    store.prune()
    assert store.get(old.id) is None
    assert store.get(kept.id) is not None
    assert store.get(waiting.id) is not None


def test_no_more_than_the_newest_of_a_workspace_are_kept(store: Store) -> None:
    now = now_ms()
    with sqlite3.connect(store.path) as db:
        add_ended(store, id="task-model-000000")
        names = [row[1] for row in db.execute("PRAGMA table_info(jobs)")]
        rest = ", ".join(name for name in names if name not in ("id", "completed_at"))
        for n in range(RETENTION_PER_WORKSPACE + 5):
            db.execute(
                f"INSERT INTO jobs (id, completed_at, {rest}) SELECT ?, ?, {rest} FROM jobs WHERE id = ?",
                (f"task-n{n:04}-000000", now - n * 1000, "task-model-000000"),
            )
    other = add_ended(store, workspace="/other")
    store.prune()
    kept = {job.id for job in store.jobs(workspace="/work space")}
    assert len(kept) == RETENTION_PER_WORKSPACE
    assert f"task-n{RETENTION_PER_WORKSPACE + 4:04}-000000" not in kept
    assert store.get(other.id) is not None


def test_what_is_asked_at_every_start_does_not_read_all_jobs(store: Store) -> None:
    """Counted in steps of SQLite's machine: its own measure of work, the same on every run."""

    def steps(ask: Callable[[], object]) -> int:
        taken = 0

        def count() -> None:
            nonlocal taken
            taken += 1

        store._db.set_progress_handler(count, 1)
        ask()
        store._db.set_progress_handler(None, 1)
        return taken

    questions: list[Callable[[], object]] = [
        lambda: store.jobs(workspace="/work space", active=True),
        lambda: store.jobs(workspace="/work space", server="", active=True),
        lambda: store.jobs(workspace="/work space", active=False, limit=10),
        lambda: store._read(glance.DISPATCHES[1], ("mine",)),
        lambda: store._read(glance.ACTIVE[1], ("mine",)),
        lambda: store._read(glance.UNREAD[1], ("mine",)),
    ]
    taken = []
    for count in (20, 480):
        with store.exclusive():
            for n in range(count):
                job = add_ended(store, claude_session="another")
                store.record_dispatch(job.id, "another", f"call {n}", None, None, heard=True)
        taken.append([steps(question) for question in questions])
    assert all(many <= 2 * few for few, many in zip(*taken, strict=True)), taken


def test_a_delivery_is_claimed_once_a_session(store: Store) -> None:
    job = add_ended(store)
    assert store.claim_delivery(job.id, "claude-1", "rewake")
    assert not store.claim_delivery(job.id, "claude-1", "prompt")
    assert store.claim_delivery(job.id, "claude-2", "prompt")
    store.confirm_delivery(job.id, "claude-1", "rewake")
    assert (store.get(job.id) or job).delivered_via == "rewake"


def test_a_claim_whose_maker_died_is_void_after_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = add_ended(store)
    later = now_ms() + 61_000
    assert store.claim_delivery(job.id, "claude-1", "rewake")
    monkeypatch.setattr("companion.store.now_ms", lambda: later)
    assert store.claim_delivery(job.id, "claude-1", "prompt")
    store.confirm_delivery(job.id, "claude-1", "prompt")
    monkeypatch.setattr("companion.store.now_ms", lambda: later + 61_000)
    assert not store.claim_delivery(job.id, "claude-1", "rewake")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_the_file_is_private(store: Store) -> None:
    assert stat.S_IMODE(os.stat(store.path).st_mode) == 0o600


def test_a_writer_waits_for_another_one(store: Store, tmp_path: Path) -> None:
    job = make_job()
    other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    store.add(job)
    release.join()
    assert store.get(job.id) is not None


@pytest.mark.parametrize("damage", [b"this is no database" * 500, b"\0" * 8192])
def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "jobs.db").write_bytes(damage)
    with pytest.raises(StoreError, match="set aside as") as error:
        Store(str(tmp_path))
    aside = next(file for file in tmp_path.iterdir() if ".damaged-" in file.name)
    assert aside.read_bytes() == damage
    assert str(aside) in str(error.value)
    with Store(str(tmp_path)) as store:
        assert store.jobs() == []


def test_damage_in_the_middle_is_noticed_and_set_aside(store: Store, tmp_path: Path) -> None:
    for _ in range(50):
        add_ended(store, result="x" * 4000)
    store.close()
    data = bytearray((tmp_path / "jobs.db").read_bytes())
    data[4096 * 3 :] = os.urandom(len(data) - 4096 * 3)
    (tmp_path / "jobs.db").write_bytes(bytes(data))
    with pytest.raises(StoreError, match="set aside as"), Store(str(tmp_path)) as damaged:
        damaged.jobs()


def test_a_file_of_a_newer_version_is_left_alone(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "jobs.db") as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreError, match="update the plugin"):
        Store(str(tmp_path))
    assert [file for file in tmp_path.iterdir() if "damaged" in file.name] == []


def test_a_full_disk_is_said_and_what_was_acknowledged_stays(store: Store) -> None:
    kept = add_ended(store)
    store._db.execute("PRAGMA max_page_count = 1")  # the file may not grow any more: what SQLite calls a full disk
    with pytest.raises(StoreError, match="disk is full"):
        for _ in range(100):
            store.add(make_job(prompt="x" * 100_000))
    assert store.get(kept.id) == kept


def test_a_lock_that_is_held_too_long_is_said_and_nothing_is_lost(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = add_ended(store)
    store._db.execute("PRAGMA busy_timeout = 100")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process has locked it"):
        store.add(make_job())
    assert store.get(kept.id) == kept, "reading goes on meanwhile"
    other.execute("ROLLBACK")
    store.add(make_job())


FAILING_WRITER = """
import resource, sys
from jobfactory import make_job
from companion.errors import StoreError
from companion.store import Store
store = Store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # writes beyond fail, which SQLite calls an I/O error
try:
    for n in range(1000):
        job = make_job(prompt="x" * 5000)
        store.add(job)
        print(job.id)
except StoreError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_an_io_error_is_said_and_nothing_acknowledged_is_missing(store: Store, tmp_path: Path) -> None:
    kept = add_ended(store)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", FAILING_WRITER, str(tmp_path)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "I/O error" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with Store(str(tmp_path)) as again:
        assert again.get(kept.id) == kept
        assert all(again.get(job_id) for job_id in done.stdout.split())


def test_a_read_only_file_is_said(store: Store, tmp_path: Path) -> None:
    kept = add_ended(store)
    store._db.close()
    store._db = sqlite3.connect(f"file:{store.path}?mode=ro", uri=True, isolation_level=None)
    store._db.row_factory = sqlite3.Row
    with pytest.raises(StoreError, match="read-only"):
        store.add(make_job())
    assert store.get(kept.id) == kept


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").mkdir()
    with pytest.raises(StoreError, match=r"jobs\.db"):
        Store(str(tmp_path))
    assert (tmp_path / "jobs.db").is_dir()


def test_a_write_by_another_process_changes_the_version(store: Store, tmp_path: Path) -> None:
    before = store.version()
    assert store.version() == before
    with Store(str(tmp_path)) as other:
        other.add(make_job())
    assert store.version() != before
