"""README as a new user follows it: every command as it is printed there, in a clean HOME, with the real Claude Code.

The plugin is installed from a copy of the repository. Both models are scripted; opencode is the real one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hook_runs import add_job
from machine import without_installing

from companion.demo.scripted_model import ChatRequest, ScriptedModel, Wire, provider_config

from .desk import REPO
from .messages_api import MessagesApi, Reply, Request, call
from .runner import ClaudeRun, binaries

pytestmark = [
    pytest.mark.claude,
    pytest.mark.skipif(not os.environ.get("OPENCODE_TEST_BIN"), reason="OPENCODE_TEST_BIN names no opencode"),
    pytest.mark.skipif(not binaries(), reason="CLAUDE_TEST_BINS names no claude binary"),
]
README = (REPO / "README.md").read_text(encoding="utf-8")
NOT_RUN = {
    "python3 tests/run.py": "it runs this test",
    "opencode-companion watch": "it ends by Ctrl-C, see test_watch_from_readme",
    "opencode-companion permissions shows": "prose",
}
LIMIT_S = 120
REPORT = json.dumps({"verdict": "approve", "summary": "Nothing to say against it.", "findings": []})


def shell_commands() -> list[str]:
    """The commands of README's sh blocks, in order; a heredoc belongs to its command."""
    found: list[str] = []
    for block in re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        until = ""
        for line in block.splitlines():
            if until:
                found[-1] += "\n" + line
                until = "" if line == until else until
                continue
            found.append(re.sub(r"\s{2,}# .*", "", line))
            heredoc = re.search(r"<<'(\w+)'$", line)
            until = heredoc[1] if heredoc else ""
    return found


def inline_commands() -> list[str]:
    """The commands in README's tables and sentences, each once."""
    return list(dict.fromkeys(re.findall(r"`(opencode-companion [a-z][^`]*)`", README)))


def slash_commands() -> list[str]:
    """What README tells to type in a session."""
    blocks = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@dataclass
class NewUser:
    """A clean HOME with Claude Code, a clone of this repository, and a project on a branch."""

    run: ClaudeRun
    api: MessagesApi
    clone: Path
    hold: threading.Event

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command in a terminal: of the project, or in the clone where README says so."""
        there = self.clone if command.startswith(("claude ", "python3 ")) else self.run.project
        return subprocess.run(
            ["bash", "-c", command],
            cwd=there,
            env=self.run.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    def ok(self, command: str) -> str:
        done = self.shell(command)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def data(self) -> Path:
        """The data dir of the terminal's commands."""
        return Path(json.loads(self.ok("opencode-companion config --json"))["dataDir"])


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewUser]:
    claude = max(binaries(), key=lambda one: one.key)
    root = tmp_path_factory.mktemp("new user")
    clone = root / "clone"
    _copy_repository(clone)
    hold = threading.Event()

    def opencode_model(request: ChatRequest, wire: Wire) -> None:
        asked = request.user_texts[-1]
        if "rewrite the parser" in asked:
            hold.wait(LIMIT_S)
        review = asked.startswith(("Review a change", "Try to break"))
        wire.text(REPORT if review else f"Done: {asked}")
        wire.finish()

    def claude_model(request: Request) -> Reply:
        """Claude's model does what the slash command tells it to, once."""
        if "<command-name>" not in request.new_text:
            return Reply("That is all.")
        return call("Bash", command=_told(request.new_text), description="As told", timeout=600_000)

    path = os.pathsep.join([str(clone / "bin"), str(root / "programs")])
    with ScriptedModel(opencode_model) as model, MessagesApi(claude_model) as api:
        env = {
            "OPENCODE_BIN": os.environ["OPENCODE_TEST_BIN"],
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_COMPLETION_POLL_MS": "1000",
        }
        with ClaudeRun(claude, api.url, root, env=env) as run:
            (root / "programs").mkdir()
            (root / "programs" / "claude").symlink_to(claude.path)
            run.env["PATH"] = os.pathsep.join([run.env["PATH"], path])
            config = run.home / ".config" / "opencode" / "opencode.json"
            without_installing(config.parent)
            config.write_text(json.dumps(provider_config(model.base_url)), encoding="utf-8")
            _make_project(run.project)
            yield NewUser(run, api, clone, hold)


def test_readme_holds_the_commands_that_these_tests_look_for() -> None:
    assert len(shell_commands()) >= 12
    assert len(slash_commands()) >= 6
    assert len(inline_commands()) >= 6


def test_install_as_printed_then_setup_rescue_and_reviews(user: NewUser) -> None:
    for command in shell_commands():
        if command.startswith("claude plugin"):
            user.ok(command)
    user.run.options = ["--allowedTools=Bash(opencode-companion:*)"]
    with user.run.stream() as session:
        for number, typed in enumerate(slash_commands(), 1):
            before = len(user.api.main)
            session.say(typed)
            session.wait_results(number, LIMIT_S)
            told = "\n".join(request.new_text for request in user.api.main[before + 1 :])
            assert told, f"{typed} led to no command\n{user.api.story()}"
            if "setup" in typed:
                assert re.search(r"^Providers: .*\bscripted\b", told, re.MULTILINE), told
            elif "rescue" in typed or "review" in typed:
                assert "## Job: " in told and "Status: completed" in told, told[-3000:]
            elif "result" in typed or "status" in typed:
                assert "completed" in told


def test_every_command_for_the_terminal_works_as_printed(user: NewUser) -> None:
    add_job(user.data(), "An answer of before.", id="task-mf3k2a9x-abcdef", workspace=str(user.run.project.resolve()))
    ran = 0
    for command in [*shell_commands(), *inline_commands()]:
        if command in NOT_RUN or command.startswith("claude "):
            continue
        out = user.ok(command)
        ran += 1
        if "wait-and-result task-mf3k2a9x" in command:
            assert "An answer of before." in out
        if "review --base main" in command:
            assert "Approve" in out
        if "cancel" in command:
            user.hold.set()
    assert ran >= 14


def test_watch_from_readme(user: NewUser) -> None:
    user.ok("opencode-companion task -- something to watch")
    process = subprocess.Popen(
        ["opencode-companion", "watch"], cwd=user.run.project, env=user.run.env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
    finally:
        process.kill()
        process.communicate()


def _told(text: str) -> str:
    """The command that a slash command's text shows, with the request of the person in its place."""
    name = re.search(r"<command-name>/opencode:([\w-]+)", text)
    given = re.search(r"<command-args>(.*?)</command-args>", text, re.DOTALL)
    words, kind = given[1].strip() if given else "", name[1] if name else ""
    if kind == "rescue":
        return f"opencode-companion task - <<'OPENCODE_TASK'\n{words}\nOPENCODE_TASK"
    if kind == "adversarial-review":
        return f"opencode-companion adversarial-review --wait - <<'OPENCODE_FOCUS'\n{words}\nOPENCODE_FOCUS"
    return f"opencode-companion {kind} {words}".strip()


def _copy_repository(clone: Path) -> None:
    """What a clone of the working tree would hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPO, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, listed)):
        source, target = REPO / name, clone / name
        if source.is_symlink() or source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _make_project(project: Path) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]

    def git(*words: str) -> None:
        subprocess.run(["git", *identity, *words], cwd=project, check=True)

    git("init", "-q", "-b", "main")
    (project / "parser.py").write_text("def parse(text):\n    return text.split()\n")
    git("add", ".")
    git("commit", "-q", "-m", "A parser")
    git("switch", "-q", "-c", "lexer")
    (project / "lexer.py").write_text("def lex(text):\n    return list(text)\n")
