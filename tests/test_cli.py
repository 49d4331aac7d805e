"""The command line without opencode: bad input gets one clear line and exit 1, and what is read reads well."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jobfactory import add_ended, make_job
from syrupy.assertion import SnapshotAssertion

from companion.commands import SUMMARIES, module_name
from companion.jobs import Activity, Blocked, Tokens, job_json
from companion.output import EXIT_ERROR
from companion.report import report, running, status_list
from companion.settings import VARIABLES
from companion.states import Status
from companion.store import Store

ENTRY = Path(__file__).resolve().parent.parent / "scripts" / "opencode_companion.py"


def run(*words: str, cwd: Path, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, str(ENTRY), *words], cwd=cwd, env={**os.environ, **env}, input=stdin, capture_output=True
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work space"
    folder.mkdir()
    return folder


BAD_CALLS: dict[str, list[str]] = {
    "unknown command": ["taks"],
    "unknown option": ["task", "do", "it", "--no-verify", "now"],
    "unknown option of another command": ["status", "--background"],
    "abbreviated option": ["task", "--back", "x"],
    "empty task": ["task", "--", "  "],
    "no task": ["task"],
    "two sources": ["task", "--prompt-file", "f", "x"],
    "missing prompt file": ["task", "--prompt-file", "nowhere"],
    "max-wait no number": ["wait-and-result", "x", "--max-wait", "soon"],
    "max-wait negative": ["wait-and-result", "x", "--max-wait=-1"],
    "exclusive options": ["task", "--background", "--wait", "x"],
    "model without provider": ["task", "--model", "gpt", "x"],
    "unknown job": ["wait-and-result", "task-nope"],
    "unknown job for status": ["status", "task-nope"],
    "unknown job for result": ["result", "nope"],
    "unknown job for cancel": ["cancel", "nope"],
    "nothing to cancel": ["cancel"],
    "nothing to resume": ["task", "--resume-last", "x"],
    "unknown job to resume": ["task", "--resume", "nope", "x"],
    "workspace that is gone": ["status", "--cwd", "/nowhere/at/all"],
    "text for a command without text": ["status", "--", "x"],
}


@pytest.mark.parametrize("words", BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_input_gets_one_line_and_exit_1(words: list[str], data_dir: Path, workspace: Path) -> None:
    done = run(*words, cwd=workspace)
    assert done.returncode == EXIT_ERROR
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == 1, done.stderr.decode()
    assert done.stderr.startswith(b"opencode-companion: ")


def test_no_opencode_is_said_with_what_to_do(data_dir: Path, workspace: Path) -> None:
    only_git = os.path.dirname(shutil.which("git") or "")
    done = run("task", "--", "x", cwd=workspace, PATH=only_git, OPENCODE_BIN="")
    assert done.returncode == EXIT_ERROR
    assert b"npm install -g opencode-ai" in done.stderr
    assert json.loads(run("status", "--json", cwd=workspace).stdout)["running"] == []


@pytest.mark.parametrize(
    ("version", "words"), [("opencode v2.0.3", b"2.0.3"), ("1.14.41", b"1.15.13"), ("what?", b"OPENCODE_BIN")]
)
def test_an_unsupported_opencode_is_refused_with_its_version(
    version: str, words: bytes, data_dir: Path, workspace: Path
) -> None:
    program = workspace / "opencode"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    done = run("task", "--", "x", cwd=workspace, OPENCODE_BIN=str(program))
    assert done.returncode == EXIT_ERROR
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unusable_variable_is_named(data_dir: Path, workspace: Path) -> None:
    done = run("status", cwd=workspace, OPENCODE_IDLE_TIMEOUT_MS="-5")
    assert (done.returncode, done.stdout) == (EXIT_ERROR, b"")
    assert b"OPENCODE_IDLE_TIMEOUT_MS" in done.stderr


def test_it_refuses_to_run_inside_a_job(data_dir: Path, workspace: Path) -> None:
    done = run("task", "--", "x", cwd=workspace, OPENCODE_COMPANION_JOB="abc.1")
    assert done.returncode == EXIT_ERROR
    assert b"inside a job" in done.stderr


def test_text_that_is_no_utf8_is_refused(data_dir: Path, workspace: Path) -> None:
    done = run("task", "-", cwd=workspace, stdin=b"caf\xe9")
    assert done.returncode == EXIT_ERROR
    assert b"UTF-8" in done.stderr


def test_a_damaged_store_is_set_aside_and_the_next_call_works(data_dir: Path, workspace: Path) -> None:
    run("status", cwd=workspace)
    (data_dir / "jobs.db").write_bytes(b"no database" * 1000)
    done = run("status", cwd=workspace)
    assert done.returncode == EXIT_ERROR
    assert b"set aside as" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert run("status", cwd=workspace).returncode == 0


def test_config_lists_every_variable_and_masks_secrets(data_dir: Path, workspace: Path) -> None:
    done = run("config", "--json", cwd=workspace, OPENCODE_SERVER_PASSWORD="hunter22", OPENCODE_REQUEST_TIMEOUT_MS="5")
    answer = json.loads(done.stdout)
    listed = {variable["name"]: variable for variable in answer["variables"]}
    assert set(listed) == {variable.name for variable in VARIABLES}
    assert b"hunter22" not in done.stdout
    assert listed["OPENCODE_REQUEST_TIMEOUT_MS"]["value"] == 5
    assert listed["OPENCODE_REQUEST_TIMEOUT_MS"]["source"] == "env"
    assert listed["OPENCODE_IDLE_TIMEOUT_MS"]["source"] == "default"
    assert answer["dataDir"] == str(data_dir)
    assert answer["opencodeConfigPath"].endswith("opencode.json")


def test_status_is_about_this_claude_session_unless_all(data_dir: Path, workspace: Path) -> None:
    run("status", cwd=workspace)
    with Store(str(data_dir)) as store:
        for session in ("claude-1", "claude-2", None):
            add_ended(store, workspace=str(workspace), claude_session=session, title=f"of {session}")

    def shown(*words: str, session: str = "") -> set[str]:
        answer = json.loads(run("status", "--json", *words, cwd=workspace, CLAUDE_CODE_SESSION_ID=session).stdout)
        return {job["title"] for job in answer["recent"]}

    assert shown(session="claude-1") == {"of claude-1"}
    assert shown("--all", session="claude-1") == {"of claude-1", "of claude-2", "of None"}
    assert shown() == {"of claude-1", "of claude-2", "of None"}


def test_the_answer_is_read_offline_by_a_bare_interpreter(data_dir: Path, workspace: Path) -> None:
    run("status", cwd=workspace)
    with Store(str(data_dir)) as store:
        job = add_ended(store, workspace=str(workspace), result="line 1\n\n  line 2\u2028\ttab")
    for words in (["result"], ["result", job.id[:12]], ["wait-and-result", job.id]):
        done = run(*words, cwd=workspace)
        assert done.returncode == 0
        assert b"\n\nline 1\n\n  line 2\xe2\x80\xa8\ttab\n" in done.stdout
    assert json.loads(run("result", "--json", cwd=workspace).stdout)["job"]["result"] == job.result


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_help(name: str, data_dir: Path, workspace: Path) -> None:
    done = run(name, "--help", cwd=workspace)
    assert done.returncode == 0
    assert module_name(name)
    assert b"usage: opencode-companion " + name.encode() in done.stdout


def test_the_help(snapshot: SnapshotAssertion, workspace: Path, data_dir: Path) -> None:
    assert run("--help", cwd=workspace).stdout.decode() == snapshot


# What people read


def command(*words: str) -> str:
    return " ".join(["opencode-companion", *words])


ENDED = {
    "status": Status.COMPLETED,
    "opencode_session": "ses_1",
    "model": "p/m",
    "completed_at": 1_000_065_000,
    "created_at": 1_000_000_000,
    "tokens": Tokens(12_345, 678, 90, 4_000),
    "cost": 0.1234,
    "result": "The answer.\n",
    "files": ("a.py", "b/ü.py"),
    "id": "task-abc-000000",
}


def test_reports(snapshot: SnapshotAssertion) -> None:
    done = make_job(**ENDED)
    failed = {"status": Status.FAILED, "reason": "provider_auth", "error_message": "Refused. Log in.", "files": ()}
    assert report(done, command) == snapshot(name="completed")
    assert report(make_job(**{**ENDED, **failed}), command) == snapshot(name="failed")
    nothing = {**failed, "result": None, "opencode_session": None, "model": None, "cost": 0.0, "recovered": True}
    assert report(make_job(**{**ENDED, **nothing}), command) == snapshot(name="failed with nothing")


def test_status_texts(snapshot: SnapshotAssertion) -> None:
    active = make_job(
        id="task-run-000000", status=Status.RUNNING, activity=Activity("bash", "npm test", 0), tokens=Tokens(10, 5)
    )
    blocked = make_job(
        id="task-ask-000000",
        status=Status.RUNNING,
        phase="waiting",
        blocked=Blocked("permission", "per_1", "bash: rm -rf x"),
    )
    ended = [
        make_job(**ENDED),
        make_job(**{**ENDED, "id": "task-def-000000", "status": Status.FAILED, "reason": "idle"}),
    ]
    texts = {
        "all": status_list("/work", [active, blocked], ended, command),
        "empty": status_list("/work", [], [], command),
        "one": running(blocked, command),
    }
    assert {name: re.sub(r"\b\d+[smhd]\b", "N", text) for name, text in texts.items()} == snapshot


PROMISED = {
    *("id", "type", "status", "phase", "reason", "blockedOn", "workspaceRoot", "claudeSessionId"),
    *("opencodeSessionId", "agent", "model", "title", "createdAt", "startedAt", "updatedAt", "completedAt"),
    *("elapsedMs", "lastActivity", "progressPreview", "tokens", "cost", "result", "errorMessage", "recovered"),
    "deliveredVia",
}


def test_the_shape_of_a_job_in_json() -> None:
    shown = job_json(make_job(**ENDED))
    assert set(shown) >= PROMISED
    assert shown["createdAt"] == "1970-01-12T13:46:40.000Z"
    assert shown["elapsedMs"] == 65_000
    assert shown["tokens"] == {"input": 12_345, "output": 678, "reasoning": 90, "cacheRead": 4_000, "cacheWrite": 0}
