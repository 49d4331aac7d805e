"""Healing without opencode: who is looked at, what a dry run says, and that reading never suffers from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobfactory import add_ended, make_job

from companion import filelock, healing
from companion.bootstrap import PLUGIN_ROOT
from companion.context import Context
from companion.errors import CompanionError
from companion.healing import Action, Outcome
from companion.jobs import Job, new_job_id
from companion.logs import workspace_key
from companion.settings import Settings
from companion.states import Phase, Status
from companion.store import Store
from companion.supervisor.spawn import supervisor_lock

ENTRY = Path(PLUGIN_ROOT) / "scripts" / "opencode_companion.py"


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    (tmp_path / "work").mkdir()
    return os.path.realpath(tmp_path / "work")


@pytest.fixture
def context(data_dir: Path, workspace: str) -> Context:
    data_dir.mkdir(mode=0o700)
    return Context(os.environ, Settings.from_env({}), str(data_dir), workspace)


def running(context: Context, workspace: str | None = None) -> Job:
    """A job that was running when its supervisor died."""
    job = make_job(id=new_job_id("task"), workspace=workspace or context.workspace)
    context.store.add(job)
    context.store.start(job.id)
    found = context.store.get(job.id)
    assert found is not None
    return found


def lock_of(context: Context, workspace: str) -> str:
    return supervisor_lock(context.data_dir, workspace_key(context.data_dir, workspace, ""))


class Supervisors:
    """Stands for starting supervisors: notes where one was started, and does `act` there and then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[tuple[str, str]] = []
        self.trouble: Exception | None = None
        monkeypatch.setattr(healing, "ensure_supervisor", self.ensure)
        monkeypatch.setattr(healing, "environment_python", lambda data_dir: sys.executable)

    def act(self, workspace: str) -> None:
        """What a started supervisor does to the store."""

    def ensure(self, data_dir: str, workspace: str, server: str) -> bool:
        if self.trouble is not None:
            raise self.trouble
        self.started.append((workspace, server))
        self.act(workspace)
        return True


@pytest.fixture
def supervisors(monkeypatch: pytest.MonkeyPatch) -> Supervisors:
    return Supervisors(monkeypatch)


def finding(store: Store, job: Job, **changes: object) -> None:
    """What a supervisor writes once it has looked at a job; another connection, as it is another process."""
    with Store(os.path.dirname(store.path)) as other:
        time.sleep(0.002)  # times have a resolution of 1 ms
        if "reason" in changes:
            other.finish(job.id, Status.FAILED, str(changes["reason"]))
        else:
            other.update(job.id, **changes)


def test_nothing_to_do_is_said(context: Context) -> None:
    assert healing.heal(context, everywhere=True, dry_run=False) == Outcome(0, [])
    assert not os.path.exists(os.path.join(context.data_dir, "jobs.db"))


def test_a_job_with_a_living_supervisor_is_left_alone(context: Context) -> None:
    job = running(context)
    with filelock.held(lock_of(context, job.workspace), 1):
        assert healing.heal(context, everywhere=False, dry_run=False) == Outcome(1, [])
        assert healing.heal(context, everywhere=False, dry_run=True) == Outcome(1, [])


def test_a_dry_run_says_what_it_would_do(context: Context, supervisors: Supervisors) -> None:
    job = running(context)
    add_ended(context.store, workspace=context.workspace)
    outcome = healing.heal(context, everywhere=False, dry_run=True)
    assert outcome == Outcome(1, [Action(job.id, "running", "running", "would_recover")])
    assert supervisors.started == []
    assert not os.path.exists(os.path.join(context.data_dir, "supervisors"))
    assert context.store.get(job.id) == job


def test_what_became_of_each_job_is_told(
    context: Context, supervisors: Supervisors, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, going, silent = (running(context) for _ in range(3))

    def act(workspace: str) -> None:
        finding(context.store, lost, reason="server_lost")
        finding(context.store, going, phase=Phase.INVESTIGATING.value)
        finding(context.store, silent, phase=Phase.RECOVERING.value)

    monkeypatch.setattr(supervisors, "act", act)
    outcome = healing.heal(context, everywhere=False, dry_run=False, limit_s=0.2)
    assert set(outcome.actions) == {
        Action(lost.id, "running", "failed", "server_lost"),
        Action(going.id, "running", "running", "recovered"),
        Action(silent.id, "running", "running", "still_recovering"),
    }
    assert (outcome.scanned, supervisors.started) == (3, [(context.workspace, "")])


def test_other_workspaces_only_on_request(context: Context, supervisors: Supervisors, tmp_path: Path) -> None:
    running(context, str(tmp_path))
    assert healing.heal(context, everywhere=False, dry_run=False).scanned == 0
    assert len(healing.heal(context, everywhere=True, dry_run=False, limit_s=0).actions) == 1
    assert supervisors.started == [(str(tmp_path), "")]


def test_what_hinders_is_told_with_the_jobs_it_hinders(context: Context, supervisors: Supervisors) -> None:
    job = running(context)
    supervisors.trouble = CompanionError("no Python environment")
    outcome = healing.heal(context, everywhere=False, dry_run=False)
    assert outcome == Outcome(1, [Action(job.id, "running", "running", "no_supervisor")], "no Python environment")


def test_reading_waits_only_where_it_started_somebody(
    context: Context, supervisors: Supervisors, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running(context)
    monkeypatch.setattr(
        supervisors, "act", lambda workspace: finding(context.store, job, phase=Phase.INVESTIGATING.value)
    )
    healing.revive(context, context.workspace)
    found = context.store.get(job.id)
    assert found and found.phase == Phase.INVESTIGATING.value
    monkeypatch.setattr(healing, "ensure_supervisor", lambda *place: False)
    monkeypatch.setattr(healing, "wait_until", lambda *arguments: pytest.fail("nobody was started"))
    healing.revive(context, context.workspace)


@pytest.mark.parametrize("trouble", [CompanionError("no opencode"), PermissionError(30, "Read-only file system")])
def test_reading_goes_on_whatever_happens(context: Context, supervisors: Supervisors, trouble: Exception) -> None:
    running(context)
    supervisors.trouble = trouble
    healing.revive(context, context.workspace)


def test_reading_makes_no_environment(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    running(context)
    monkeypatch.setattr(healing, "environment_python", lambda data_dir: None)
    monkeypatch.setattr(healing, "ensure_supervisor", lambda *place: pytest.fail("it would make the environment"))
    healing.revive(context, context.workspace)


def test_the_command_speaks_json_and_plain(context: Context) -> None:
    def run(*words: str) -> str:
        command = [sys.executable, str(ENTRY), "heal", *words]
        done = subprocess.run(command, cwd=context.workspace, capture_output=True, text=True, check=True)
        return done.stdout

    assert run() == "Everything is as recorded (0 jobs looked at).\n"
    job = running(context)
    assert json.loads(run("--dry-run", "--json")) == {
        "dryRun": True,
        "scanned": 1,
        "actions": [{"jobId": job.id, "from": "running", "to": "running", "reason": "would_recover"}],
    }
    assert run("--dry-run").startswith(f"{job.id} has no living supervisor")
