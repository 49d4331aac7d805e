"""`setup` with a shell script for opencode: what is there, what is missing, and the gate's switch."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from companion.bootstrap import PLUGIN_ROOT
from companion.commands import setup
from companion.errors import CompanionError

pytestmark = pytest.mark.slow

ENTRY = Path(PLUGIN_ROOT) / "scripts" / "opencode_companion.py"
SCRIPT = """#!/bin/sh
case "$1" in
--version) echo 1.18.33 ;;
models) printf 'anthropic/claude\\nopenrouter/a/b:free\\nsome talk\\n' ;;
agent) printf 'build (primary)\\n  [\\n  {"permission": "*"}\\n  ]\\nexplore (subagent)\\n' ;;
esac
"""


class Desk:
    """A machine with that opencode."""

    def __init__(self, root: Path, data: Path) -> None:
        self.data, self.workspace, self.program = data, root / "work", root / "opencode"
        self.workspace.mkdir()
        self.says(SCRIPT)
        self.env = {**os.environ, "HOME": str(root), "OPENCODE_BIN": str(self.program)}

    def says(self, script: str) -> None:
        self.program.write_text(script)
        self.program.chmod(0o755)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ENTRY), "setup", *words]
        return subprocess.run(command, cwd=self.workspace, env={**self.env, **env}, capture_output=True, text=True)

    def answer(self, *words: str, **env: str) -> dict[str, Any]:
        done = self.run("--json", *words, **env)
        answer: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == answer["ok"]
        return answer


@pytest.fixture
def desk(tmp_path: Path, data_dir: Path) -> Desk:
    return Desk(tmp_path, data_dir)


def test_what_there_is(desk: Desk) -> None:
    answer = desk.answer()
    assert answer.pop("environment")
    assert len(answer.pop("problems")) == 1  # no login of any provider
    assert answer == {
        "ok": True,
        "opencode": {"path": str(desk.program), "version": "1.18.33"},
        "dataDir": str(desk.data),
        "reviewGate": False,
        "providers": ["anthropic", "openrouter"],
        "models": ["anthropic/claude", "openrouter/a/b:free"],
        "agents": ["build", "explore"],
    }
    text = desk.run().stdout
    assert "Agents:       build, explore\n" in text
    assert "Ready. Your first task: " in text


def test_an_opencode_that_cannot_list_is_no_reason_to_fail(desk: Desk) -> None:
    desk.says(SCRIPT.replace("models) ", "models) echo no network >&2; exit 1; "))
    answer = desk.answer()
    assert (answer["ok"], answer["models"], answer["agents"]) == (True, [], ["build", "explore"])
    assert any("no network" in problem for problem in answer["problems"])


def test_no_opencode_is_said_with_what_to_do(desk: Desk) -> None:
    answer = desk.answer(OPENCODE_BIN="/nowhere")
    assert (answer["ok"], answer["opencode"]) == (False, None)
    assert "OPENCODE_BIN=/nowhere" in answer["problems"][0]
    assert "Not ready yet" in desk.run(OPENCODE_BIN="/nowhere").stdout
    desk.says("#!/bin/sh\necho 2.0.1\n")
    assert "2.0.1" in desk.answer("--install")["problems"][0]


def test_installing_without_npm_says_so(desk: Desk) -> None:
    only_git = os.path.dirname(shutil.which("git") or "")
    if shutil.which("npm", path=only_git) or shutil.which("opencode", path=only_git):
        pytest.skip("npm or opencode lies beside git here")
    assert "npm was not found" in desk.answer("--install", OPENCODE_BIN="", PATH=only_git)["problems"][0]


def test_install_uses_npm_and_tells_on_stderr(desk: Desk, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --prefix ]; do shift; done\n'
        'mkdir -p "$2/node_modules/.bin"\n'
        f"cp '{desk.program}' \"$2/node_modules/.bin/opencode\"\n"
    )
    npm.chmod(0o755)
    done = desk.run("--install", "--json", OPENCODE_BIN="", PATH=f"{tools}:/usr/bin:/bin")
    answer = json.loads(done.stdout)
    assert answer["opencode"]["path"].startswith(str(desk.data))
    assert "Installing opencode-ai@" in done.stderr


def test_the_gate_is_switched_for_this_workspace_alone(desk: Desk, tmp_path: Path) -> None:
    assert desk.answer("--enable-review-gate")["reviewGate"] is True
    file = desk.data / "settings.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    workspace = os.path.realpath(desk.workspace)
    assert json.loads(file.read_text()) == {"reviewGate": {workspace: True}}
    assert desk.answer()["reviewGate"] is True
    assert desk.answer("--cwd", str(tmp_path))["reviewGate"] is False
    assert desk.answer("--disable-review-gate")["reviewGate"] is False
    assert json.loads(file.read_text()) == {"reviewGate": {}}
    both = desk.run("--enable-review-gate", "--disable-review-gate")
    assert (both.returncode, both.stdout, len(both.stderr.splitlines())) == (1, "", 1)


def test_other_settings_are_kept_and_a_broken_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"other": 1, "reviewGate": {"/a": true}}')
    setup.switch_review_gate(str(tmp_path), "/b", True)
    assert json.loads(file.read_text()) == {"other": 1, "reviewGate": {"/a": True, "/b": True}}
    file.write_text("{")
    with pytest.raises(CompanionError, match="correct or remove it"):
        setup.switch_review_gate(str(tmp_path), "/b", False)
    assert file.read_text() == "{"
    assert os.listdir(tmp_path) == ["settings.json"]
