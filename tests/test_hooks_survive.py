"""Every hook, on anything at all: exit 0, quickly, nothing or valid JSON that Claude Code takes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from claude.mutations import nonsense, spoiled
from hook_runs import FIXTURES, HOOKS, ROOT, Ran, add_job, agent_returned, agent_stops, bash_ran, hook_env, run_hook
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion import hook_payloads

# Starts many processes.
pytestmark = pytest.mark.slow

STDIN_LIMIT_S = 3.0
COMMAND = "opencode-companion task --background - <<'X'\nLook.\nX"
# Those that get past a hook's first look.
DEEP = {
    "post_tool_use_monitor": [bash_ran(COMMAND, "task-mf3k2a9x-0q7zt1"), bash_ran(COMMAND, agent=True)],
    "vague_result_detector": [agent_returned("Started task-mf3k2a9x-0q7zt1."), agent_stops("Polling.")],
    "safety_header_injector": [{**bash_ran("opencode run 'mend it'"), "hook_event_name": "PreToolUse"}],
    "session_lifecycle": [json.loads(path.read_bytes()) for path in FIXTURES if path.name.startswith("UserPrompt")][:2],
    "stop_review_gate": [json.loads(path.read_bytes()) for path in FIXTURES if path.name.startswith("Stop.")][:1],
}


def check(ran: Ran, event: str) -> None:
    assert ran.code == 0, ran
    assert ran.stderr == b""
    if ran.stdout:
        hook_payloads.check_output(event, json.loads(ran.stdout))


def all_payloads(name: str) -> list[dict[str, Any]]:
    captured = [json.loads(path.read_bytes()) for path in FIXTURES]
    return [payload for payload in captured if payload["hook_event_name"] in HOOKS[name]] + DEEP[name]


@pytest.fixture(scope="module")
def busy_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir with a job that runs and one that has ended."""
    folder = tmp_path_factory.mktemp("data") / "data dir"
    add_job(folder)
    add_job(folder, "The answer.")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS)
def test_every_captured_payload(name: str, busy_data_dir: Path, tmp_path: Path) -> None:
    payloads = all_payloads(name)
    assert payloads
    runs = [(payload, folder) for payload in payloads for folder in (busy_data_dir, tmp_path / "none")]
    with ThreadPoolExecutor(4) as pool:
        for (payload, _), ran in zip(runs, pool.map(lambda run: run_hook(name, *run), runs), strict=True):
            check(ran, payload["hook_event_name"])
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_spoiled_payloads(name: str, busy_data_dir: Path, data: st.DataObject) -> None:
    payload = data.draw(st.sampled_from(DEEP[name]))
    raw = data.draw(spoiled(payload))
    started = time.monotonic()
    ran = run_hook(name, raw, busy_data_dir)
    assert time.monotonic() - started < 10
    check(ran, payload["hook_event_name"])


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=nonsense())
def test_nonsense_leaves_no_trace(name: str, tmp_path: Path, raw: bytes) -> None:
    check(run_hook(name, raw, tmp_path / "none"), "")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize(
    "begun", [b"", b'{"hook_event_name": "PostToolUse", "opencode'], ids=["nothing", "a beginning"]
)
def test_stdin_that_never_closes(name: str, begun: bytes, tmp_path: Path) -> None:
    started = time.monotonic()
    hook = subprocess.Popen(
        [sys.executable, "-I", "-S", str(ROOT / "hooks" / f"{name}.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=hook_env(tmp_path),
    )
    assert hook.stdin is not None and hook.stdout is not None
    with hook:
        hook.stdin.write(begun)
        hook.stdin.flush()
        assert hook.wait(STDIN_LIMIT_S + 10) == 0
        assert hook.stdout.read() == b""
    assert time.monotonic() - started < STDIN_LIMIT_S


@pytest.mark.parametrize("name", HOOKS)
def test_locked_store(name: str, tmp_path: Path) -> None:
    add_job(tmp_path)
    add_job(tmp_path, "The answer.")
    holder = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        for payload in DEEP[name]:
            started = time.monotonic()
            check(run_hook(name, payload, tmp_path), payload["hook_event_name"])
            assert time.monotonic() - started < 5
    finally:
        holder.close()


@pytest.mark.parametrize("damage", [b"this is no database" * 500, b"", b"SQLite format 3\0" + b"\xff" * 4000])
@pytest.mark.parametrize("name", HOOKS)
def test_damaged_store(name: str, damage: bytes, tmp_path: Path) -> None:
    store = tmp_path / "jobs.db"
    store.write_bytes(damage)
    for payload in DEEP[name]:
        check(run_hook(name, payload, tmp_path), payload["hook_event_name"])
    assert store.read_bytes() == damage
    assert not list(tmp_path.glob("*damaged*"))


@pytest.mark.parametrize("name", HOOKS)
def test_data_dir_that_is_a_file_or_unreadable(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for payload in DEEP[name]:
        check(run_hook(name, payload, tmp_path / "file"), payload["hook_event_name"])
        check(run_hook(name, payload, Path("/proc/1/nowhere")), payload["hook_event_name"])


def test_waking_hook_survives_too(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"no database" * 1000)
    for raw in (b"", b"null", b'{"tool_name": "Bash"}', json.dumps(bash_ran(COMMAND)).encode()):
        ran = run_hook("post_tool_use_monitor", raw, tmp_path, "--wake", CLAUDE_CODE_ENTRYPOINT="cli")
        assert (ran.code, ran.stdout, ran.stderr) == (0, b"", b"")


def test_hooks_leave_no_bytecode_in_the_plugin(tmp_path: Path) -> None:
    before = {path for path in ROOT.rglob("*.pyc") if ".cache" not in path.parts}
    for name, payloads in DEEP.items():
        for payload in payloads:
            run_hook(name, payload, tmp_path)
    assert {path for path in ROOT.rglob("*.pyc") if ".cache" not in path.parts} <= before


def runs(python: str) -> bool:
    """Whether this Python is there; a version manager's shim may be there without it."""
    found = shutil.which(python)
    return found is not None and subprocess.run([found, "--version"], capture_output=True).returncode == 0


def test_slow_paths_on_the_oldest_python(tmp_path: Path) -> None:
    """Hooks run in whatever Python the system has, 3.9 and newer; a slow path that fails writes to its log."""
    python = next(filter(runs, ("python3.9", "python3.10")), sys.executable)
    add_job(tmp_path)
    add_job(tmp_path, "The answer.")
    for name, payloads in DEEP.items():
        for payload in payloads:
            check(run_hook(name, payload, tmp_path, python=python), payload["hook_event_name"])
    log = tmp_path / "logs" / "hooks.log"
    assert not log.exists(), log.read_text()
