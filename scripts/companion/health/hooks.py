"""The installed hooks: their files, and what they do when Claude Code calls them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from companion.bootstrap import PLUGIN_ROOT
from companion.context import Context
from companion.health import programs
from companion.health.check import Finding, fail, ok, warn

REINSTALL = "claude plugin update opencode"
HOOK_LIMIT_S = 10.0
_ROOT_VARIABLE = "${CLAUDE_PLUGIN_ROOT}"
# None of the caller's session may reach a hook that is only tried.
_DROPPED = re.compile(r"CLAUDE.*|OPENCODE_.*")
_SESSION = "00000000-0000-4000-8000-000000000000"


class Call(NamedTuple):
    """One way in which Claude Code calls a hook: the event, the tool it is about (or empty), the command line."""

    event: str
    tool: str
    command: tuple[str, ...]


def hooks(context: Context) -> list[Finding]:
    """Whether every hook is there, is Python, and answers a small payload of each of its events."""
    path = os.path.join(PLUGIN_ROOT, "hooks", "hooks.json")
    if not os.path.exists(path):
        return [warn(f"There is no {path}: answers do not come by themselves.", REINSTALL)]
    try:
        with open(path, encoding="utf-8") as file:
            calls = list(dict.fromkeys(_calls(json.load(file))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [fail(f"{path} cannot be read ({type(error).__name__}: {error}).", REINSTALL)]
    missing = sorted({word for call in calls for word in _files_of(call) if not os.path.exists(word)})
    if missing:
        return [fail(f"hooks.json names files that are not there: {', '.join(missing)}.", REINSTALL)]
    broken = list(_broken_files())
    if broken:
        return [fail(f"These hooks are no valid Python: {', '.join(broken)}.", REINSTALL)]
    if sys.platform == "win32":
        return [ok(f"{len(calls)} hook calls, all files there (not tried on this platform).")]
    findings = [finding for call in calls if (finding := _try(call, context)) is not None]
    findings += _logged(context)
    return findings or [ok(f"{len(calls)} hook calls tried; each is silent or answers JSON.")]


def _calls(value: dict[str, Any]) -> Iterator[Call]:
    for event, groups in value["hooks"].items():
        for group in groups:
            tools = [tool for tool in re.split(r"[|,]", group.get("matcher", "")) if tool.isalnum()] or [""]
            for hook in group["hooks"]:
                words = [hook["command"], *hook["args"]] if "args" in hook else shlex.split(hook["command"])
                command = tuple(word.replace(_ROOT_VARIABLE, PLUGIN_ROOT) for word in words)
                for tool in tools:
                    yield Call(event, tool, command)


def _files_of(call: Call) -> list[str]:
    """The plugin's own files on a command line, also those that the runner makes of a bare name."""
    folder = os.path.join(PLUGIN_ROOT, "hooks")
    files = [word for word in call.command if word.startswith(PLUGIN_ROOT)]
    if files and not files[0].endswith(".py"):
        files += [os.path.join(folder, word + ".py") for word in call.command if re.fullmatch(r"[a-z_]+", word)]
    return files


def _broken_files() -> Iterator[str]:
    for folder in (os.path.join(PLUGIN_ROOT, "hooks"), os.path.join(PLUGIN_ROOT, "scripts", "companion", "hooks")):
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if not name.endswith(".py"):
                continue
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    compile(file.read(), path, "exec")
            except (SyntaxError, ValueError, OSError) as error:
                yield f"{path} ({error})"


def _try(call: Call, context: Context) -> Finding | None:
    """Fire one hook where it can touch nothing: a data dir, a HOME and a Claude session that do not exist."""
    name = f"{call.event}{f' {call.tool}' if call.tool else ''}: {os.path.basename(call.command[-1])}"
    scratch = os.path.realpath(tempfile.mkdtemp(prefix="opencode-companion-doctor-"))
    try:
        env = {key: value for key, value in context.env.items() if not _DROPPED.fullmatch(key)}
        env.update(HOME=scratch, OPENCODE_COMPANION_DATA=os.path.join(scratch, "data"), CLAUDE_PLUGIN_ROOT=PLUGIN_ROOT)
        payload = json.dumps(_payload(call, scratch)).encode()
        said = programs.ask(call.command, env, HOOK_LIMIT_S, payload, cwd=scratch)
    except OSError as error:
        return fail(f"{name} cannot be run: {error.strerror or error}.", REINSTALL)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if said.code is None:
        return fail(f"{name} did not end within {HOOK_LIMIT_S:g} s.", REINSTALL)
    if said.code != 0:
        return fail(f"{name} ended with {said.code}: {said.err.strip()[-200:]}", REINSTALL)
    if said.out.strip():
        try:
            json.loads(said.out)
        except ValueError:
            return fail(f"{name} printed something that is no JSON: {said.out.strip()[:80]!r}.", REINSTALL)
    return None


def _payload(call: Call, folder: str) -> dict[str, Any]:
    """What Claude Code sends at this event, with content of no consequence."""
    payload: dict[str, Any] = {
        "session_id": _SESSION,
        "transcript_path": os.path.join(folder, "transcript.jsonl"),
        "cwd": folder,
        "hook_event_name": call.event,
        "permission_mode": "default",
    }
    tool = call.tool or "Bash"
    if call.event.endswith("ToolUse") or call.event == "PostToolUseFailure":
        payload.update(tool_name=tool, tool_use_id="toolu_doctor", tool_input=_tool_input(tool))
    specific: dict[str, dict[str, Any]] = {
        "PostToolUse": {"tool_response": _tool_response(tool)},
        "PostToolUseFailure": {"error": "Exit code 1", "is_interrupt": False},
        "SubagentStop": {
            "agent_id": "doctor",
            "agent_type": "general-purpose",
            "stop_hook_active": False,
            "agent_transcript_path": os.path.join(folder, "agent.jsonl"),
            "last_assistant_message": "Nothing was delegated.",
            "background_tasks": [],
        },
        "Stop": {"stop_hook_active": False, "last_assistant_message": "Done.", "background_tasks": []},
        "StopFailure": {"error": "api_error", "last_assistant_message": ""},
        "SessionStart": {"source": "startup", "model": "claude"},
        "SessionEnd": {"reason": "other"},
        "UserPromptSubmit": {"prompt": "hello"},
    }
    return {**payload, **specific.get(call.event, {})}


def _tool_input(tool: str) -> dict[str, Any]:
    if tool == "Bash":
        return {"command": "opencode --version", "description": "a try"}
    if tool == "TaskStop":
        return {"task_id": "doctor"}
    return {"prompt": "hello", "description": "a try", "subagent_type": "general-purpose"}


def _tool_response(tool: str) -> dict[str, Any]:
    if tool == "Bash":
        return {"stdout": "1.18.33", "stderr": "", "interrupted": False}
    if tool == "TaskStop":
        return {"message": "stopped", "task_id": "doctor", "task_type": "local_agent"}
    return {
        "status": "completed",
        "agentId": "doctor",
        "content": [{"type": "text", "text": "Nothing was delegated."}],
        "prompt": "hello",
        "totalDurationMs": 1,
        "totalTokens": 1,
        "totalToolUseCount": 0,
        "usage": {},
    }


def _logged(context: Context) -> list[Finding]:
    """Faults that hooks have noted; they never show them to Claude Code."""
    path = os.path.join(context.data_dir, "logs", "hooks.log")
    try:
        if os.path.getsize(path) == 0:
            return []
    except OSError:
        return []
    return [warn(f"Hooks have met faults; see {path}.", f"remove {path} once you have looked")]
