"""What a hook costs that fires and finds nothing to do, beside a bare Node and a bare Python, in one run.

    python tests/bench_hooks.py [ROUNDS]

Every command of hooks.json is run as Claude Code runs it, on a payload that is none of its business, with a
store that holds a job of another session. The exit code is 1
where one takes more than 0.6 of `node -e 0` or more than twice `/usr/bin/python3 -I -S -c pass`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from hook_runs import add_job  # noqa: E402

NODE = ["node", "-e", "0"]
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c", "pass"]
OF_NODE, OF_PYTHON = 0.6, 2.0
PAYLOAD = {
    "session_id": "s",
    "transcript_path": "/home/user/.claude/projects/x/s.jsonl",
    "cwd": "/home/user/project",
    "tool_use_id": "toolu_1",
    "stop_hook_active": False,
    "tool_response": {"stdout": "x" * 5_000, "stderr": "", "interrupted": False},
}
# At a session's start there is always something to do.
IDLE = ("Pre", "Post", "Subagent", "Stop", "UserPrompt")
INPUTS: dict[str, dict[str, Any]] = {
    "Bash": {"tool_name": "Bash", "tool_input": {"command": 'for x in $(ls); do echo "$x"; done'}},
    "Agent": {"tool_name": "Agent", "tool_input": {"prompt": "Look.", "subagent_type": "general-purpose"}},
    "": {"prompt": "Go on.", "agent_id": "a1", "agent_type": "general-purpose", "last_assistant_message": "Done."},
}


def hook_commands() -> dict[str, tuple[list[str], bytes]]:
    """Every different command in hooks.json with a payload of its event."""
    found = {}
    for event, entries in json.loads((ROOT / "hooks" / "hooks.json").read_text())["hooks"].items():
        for entry in entries:
            payload = {**PAYLOAD, "hook_event_name": event, **INPUTS.get(entry.get("matcher", ""), INPUTS[""])}
            for hook in entry["hooks"]:
                words = [hook["command"], *hook["args"]]
                command = [word.replace("${CLAUDE_PLUGIN_ROOT}", str(ROOT)) for word in words]
                name = f"{event}({entry.get('matcher', '')}) {' '.join(hook['args'])}"
                found[name] = (command, json.dumps(payload, separators=(",", ":")).encode())
    return found


def main(rounds: int) -> int:
    """Measure in turns, so that what else the machine does falls on all alike."""
    commands = {"node -e 0": (NODE, b""), "python3 -I -S -c pass": (PYTHON, b""), **hook_commands()}
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        env = {**os.environ, "OPENCODE_COMPANION_DATA": data, "CLAUDE_CODE_ENTRYPOINT": "cli"}
        os.mkdir(data, 0o700)
        add_job(Path(data), "An answer to another session.", claude_session="another")
        for _ in range(rounds + 1):
            for name, (command, payload) in commands.items():
                started = time.perf_counter()
                subprocess.run(command, input=payload, env=env, capture_output=True, check=True)
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(taken[1:]) * 1000 for name, taken in times.items()}
    node, python = medians["node -e 0"], medians["python3 -I -S -c pass"]
    failed = False
    for name, took in medians.items():
        over = took > OF_NODE * node or took > OF_PYTHON * python
        failed = failed or (over and name.startswith(tuple(IDLE)))
        print(f"{took:7.1f} ms  {took / node:5.2f} of node  {took / python:5.2f} of python  {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
