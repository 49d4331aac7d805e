"""`doctor` on broken machines: each fault is found, named with what mends it, and never hides the others."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jobfactory import make_job

from companion import filelock
from companion.bootstrap import PLUGIN_ROOT
from companion.commands.doctor import CHECKS
from companion.context import Context
from companion.health import check, hooks, installation, opencode, work
from companion.health.check import Check, fail, ok, warn
from companion.jobs import Activity, Blocked, new_job_id, now_ms
from companion.logs import workspace_key
from companion.settings import Settings
from companion.store import MIGRATIONS, Store
from companion.supervisor.spawn import supervisor_lock

# Starts many processes.
pytestmark = pytest.mark.slow

ENTRY = Path(PLUGIN_ROOT) / "scripts" / "opencode_companion.py"


class Patient:
    """A machine to look at: HOME, data dir, workspace, and an opencode that is a shell script."""

    def __init__(self, root: Path, data_dir: Path) -> None:
        self.home, self.data, self.workspace = root / "home", data_dir, root / "work"
        self.config = self.home / ".config" / "opencode" / "opencode.json"
        self.config.parent.mkdir(parents=True)
        self.workspace.mkdir()
        self.program = root / "opencode"
        self.env = {**os.environ, "HOME": str(self.home), "OPENCODE_BIN": str(self.program)}
        self.says("echo 1.18.33")

    def says(self, script: str) -> None:
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)

    def context(self, **env: str) -> Context:
        env = {**self.env, **env}
        return Context(env, Settings.from_env(env), str(self.data), str(self.workspace))

    def look(self, look: Callable[[Context], list[check.Finding]], **env: str) -> Check:
        return check.run("it", lambda: look(self.context(**env)))

    def run(self, *words: str, **env: str) -> tuple[int, dict[str, Any]]:
        """`doctor --json`: the exit code, and the answer with its checks by name."""
        done = subprocess.run(
            [sys.executable, str(ENTRY), "doctor", "--json", *words],
            cwd=self.workspace,
            env={**self.env, **env},
            capture_output=True,
            text=True,
        )
        assert done.stdout, done.stderr
        answer = json.loads(done.stdout)
        answer["checks"] = {one["name"]: one for one in answer["checks"]}
        return done.returncode, answer


@pytest.fixture
def patient(tmp_path: Path, data_dir: Path) -> Patient:
    return Patient(tmp_path, data_dir)


@pytest.fixture
def store(patient: Patient) -> Iterator[Store]:
    patient.data.mkdir(mode=0o700)
    with Store(str(patient.data)) as store:
        yield store


# The whole


def test_a_new_machine_is_well_and_stays_as_it_is(patient: Patient) -> None:
    patient.data.mkdir(mode=0o700)
    code, answer = patient.run()
    assert (code, answer["ok"]) == (0, True), answer
    assert list(answer["checks"]) == [name for name, _ in CHECKS]
    assert all(set(one) == {"name", "status", "detail", "fix"} for one in answer["checks"].values())
    assert {one["status"] for one in answer["checks"].values()} <= {"ok", "warn"}
    assert [path.name for path in patient.data.iterdir() if path.name != "pycache"] == []
    assert not patient.config.exists()


def test_everything_broken_at_once_is_told_at_once(patient: Patient) -> None:
    patient.data.mkdir(mode=0o755)
    (patient.data / "jobs.db").write_bytes(b"no database " * 500)
    patient.config.write_text('{"permission": ')
    patient.says("echo 'opencode v2.0.3'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        code, answer = patient.run(OPENCODE_IDLE_TIMEOUT_MS="soon", OPENCODE_SERVER_URL=url)
    assert (code, answer["ok"]) == (1, False)
    failed = {name: one for name, one in answer["checks"].items() if one["status"] == "fail"}
    assert set(failed) >= {"variables", "store", "opencode", "config", "server"}
    assert all(one["fix"] for one in failed.values()), failed
    assert "2.0.3" in failed["opencode"]["detail"]
    assert (patient.data / "jobs.db").read_bytes().startswith(b"no database")


def test_what_people_read(patient: Patient) -> None:
    def shown(*words: str) -> str:
        command = [sys.executable, str(ENTRY), "doctor", *words]
        return subprocess.run(command, cwd=patient.workspace, env=patient.env, stdout=subprocess.PIPE, text=True).stdout

    patient.says("echo 1.14.41")
    text = shown()
    assert "\nok    hooks\n" in text
    assert "\nFAIL  opencode " in text
    assert "Mend it: npm install -g opencode-ai@" in text
    assert f"1 of {len(CHECKS)} checks failed, 1 warned." in text
    assert "hook calls tried" in shown("--verbose")


def test_a_data_dir_that_cannot_be_used_is_a_finding(patient: Patient) -> None:
    patient.data.write_text("in the way")
    code, answer = patient.run()
    assert code == 1
    assert answer["checks"]["data-dir"]["status"] == "fail"


def test_a_workspace_that_is_gone_is_a_finding_of_its_checks_only(patient: Patient) -> None:
    patient.data.mkdir(mode=0o700)
    with Store(str(patient.data)):
        pass
    code, answer = patient.run("--cwd", "/nowhere/at/all")
    assert code == 1
    assert "/nowhere/at/all" in answer["checks"]["server"]["detail"]
    assert answer["checks"]["hooks"]["status"] == "ok"


def test_a_check_that_crashes_is_a_failure_of_that_check() -> None:
    result = check.run("odd", lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert (result.status, "ZeroDivisionError" in result.detail) == (check.FAIL, True)


def test_the_worst_finding_counts_and_secrets_are_masked() -> None:
    result = check.run("it", lambda: [ok("fine"), warn("so so", "b"), fail("token=abcdef123456", "a"), warn("x", "b")])
    assert (result.status, result.fix) == (check.FAIL, "a; b")
    assert "fine" not in result.detail and "abcdef123456" not in result.detail


# Python


def test_a_missing_environment_is_no_fault_a_failed_one_is(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "environment_python", lambda data_dir: None)
    assert patient.look(installation.python).status == check.WARN
    (patient.data / "env").mkdir(parents=True)
    (patient.data / "env" / "failed").write_text("Cannot prepare it: no network.")
    result = patient.look(installation.python)
    assert (result.status, "no network" in result.detail) == (check.FAIL, True)


def test_an_environment_that_cannot_import_is_broken(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "RUNTIME_MODULES", ("json", "there_is_no_such_module"))
    result = patient.look(installation.python)
    assert (result.status, "there_is_no_such_module" in result.detail) == (check.FAIL, True)
    assert result.fix.endswith("doctor --fix")


# Data dir and store


def test_others_must_not_read_the_data(patient: Patient, store: Store) -> None:
    (patient.data / "logs").mkdir(mode=0o755)
    log = patient.data / "logs" / "x.log"
    log.touch(mode=0o644)
    foreign = patient.data / "opencode" / "node_modules"
    foreign.mkdir(parents=True)
    (patient.data / "opencode").chmod(0o700)
    result = patient.look(installation.data_folder)
    assert (result.status, "logs" in result.detail, "node_modules" in result.detail) == (check.FAIL, True, False)
    _, answer = patient.run("--fix")
    assert answer["checks"]["data-dir"]["status"] == "ok", answer
    assert [stat.S_IMODE(path.stat().st_mode) for path in (log, log.parent)] == [0o600, 0o700]
    assert stat.S_IMODE(foreign.stat().st_mode) == 0o755


@pytest.mark.parametrize(("free", "status"), [(10**12, "ok"), (150_000_000, "warn"), (5_000_000, "fail")])
def test_the_disk_has_room(
    patient: Patient, store: Store, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=free, used=0, free=free))
    assert patient.look(installation.data_folder).status == status


def test_which_rule_chose_the_data_dir(patient: Patient) -> None:
    assert "from OPENCODE_COMPANION_DATA" in patient.look(installation.data_folder).detail
    del patient.env["OPENCODE_COMPANION_DATA"]
    result = patient.look(installation.data_folder, CLAUDE_PLUGIN_DATA="/plugins/data/other-market")
    assert "your data folder; CLAUDE_PLUGIN_DATA=/plugins/data/other-market is another plugin's" in result.detail
    ours = patient.look(installation.data_folder, CLAUDE_PLUGIN_DATA="/plugins/data/opencode-inline")
    assert "from CLAUDE_PLUGIN_DATA" in ours.detail


@pytest.mark.parametrize(("schema", "status"), [(len(MIGRATIONS), "ok"), (0, "warn"), (99, "fail")])
def test_the_stores_schema(patient: Patient, store: Store, schema: int, status: str) -> None:
    with sqlite3.connect(store.path) as db:
        db.execute(f"PRAGMA user_version = {schema}")
    assert patient.look(installation.job_store).status == status


# opencode


PROGRAMS: dict[str, tuple[str, str, str]] = {
    "supported": ("echo 1.18.33", "ok", "1.18.33"),
    "old": ("echo 1.15.12", "fail", "1.15.13"),
    "second generation": ("echo 2.1.0", "fail", "2.1.0"),
    "known broken": ("echo 1.18.25", "warn", "1.18.25"),
    "silent": ("true", "fail", "version"),
    "crashing": ("echo oh no >&2; exit 3", "fail", "oh no"),
}


@pytest.mark.parametrize(("script", "status", "word"), PROGRAMS.values(), ids=PROGRAMS)
def test_the_program(patient: Patient, script: str, status: str, word: str) -> None:
    patient.says(script)
    result = patient.look(opencode.program)
    assert (result.status, word in result.detail) == (status, True), result
    assert bool(result.fix) == (status != "ok")


def test_a_program_that_hangs_is_given_up(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencode, "VERSION_LIMIT_S", 0.2)
    patient.says("sleep 60 & sleep 60")
    assert "did not end" in patient.look(opencode.program).detail


def test_a_missing_program_can_be_installed(patient: Patient) -> None:
    only_git = os.path.dirname(shutil.which("git") or "")
    if shutil.which("opencode", path=only_git):
        pytest.skip("opencode lies beside git here")
    result = patient.look(opencode.program, OPENCODE_BIN="", PATH=only_git)
    assert (result.status, result.fix.endswith("setup --install")) == (check.FAIL, True)
    assert patient.look(opencode.program, OPENCODE_BIN="/nowhere").fix == "unset OPENCODE_BIN"


CONFIGS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "nothing": ({}, "auto", "ok", "can be read"),
    "asks, auto": ({"permission": {"bash": "ask"}}, "auto", "ok", "bash on `ask`: jobs are allowed it all the same"),
    "asks, relay": ({"permission": "ask"}, "relay", "warn", "jobs wait for you"),
    "denies": ({"permission": {"edit": "deny"}}, "auto", "warn", "edit denied"),
    "denies in part": ({"permission": {"bash": {"*": "allow", "rm *": "deny"}}}, "auto", "ok", "denied in part"),
    "an agent denies": ({"agent": {"plan": {"permission": {"bash": "deny"}}}}, "auto", "warn", "Agent plan: bash"),
}


@pytest.mark.parametrize(("config", "mode", "status", "word"), CONFIGS.values(), ids=CONFIGS)
def test_what_the_config_means_for_jobs(
    patient: Patient, config: dict[str, Any], mode: str, status: str, word: str
) -> None:
    patient.config.write_text(json.dumps(config))
    result = patient.look(opencode.config, OPENCODE_COMPANION_PERMISSIONS=mode)
    assert (result.status, word in result.detail) == (status, True), result


def test_a_config_that_cannot_be_read(patient: Patient) -> None:
    patient.config.write_text("{nope}")
    result = patient.look(opencode.config)
    assert (result.status, str(patient.config) in result.detail) == (check.FAIL, True)


def test_a_provider_is_found_wherever_it_is_configured(patient: Patient) -> None:
    assert patient.look(opencode.provider).status == check.WARN
    assert "ANTHROPIC_API_KEY" in patient.look(opencode.provider, ANTHROPIC_API_KEY="sk-secret-1234567").detail
    patient.config.write_text('{"model": "a/b"}')
    assert "model a/b" in patient.look(opencode.provider).detail
    patient.config.unlink()
    auth = patient.home / "data" / "opencode" / "auth.json"
    auth.parent.mkdir(parents=True)
    auth.write_text('{"anthropic": {"type": "api", "key": "sk-secret-1234567"}}')
    result = patient.look(opencode.provider, XDG_DATA_HOME=str(patient.home / "data"))
    assert (result.status, "login for anthropic" in result.detail) == (check.OK, True)
    assert "secret" not in result.detail
    auth.write_text("[]")
    assert patient.look(opencode.provider, XDG_DATA_HOME=str(patient.home / "data")).status == check.FAIL


class Health(http.server.BaseHTTPRequestHandler):
    """A server that answers for its health like opencode's, to those who know the password `right`."""

    version = "1.18.33"

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Basic " + base64.b64encode(b"opencode:right").decode()
        self.send_response(200 if known else 401)
        self.end_headers()
        if known:
            self.wfile.write(json.dumps({"healthy": True, "version": self.version}).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_server_that_the_user_named(patient: Patient, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(password: str = "right", url: str = url) -> Check:
        return patient.look(opencode.server, OPENCODE_SERVER_URL=url, OPENCODE_SERVER_PASSWORD=password)

    assert look().status == check.OK
    wrong = look("wrong")
    assert (wrong.status, "OPENCODE_SERVER_PASSWORD" in wrong.fix) == (check.FAIL, True)
    monkeypatch.setattr(Health, "version", "2.0.1")
    assert "2.0.1" in look().detail
    monkeypatch.setattr(opencode, "PROBE_LIMIT_S", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert "does not answer" in look(url=f"http://127.0.0.1:{silent.getsockname()[1]}").detail


def test_the_managed_server(patient: Patient, store: Store, url: str) -> None:
    def record(password: str, url: str) -> None:
        workspace = os.path.realpath(patient.workspace)
        store.save_server(workspace, url=url, password=password, marker="m", pid=1, create_time=0.0, version="1.18.33")

    assert "None runs" in patient.look(opencode.server).detail
    record("right", url)
    assert "is ours and answers" in patient.look(opencode.server).detail
    record("other", url)
    assert "another program's" in patient.look(opencode.server).detail
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        record("right", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert "is gone" in patient.look(opencode.server).detail


# Jobs


def test_jobs_that_need_somebody(patient: Patient, store: Store) -> None:
    assert patient.look(work.jobs).status == check.OK
    workspace, now = os.path.realpath(patient.workspace), now_ms()

    def add(**changes: Any) -> str:
        job = make_job(id=new_job_id("task"), workspace=workspace, **changes)
        store.add(job)
        return job.id

    job_id = add()
    lonely = patient.look(work.jobs)
    assert (lonely.status, job_id in lonely.detail, lonely.fix.endswith("heal")) == (check.FAIL, True, True)
    assert not (patient.data / "supervisors").exists()
    with filelock.held(supervisor_lock(str(patient.data), workspace_key(str(patient.data), workspace, "")), 1):
        assert patient.look(work.jobs).status == check.OK
        blocked = add(blocked=Blocked("permission", "per_1", "bash: x"))
        silent = add(updated_at=now - 10 * 60_000)
        stuck = add(activity=Activity("bash", "sleep", now - 20 * 60_000))
        result = patient.look(work.jobs)
    assert result.status == check.WARN
    assert f"{blocked} is blocked on a permission." in result.detail
    assert f"{silent}: its supervisor has written nothing for 10m." in result.detail
    assert f"{stuck} has not moved for 20m." in result.detail
    assert "permissions list" in result.fix


# Hooks and manifest


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin folder with one hook, in place of the real one."""
    root = tmp_path / "plugin"
    (root / "hooks").mkdir(parents=True)
    monkeypatch.setattr(hooks, "PLUGIN_ROOT", str(root))
    monkeypatch.setattr(installation, "PLUGIN_ROOT", str(root))
    entry = {"type": "command", "command": "python3", "args": ["${CLAUDE_PLUGIN_ROOT}/hooks/one.py", "a word"]}
    listed = {"hooks": {"PostToolUse": [{"matcher": "Agent|Bash", "hooks": [entry]}]}}
    (root / "hooks" / "hooks.json").write_text(json.dumps(listed))
    return root


HOOKS: dict[str, tuple[str | None, str, str]] = {
    "silent": ("", "ok", "2 hook calls tried"),
    "answers": ("print('{}')", "ok", "2 hook calls tried"),
    "gets its payload": (
        "import json, sys; p = json.load(sys.stdin); assert p['tool_response'] and p['tool_name'] in ('Bash', 'Agent')",
        "ok",
        "2 hook calls tried",
    ),
    "may touch nothing of the user's": (
        "import os; assert 'doctor' in os.environ['OPENCODE_COMPANION_DATA'] and 'CLAUDE_ENV_FILE' not in os.environ",
        "ok",
        "2 hook calls tried",
    ),
    "talks": ("print('hello')", "fail", "no JSON"),
    "fails": ("raise SystemExit('oh no')", "fail", "ended with 1: oh no"),
    "is no Python": ("def", "fail", "no valid Python"),
    "is missing": (None, "fail", "not there"),
}


@pytest.mark.parametrize(("source", "status", "word"), HOOKS.values(), ids=HOOKS)
def test_a_hook(patient: Patient, plugin: Path, source: str | None, status: str, word: str) -> None:
    if source is not None:
        (plugin / "hooks" / "one.py").write_text(source)
    result = patient.look(hooks.hooks, CLAUDE_ENV_FILE="/nowhere")
    assert (result.status, word in result.detail) == (status, True), result


def test_a_hook_that_hangs_is_given_up(patient: Patient, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "HOOK_LIMIT_S", 0.3)
    (plugin / "hooks" / "one.py").write_text("import time; time.sleep(60)")
    assert "did not end" in patient.look(hooks.hooks).detail


def test_hooks_that_are_not_there_are_a_warning(patient: Patient, plugin: Path) -> None:
    (plugin / "hooks" / "hooks.json").unlink()
    assert patient.look(hooks.hooks).status == check.WARN


def test_faults_that_hooks_noted_are_told(patient: Patient, plugin: Path) -> None:
    (plugin / "hooks" / "one.py").touch()
    (patient.data / "logs").mkdir(parents=True)
    (patient.data / "logs" / "hooks.log").write_text("Traceback")
    assert patient.look(hooks.hooks).status == check.WARN


MANIFESTS: dict[str, tuple[str, str]] = {
    "right": ('{"name": "opencode", "version": "0.1.0"}', "ok"),
    "another version": ('{"name": "opencode", "version": "9.9.9"}', "fail"),
    "another name": ('{"name": "codex", "version": "0.1.0"}', "fail"),
    "no JSON": ("{", "fail"),
    "no version": ('{"name": "opencode"}', "fail"),
}


@pytest.mark.parametrize(("text", "status"), MANIFESTS.values(), ids=MANIFESTS)
def test_the_manifest(patient: Patient, plugin: Path, text: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "__version__", "0.1.0")
    assert patient.look(installation.plugin).status == "fail"
    (plugin / ".claude-plugin").mkdir()
    (plugin / ".claude-plugin" / "plugin.json").write_text(text)
    assert patient.look(installation.plugin).status == status


# Mending


def test_fix_writes_the_four_permissions_once_and_tells(patient: Patient) -> None:
    patient.config.write_text('{"model": "a/b", "permission": {"bash": "ask", "edit": "deny"}}')
    code, answer = patient.run("--fix")
    repairs = {one["name"]: one for one in answer["repairs"]}
    assert (code, repairs["config"]["outcome"]) == (0, "done"), answer
    assert json.loads(patient.config.read_text()) == {
        "model": "a/b",
        "permission": {"bash": "allow", "edit": "deny", "webfetch": "allow", "external_directory": "allow"},
    }
    before = sorted(path.name for path in patient.config.parent.iterdir())
    assert len(before) == 2
    again = {one["name"]: one["outcome"] for one in patient.run("--fix")[1]["repairs"]}
    assert set(again.values()) == {"nothing"}
    assert sorted(path.name for path in patient.config.parent.iterdir()) == before


def test_fix_says_what_to_write_by_hand(patient: Patient) -> None:
    text = '{\n  // careful\n  "permission": {"bash": "ask"}\n}'
    patient.config.write_text(text)
    _, answer = patient.run("--fix")
    [config] = [one for one in answer["repairs"] if one["name"] == "config"]
    assert (config["outcome"], '"webfetch": "allow"' in config["detail"]) == ("refused", True)
    assert patient.config.read_text() == text
    assert answer["checks"]["config"]["status"] == "ok"
