"""The benchmark command measures everything that it promises. How much time something takes is no matter here."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.figures import FORMAT, GROUPS
from machine import ROOT

NAMED = {
    *("baseline.node", "baseline.python", "baseline.companionPython"),
    *("hook.PreToolUse.Bash.safety_header_injector", "hook.UserPromptSubmit.session_lifecycle"),
    *(f"command.status.{jobs}" for jobs in (10, 1000, 10000, "unpruned")),
    *("command.wait-and-result", "command.result"),
    *("dispatch.firstEver", "dispatch.cold", "dispatch.warm", "dispatch.returns"),
    *("return.lastByteToExit", "return.lastByteToIdle", "return.idleToExit"),
    *(
        f"waiting.{jobs}.{what}"
        for jobs in (1, 3)
        for what in (
            "processes",
            "memory",
            "serverMemory",
            "commandMemory",
            "supervisorMemory",
            "supervisorCpu",
            "requests",
        )
    ),
}


def test_a_quick_run_has_every_figure() -> None:
    command = [sys.executable, str(ROOT / "tests" / "bench.py"), "--quick", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["format"], run["quick"]) == (FORMAT, True)
    assert {figure["group"] for figure in run["figures"].values()} == set(GROUPS)
    assert set(run["figures"]) >= NAMED
    for name, figure in run["figures"].items():
        assert figure["n"] >= 1 and 0 <= figure["min"] <= figure["median"] <= figure["max"], name
    assert run["figures"]["waiting.3.processes"]["median"] == 5
