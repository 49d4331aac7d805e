"""Reads a payload that may have any shape: what is missing or of another type is empty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# One program under two names; both are found in a command that runs it, and in nothing else that is common.
COMPANION = re.compile(r"opencode[-_]companion")
# A command that starts a job.
DISPATCH = re.compile(
    r"opencode[-_]companion(?:\.py)?[\"']?\s+(?:--cwd\s+\S+\s+)?(?:task|review|adversarial-review)(?![\w-])"
)
RESCUE_AGENTS = ("opencode:opencode-rescue", "opencode-rescue")
# A command's whole output, where Claude Code shows only its beginning.
MAX_OUTPUT_BYTES = 4_000_000


def text(value: Mapping[str, Any], *path: str) -> str:
    """The text at a path of keys, or an empty one."""
    found: Any = value
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def mapping(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under a key, or an empty one."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def milliseconds(value: Mapping[str, Any], key: str) -> int:
    """A duration, or 0."""
    found = value.get(key)
    return min(int(found), 86_400_000) if isinstance(found, (int, float)) and 0 < found < 1e12 else 0


def is_rescue_agent(agent_type: str) -> bool:
    """Whether this is the plugin's subagent."""
    return agent_type in RESCUE_AGENTS


def command_output(payload: Mapping[str, Any]) -> str:
    """Everything that a Bash command printed, also where it failed or where Claude Code moved it to a file."""
    if text(payload, "hook_event_name") == "PostToolUseFailure":
        return text(payload, "error")
    response = mapping(payload, "tool_response")
    moved = text(response, "persistedOutputPath")
    if moved:
        try:
            with open(moved, "rb") as file:
                return file.read(MAX_OUTPUT_BYTES).decode("utf-8", "replace")
        except (OSError, ValueError):
            pass
    return text(response, "stdout")


def in_background(payload: Mapping[str, Any]) -> bool:
    """Whether the command goes on in the background, so that its output reaches nobody."""
    return bool(text(payload, "tool_response", "backgroundTaskId"))


def agent_text(response: Mapping[str, Any]) -> str:
    """The final text of a subagent."""
    content = response.get("content")
    blocks = content if isinstance(content, list) else []
    return "\n".join(text(block, "text") for block in blocks if isinstance(block, dict))


def job_ids(*texts: str) -> list[str]:
    """The job ids in some texts, each once, in order."""
    from companion.jobs import JOB_ID  # late: a hook that reads no ids starts without it

    return list(dict.fromkeys(match for one in texts for match in JOB_ID.findall(one)))
