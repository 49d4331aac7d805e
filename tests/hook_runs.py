"""Runs a hook as Claude Code does, and a store for it to look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.jobs import Job, new_job_id, now_ms
from companion.settings import Settings
from companion.states import Status
from companion.store import Store

ROOT = Path(__file__).resolve().parent.parent
HOOKS = {
    "post_tool_use_monitor": ("PostToolUse", "PostToolUseFailure"),
    "vague_result_detector": ("PostToolUse", "PostToolUseFailure", "SubagentStop", "StopFailure"),
    "safety_header_injector": ("PreToolUse",),
    "session_lifecycle": ("SessionStart", "SessionEnd", "UserPromptSubmit"),
    "stop_review_gate": ("Stop",),
}
FIXTURES = sorted((ROOT / "tests" / "fixtures" / "payloads").glob("*/*.json"))
SESSION = "00000000-0000-4000-8000-000000000001"
AGENT = "a0000000000000001"
RESCUE = "opencode:opencode-rescue"


@dataclass(frozen=True)
class Ran:
    """How a hook ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def output(self) -> dict[str, Any] | None:
        """What it answered, None if nothing."""
        return json.loads(self.stdout) if self.stdout else None

    @property
    def specific(self) -> dict[str, Any]:
        """`hookSpecificOutput`, empty if there is none."""
        found: dict[str, Any] = (self.output or {}).get("hookSpecificOutput", {})
        return found


def run_hook(
    name: str,
    payload: Any,
    data_dir: Path,
    *arguments: str,
    python: str = sys.executable,
    bare: bool = True,
    **env: str,
) -> Ran:
    """Run a hook on a payload, or on bytes as they are. By default as in plain `claude -p`.

    `bare`: without the packages of the Python at hand, as on most machines.
    """
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    done = subprocess.run(
        [python, *(["-I", "-S"] if bare else []), str(ROOT / "hooks" / f"{name}.py"), *arguments],
        input=raw,
        capture_output=True,
        env=hook_env(data_dir, **env),
        timeout=60,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def hook_env(data_dir: Path, **env: str) -> dict[str, str]:
    """The environment of a hook."""
    own = {"OPENCODE_COMPANION_DATA": str(data_dir), "CLAUDE_CODE_ENTRYPOINT": "sdk-cli", "HOME": str(data_dir.parent)}
    return {**os.environ, **own, **env}


def fixture(name: str, version: str = "2.1.330", **changes: Any) -> dict[str, Any]:
    """A captured payload, with some of its keys changed."""
    path = ROOT / "tests" / "fixtures" / "payloads" / version / f"{name}.json"
    payload: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {**payload, **changes}


def bash_ran(command: str, stdout: str = "", agent: bool = False, **changes: Any) -> dict[str, Any]:
    """A Bash call that has ended well, of the main thread or of a rescue agent."""
    payload = fixture("PostToolUse.Bash.bash-ok", **changes)
    payload["tool_input"] = {"command": command, "description": "d"}
    payload["tool_response"] = {**payload["tool_response"], "stdout": stdout}
    return {**payload, "agent_id": AGENT, "agent_type": RESCUE} if agent else payload


def agent_returned(said: str, agent_type: str = RESCUE) -> dict[str, Any]:
    """A subagent that the main thread waited for and that has returned."""
    payload = fixture("PostToolUse.Agent.agent-sync")
    payload["tool_input"]["subagent_type"] = agent_type
    payload["tool_response"]["content"] = [{"type": "text", "text": said}]
    return payload


def agent_stops(said: str, background: bool = False, agent_type: str = RESCUE) -> dict[str, Any]:
    """A subagent that wants to stop."""
    payload = fixture("SubagentStop.agent-background" if background else "SubagentStop.agent-sync")
    return {**payload, "last_assistant_message": said, "agent_type": agent_type}


def mapping_without(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A copy without some keys."""
    return {key: item for key, item in value.items() if key not in keys}


def add_job(data_dir: Path, answer: str | None = None, **changes: Any) -> Job:
    """A job of the fixtures' session; with an answer it has ended a while ago."""
    data_dir.mkdir(parents=True, exist_ok=True)
    now = now_ms()
    settings = Settings.from_env({})
    job = Job(
        id=new_job_id("task"),
        type="task",
        workspace="/home/user/project",
        server="http://127.0.0.1:9",
        claude_session=SESSION,
        status=Status.QUEUED,
        phase="queued",
        prompt="Look at the basalt.",
        title="Look at the basalt.",
        limits=settings.limits,
        permissions="auto",
        read_only=False,
        created_at=now,
        updated_at=now,
    )
    if answer is not None:
        done = {"status": Status.COMPLETED, "result": answer, "completed_at": now - 60_000, "phase": "ended"}
        changes = {**done, **changes}
    job = job._replace(**changes)
    with Store(str(data_dir)) as store:
        store.add(job)
    return job


def end_job(data_dir: Path, job: Job, answer: str) -> Job:
    """The job ends with this answer, now."""
    with Store(str(data_dir)) as store:
        store.start(job.id)
        assert store.finish(job.id, Status.COMPLETED, result=answer)
        ended = store.get(job.id)
    assert ended is not None
    return ended
