"""`doctor` and `setup` with the real opencode: the self-test, and a config that the real program reads."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from machine import Machine

from companion.opencode.userconfig import HEADLESS


def doctor(machine: Machine, *words: str, **env: str) -> tuple[int, dict[str, Any]]:
    """The exit code of `doctor --json`, and its checks by name."""
    done = machine.run("doctor", "--json", *words, **env)
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)["checks"]}


def test_the_self_test_runs_a_real_job_and_leaves_nothing(machine: Machine) -> None:
    before = machine.config.read_bytes()
    code, checks = doctor(machine, "--self-test")
    assert (code, checks["self-test"]["status"]) == (0, "ok"), (checks, machine.logs())
    assert "mended a file" in checks["self-test"]["detail"]
    assert checks["opencode"]["detail"].startswith("opencode 1.")
    assert machine.config.read_bytes() == before
    machine.until(lambda: not machine.supervisors())
    assert os.listdir(machine.data / "demo") == []


def test_the_self_test_tells_a_broken_opencode(machine: Machine) -> None:
    broken = machine.home / "opencode"
    broken.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 1.18.33 && exit\necho 'cannot serve' >&2\nexit 1\n")
    broken.chmod(0o755)
    code, checks = doctor(machine, "--self-test", OPENCODE_BIN=str(broken))
    assert (code, checks["self-test"]["status"], checks["opencode"]["status"]) == (1, "fail", "ok")
    assert "cannot serve" in checks["self-test"]["detail"]


def test_the_running_server_is_ours(machine: Machine) -> None:
    machine.ok("task", "--", "hello")
    _, checks = doctor(machine)
    assert "is ours and answers: opencode 1." in checks["server"]["detail"]
    [server] = machine.servers()
    url = next(line.split()[0] for line in [checks["server"]["detail"]])
    code, checks = doctor(machine, OPENCODE_SERVER_URL=url, OPENCODE_SERVER_PASSWORD="wrong")
    assert (code, checks["server"]["status"]) == (1, "fail")
    assert "refuses the login" in checks["server"]["detail"]
    assert server.is_running()


def test_what_fix_writes_is_what_opencode_reads(own_machine: Machine) -> None:
    own_machine.write_config(permission={"bash": {"*": "ask", "rm *": "deny"}, "*": "ask", "webfetch": "deny"})
    before = json.loads(own_machine.config.read_text())
    done = own_machine.run("doctor", "--fix", "--json")
    assert done.returncode == 0, done.stdout
    after = json.loads(own_machine.config.read_text())
    assert {**after, "permission": 0} == {**before, "permission": 0}
    answer = json.loads(own_machine.ok("setup", "--json"))
    assert (answer["ok"], answer["models"][-1:]) == (True, ["scripted/scripted"]), answer
    assert {"build", "plan"} <= set(answer["agents"])
    rules = build_agent_rules(own_machine)
    for name in HEADLESS:
        said = [rule["action"] for rule in rules if rule["permission"] in (name, "*") and rule["pattern"] == "*"]
        assert said[-1] == ("deny" if name == "webfetch" else "allow"), (name, rules)
    assert {"permission": "bash", "pattern": "rm *", "action": "deny"} in rules


def build_agent_rules(machine: Machine) -> list[dict[str, str]]:
    """The rules of the agent `build`, as the real program has worked them out, in force from last to first."""
    done = subprocess.run(
        [machine.env["OPENCODE_BIN"], "agent", "list"],
        env=machine.env,
        cwd=machine.workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout[done.stdout.index("build (primary)") :]
    rules: list[dict[str, str]] = json.JSONDecoder().raw_decode(text[text.index("[") :])[0]
    return rules
