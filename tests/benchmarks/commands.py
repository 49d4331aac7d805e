"""Hooks and commands that take milliseconds, each a process, measured in turns with bare interpreters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hook_runs import SESSION
from jobfactory import make_job
from machine import ENTRY, ROOT

from benchmarks.figures import NODE, PYTHON, Figure, Figures
from companion.states import Status
from companion.store import Store

SYSTEM_PYTHON = "/usr/bin/python3"
# Ended jobs in the store that the hooks look at, all of other sessions, each with the record of its dispatch.
HOOK_STORE_JOBS = 10_000
STATUS_JOBS = (10, 1_000, 10_000)
# The store keeps so many ended jobs of a workspace; more of them stand in other workspaces.
KEPT = 500
ANSWER = "The parser now keeps the comments. " * 30
PAYLOAD = {
    "session_id": SESSION,
    "transcript_path": "/home/user/.claude/projects/x/s.jsonl",
    "cwd": "/home/user/project",
    "tool_use_id": "toolu_1",
    "stop_hook_active": False,
    "tool_response": {"stdout": "x" * 5_000, "stderr": "", "interrupted": False},
}
INPUTS: dict[str, dict[str, Any]] = {
    "Bash": {"tool_name": "Bash", "tool_input": {"command": 'for x in $(ls); do echo "$x"; done'}},
    "Agent": {"tool_name": "Agent", "tool_input": {"prompt": "Look.", "subagent_type": "general-purpose"}},
    "TaskStop": {"tool_name": "TaskStop", "tool_input": {"task_id": "a1"}},
    "": {"prompt": "Go on.", "agent_id": "a1", "agent_type": "general-purpose", "last_assistant_message": "Done."},
}


OWN_PYTHON = "baseline.companionPython"
BASELINES = {
    NODE: "`node -e 0`",
    PYTHON: "`/usr/bin/python3 -I -S -c pass`",
    OWN_PYTHON: "`python -c pass`, of the Python that runs the commands",
}


class Case(NamedTuple):
    """A process to time: what it gets on stdin, the environment, and where it runs."""

    group: str
    label: str
    command: list[str]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes = b""


def measure(root: Path, rounds: int) -> Figures:
    """Every case `rounds` times, in turns, so that what else the machine does falls on all alike."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENCODE_")}
    env["HOME"] = str(root)
    cases = {**baselines(env, root), **hooks(env, root), **store_commands(env, root)}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, case in cases.items():
            began = time.perf_counter()
            subprocess.run(case.command, input=case.stdin, env=case.env, cwd=case.cwd, capture_output=True, check=True)
            times[name].append((time.perf_counter() - began) * 1000)
    # The first of each fills caches.
    return {name: Figure(case.group, case.label, "ms", tuple(times[name][1:])) for name, case in cases.items()}


def baselines(env: Mapping[str, str], root: Path) -> dict[str, Case]:
    """What a process costs that does nothing."""
    commands = {
        PYTHON: [SYSTEM_PYTHON if os.path.exists(SYSTEM_PYTHON) else sys.executable, "-I", "-S", "-c", "pass"],
        OWN_PYTHON: [sys.executable, "-c", "pass"],
    }
    node = shutil.which("node")
    if node:
        commands[NODE] = [node, "-e", "0"]
    return {name: Case("baseline", BASELINES[name], command, env, str(root)) for name, command in commands.items()}


def hooks(env: Mapping[str, str], root: Path) -> dict[str, Case]:
    """Every different command in hooks.json as Claude Code runs it, on a payload that is none of its business."""
    data = root / "hooks"
    fill(data, {"/home/user/project": HOOK_STORE_JOBS}, claude_session="another")
    own = {**env, "OPENCODE_COMPANION_DATA": str(data), "CLAUDE_CODE_ENTRYPOINT": "cli"}
    found = {}
    for event, entries in json.loads((ROOT / "hooks" / "hooks.json").read_text())["hooks"].items():
        for entry in entries:
            tool = entry.get("matcher", "")
            payload = {**PAYLOAD, "hook_event_name": event, **INPUTS.get(tool, INPUTS[""])}
            for hook in entry["hooks"]:
                words = [hook["command"], *hook["args"]]
                command = [word.replace("${CLAUDE_PLUGIN_ROOT}", str(ROOT)) for word in words]
                place = f"{event} {tool}".strip()
                name = ".".join(("hook", *place.split(), *(word.strip("-") for word in hook["args"])))
                label = f"{place}: `{' '.join(hook['args'])}`"
                raw = json.dumps(payload, separators=(",", ":")).encode()
                found[name] = Case(_hook_group(event, hook["args"]), label, command, own, str(root), raw)
    return found


def _hook_group(event: str, words: list[str]) -> str:
    if event == "SessionStart":
        return "hookStart"
    asks = words[0] == "vague_result_detector" or event == "UserPromptSubmit"
    return "hookStore" if asks else "hookIdle"


def store_commands(env: Mapping[str, str], root: Path) -> dict[str, Case]:
    """Commands that only read the store, in a plain terminal."""
    workspace = root / "workspace"
    workspace.mkdir()
    here = os.path.realpath(workspace)
    cases = {}
    for count in STATUS_JOBS:
        data = root / f"store-{count}"
        elsewhere = {f"/another/{n}": min(KEPT, count - n * KEPT) for n in range(1, -(-count // KEPT))}
        newest = fill(data, {**elsewhere, here: min(KEPT, count)})
        own = {**env, "OPENCODE_COMPANION_DATA": str(data)}
        cases[f"command.status.{count}"] = Case(
            "command", f"`status`, {count:,} jobs", [sys.executable, str(ENTRY), "status"], own, here
        )
        if count == STATUS_JOBS[1]:
            for words in (["wait-and-result", newest], ["result"]):
                cases[f"command.{words[0]}"] = Case(
                    "command", f"`{words[0]}` of an ended job", [sys.executable, str(ENTRY), *words], own, here
                )
    data = root / "store-unpruned"
    fill(data, {here: STATUS_JOBS[-1]})
    label = f"`status`, {STATUS_JOBS[-1]:,} jobs, all in this workspace"
    own = {**env, "OPENCODE_COMPANION_DATA": str(data)}
    cases["command.status.unpruned"] = Case("command", label, [sys.executable, str(ENTRY), "status"], own, here)
    return cases


def fill(data: Path, counts: Mapping[str, int], claude_session: str | None = None) -> str:
    """Make a store with so many ended jobs a workspace; the newest job's id."""
    data.mkdir(mode=0o700)
    newest = ""
    with Store(str(data)) as store, store.exclusive():  # one transaction: one disk flush
        for workspace, count in counts.items():
            for n in range(count):
                job = make_job(workspace=workspace, claude_session=claude_session)
                store.add(job)
                store.finish(job.id, Status.COMPLETED, result=ANSWER)
                if claude_session is not None:
                    store.record_dispatch(job.id, claude_session, f"toolu_{n}", "a1", "general-purpose", heard=True)
                newest = job.id
    return newest
