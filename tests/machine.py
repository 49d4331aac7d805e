"""A small machine of a test's own: HOME, data dir, workspace, scripted model, and the program run as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from companion.demo.scripted_model import ChatRequest, Script, ScriptedModel, Wire, provider_config
from companion.logs import workspace_key
from companion.store import Store
from companion.supervisor import processes

ROOT = Path(__file__).resolve().parent.parent
ENTRY = ROOT / "scripts" / "opencode_companion.py"
COMMAND_LIMIT_S = 120
# Reading the public list of models is a third of opencode's start, and no test needs a model of it.
NO_PUBLIC_MODELS = {"OPENCODE_MODELS_PATH": str(ROOT / "tests" / "fixtures" / "no_models.json")}


def echo(request: ChatRequest, wire: Wire) -> None:
    """The model's default: repeat the last user text."""
    wire.text(f"You said: {request.user_texts[-1]}")
    wire.finish()


def bash(command: str, answer: str = "done") -> Script:
    """A model that runs one command and then answers."""
    return tools([("bash", {"command": command, "description": "test"})], answer)


def tools(calls: list[tuple[str, dict[str, Any]]], answer: str = "done") -> Script:
    """A model that calls these tools one after another and then answers."""

    def script(request: ChatRequest, wire: Wire) -> None:
        done = len(request.tool_results)
        if done < len(calls):
            wire.tool(*calls[done])
            wire.finish("tool_calls")
        else:
            wire.text(answer)
            wire.finish()

    return script


class Machine:
    """Everything one opencode user has. `play(word, script)`: the model plays `script` for tasks that hold `word`."""

    def __init__(self, root: Path, opencode: str) -> None:
        self.home = root / "home"
        self.workspace = root / "wörk space"
        self.data = root / "data"
        self.config = self.home / ".config" / "opencode" / "opencode.json"
        self.workspace.mkdir(parents=True)
        share_bytecode(self.data)
        without_installing(self.config.parent)
        subprocess.run(["git", "init", "-q", str(self.workspace)], check=True)
        self.model = ScriptedModel(self._script)
        self._scripts: dict[str, Script] = {}
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENCODE_", "XDG_"))}
        self.env.update(
            HOME=str(self.home),
            OPENCODE_COMPANION_DATA=str(self.data),
            OPENCODE_BIN=opencode,
            OPENCODE_DISABLE_MODELS_FETCH="1",
            OPENCODE_DISABLE_LSP_DOWNLOAD="1",
            npm_config_offline="true",
            OPENCODE_COMPLETION_POLL_MS="1000",
            **NO_PUBLIC_MODELS,
        )

    def __enter__(self) -> Machine:
        self.model.__enter__()
        self.write_config()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.model.__exit__()

    def write_config(self, **settings: Any) -> None:
        """The user's opencode.json: the scripted provider, and these settings."""
        self.config.write_text(json.dumps({**provider_config(self.model.base_url), **settings}))

    def play(self, word: str, script: Script) -> None:
        """Tasks that hold `word` are answered by `script`."""
        self._scripts[word] = script

    def _script(self, request: ChatRequest, wire: Wire) -> None:
        text = "\n".join(request.user_texts[-1:])
        script = next((script for word, script in self._scripts.items() if word in text), echo)
        script(request, wire)

    # Running the program

    def popen(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start a command of the program."""
        return subprocess.Popen(
            [sys.executable, str(ENTRY), *words],
            cwd=self.workspace,
            env={**self.env, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the program to its end."""
        process = self.popen(*words, **env)
        out, err = process.communicate(stdin, timeout=COMMAND_LIMIT_S)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def ok(self, *words: str, stdin: str | None = None, **env: str) -> str:
        """Run a command that must succeed; its stdout."""
        done = self.run(*words, stdin=stdin, **env)
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def submit(self, text: str, *options: str, **env: str) -> str:
        """`task --background`; the job's id."""
        return self.ok("task", "--background", *options, "--", text, **env).strip()

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as `status --json` shows it."""
        job: dict[str, Any] = json.loads(self.ok("status", job_id, "--json"))["job"]
        return job

    def finished(self, job_id: str, max_wait: int = 60) -> dict[str, Any]:
        """The job once it has ended."""
        answer = json.loads(self.ok("wait-and-result", job_id, "--json", "--max-wait", str(max_wait)))
        job: dict[str, Any] = answer["job"]
        return job

    # Looking behind

    @property
    def key(self) -> str:
        """What the supervisor of the workspace is known by."""
        return workspace_key(str(self.data), os.path.realpath(self.workspace), "")

    def supervisors(self) -> list[psutil.Process]:
        """The supervisor processes of this machine's data dir."""
        return [process for process in psutil.process_iter() if _is_supervisor(process, str(self.data))]

    def servers(self) -> list[psutil.Process]:
        """The opencode servers of this machine's workspace; a child of one looks like it until it has called exec."""
        found = {process.pid: process for process in processes.marked(self.key) if "serve" in _cmdline(process)}
        return [process for process in found.values() if _parent(process) not in found]

    def running(self, name: str) -> list[int]:
        """The pids of the jobs' live processes with this name, also of those that left their parent."""
        return [process.pid for process in processes.marked(self.key) if _name(process) == name]

    def until(self, condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
        """Wait until the store (or a process) is as hoped; the condition's value. For what has no event to await."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"not within {limit_s} s\n{self.logs()}")

    def until_tool_runs(self, job_id: str) -> None:
        """Wait until opencode runs a tool for the job."""
        with Store(str(self.data)) as store:
            self.until(lambda: (job := store.get(job_id)) and job.activity and job.activity.tool != "answer")

    def logs(self) -> str:
        """The ends of all logs, for a failure message."""
        files = sorted((self.data / "logs").glob("*.log")) if (self.data / "logs").is_dir() else []
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def stop(self) -> None:
        """End the supervisors, then their servers and what these left."""
        processes.end(self.supervisors(), grace_s=5)
        left = []
        for process in psutil.process_iter():
            try:
                env = process.environ()
            except (psutil.Error, OSError):
                continue
            if env.get(processes.MARKER) and env.get("OPENCODE_COMPANION_DATA") == str(self.data):
                left.append(process)
        kill(left)


def kill(victims: Iterable[psutil.Process]) -> None:
    """SIGKILL, and wait until they have ended."""
    victims = list(victims)
    for process in victims:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    left = processes.wait_gone(victims, 10)
    assert not left, f"not gone after a kill: {left}"


def share_bytecode(data: Path) -> None:
    """Make the data dir; modules that this test run has compiled are not compiled again for it."""
    data.mkdir(mode=0o700)
    if sys.pycache_prefix:
        (data / "pycache").symlink_to(sys.pycache_prefix)


def without_installing(folder: Path) -> None:
    """Make opencode believe that what it installs for tools is there: they need none of it, and it takes seconds."""
    wanted = {"dependencies": {"@opencode-ai/plugin": "*"}}
    (folder / "node_modules").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps(wanted))
    (folder / "package-lock.json").write_text(json.dumps({"packages": {"": wanted}}))


@contextmanager
def machine_in(root: Path) -> Iterator[Machine]:
    """A machine with the real opencode that the test command installed."""
    with Machine(root, os.environ["OPENCODE_TEST_BIN"]) as machine:
        yield machine


def _is_supervisor(process: psutil.Process, data: str) -> bool:
    words = _cmdline(process)
    return "supervise" in words and data in words


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
