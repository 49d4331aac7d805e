"""A real job from end to end, in a throwaway repository, with a model that plays a script."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from companion import filelock
from companion.context import Context
from companion.datadir import ensure_private_dir
from companion.demo.scripted_model import ChatRequest, ScriptedModel, Wire, provider_config
from companion.jobs import Job
from companion.logs import workspace_key
from companion.progress import StatusLine
from companion.settings import Settings
from companion.submit import Request, submit
from companion.supervisor.spawn import supervisor_lock
from companion.waiting import progress, wait_for_end

FILE = "greeting.py"
BEFORE = 'def greet(name):\n    return "Hello " + nmae\n\n\nprint(greet("world"))\n'
TASK = f"{FILE} crashes. Find out why, mend it, and show that it works."
ANSWER = (
    f"`{FILE}` crashed with a NameError: `greet` used `nmae` instead of its parameter `name`. "
    "I corrected the name; the program now prints `Hello world`."
)
LIMIT_S = 120.0
LEAVE_LIMIT_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """How the tour ended: the job, and what it changed as a unified diff."""

    job: Job
    diff: str
    model_requests: int


def take_tour(context: Context, opencode: str, tell: Callable[[str], None]) -> Outcome:
    """Run the job with this opencode and report each step to `tell`. Nothing keeps running, no file stays."""
    root = os.path.join(context.data_dir, "demo")
    ensure_private_dir(root)
    folder = tempfile.mkdtemp(prefix="run-", dir=root)
    repository = os.path.join(folder, "repository")
    try:
        with ScriptedModel(script) as model:
            _prepare(folder, repository, model)
            tell(f"A scripted model listens on {model.base_url}, on this machine only.")
            tell(f"A throwaway repository has a broken {FILE}.")
            with _environment(folder, opencode):
                own = Context(os.environ, Settings.from_env(os.environ), context.data_dir, repository)
                try:
                    job = _run(own, tell)
                finally:
                    _wait_until_left(own)
                    own.store.close()
            with open(os.path.join(repository, FILE), encoding="utf-8") as file:
                after = file.read()
            return Outcome(job, _diff(after), len(model.requests))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def script(request: ChatRequest, wire: Wire) -> None:
    """What the model does: read the file, mend it, run it, report."""
    done = len(request.tool_results)
    if done == 0:
        wire.text("I look at the file first.")
        wire.tool("read", {"filePath": FILE})
    elif done == 1:
        wire.tool("edit", {"filePath": FILE, "oldString": "nmae", "newString": "name"})
    elif done == 2:
        wire.tool("bash", {"command": f"python3 {FILE}", "description": "Run the program"})
    else:
        for word in ANSWER.split(" "):
            wire.text(word if word == "`greeting.py`" else " " + word)
        wire.finish("stop")
        return
    wire.finish("tool_calls")


def _prepare(folder: str, repository: str, model: ScriptedModel) -> None:
    os.mkdir(repository)
    with open(os.path.join(repository, FILE), "w", encoding="utf-8") as file:
        file.write(BEFORE)
    config = os.path.join(folder, "home", ".config", "opencode")
    os.makedirs(config)
    with open(os.path.join(config, "opencode.json"), "w", encoding="utf-8") as file:
        json.dump(provider_config(model.base_url), file)
    git = shutil.which("git")
    if git is None:
        # opencode notes changes only in repositories; without git the job works all the same.
        os.mkdir(os.path.join(repository, ".git"))
        return
    identity = ["-c", "user.name=demo", "-c", "user.email=demo@localhost"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "A program that crashes"]):
        subprocess.run([git, *words], cwd=repository, check=True, stdin=subprocess.DEVNULL, capture_output=True)


@contextmanager
def _environment(folder: str, opencode: str) -> Iterator[None]:
    """The environment of the demo's supervisor: a home of its own, no server of the user's, and a quick leave."""
    before = dict(os.environ)
    home = os.path.join(folder, "home")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    for name in before:
        if name.startswith("OPENCODE_") and name != "OPENCODE_COMPANION_DATA":
            del os.environ[name]
    os.environ.update(
        HOME=home,
        USERPROFILE=home,
        OPENCODE_BIN=opencode,
        OPENCODE_DISABLE_AUTOUPDATE="1",
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_LSP_DOWNLOAD="1",
        # Into a new home opencode installs 50 MB for plugins, of which there are none.
        npm_config_offline="true",
        OPENCODE_SERVER_IDLE_EXIT_MS="0",
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(context: Context, tell: Callable[[str], None]) -> Job:
    job = submit(context, Request(job_type="task", text=TASK))
    tell(f"{job.id} is on disk and handed to a supervisor, which starts `opencode serve`.")
    shown: tuple[str, ...] = ()
    deadline = time.monotonic() + LIMIT_S
    with StatusLine() as line:
        while job.active and time.monotonic() < deadline:
            job = wait_for_end(context, job, 0.1)
            for step in job.progress[len(shown) :]:
                line.clear()
                tell(f"opencode works: {step}")
            shown = job.progress
            if line.due:
                line.show(job.elapsed_ms, progress(job))
    if job.active:
        context.store.request_cancel(job.id)
        job = wait_for_end(context, job, LEAVE_LIMIT_S)
    return job


def _wait_until_left(context: Context) -> None:
    """The supervisor takes its server along when it leaves; its lock is free then."""
    lock = supervisor_lock(context.data_dir, workspace_key(context.data_dir, context.workspace, ""))
    filelock.unlock(filelock.lock(lock, LEAVE_LIMIT_S))


def _diff(after: str) -> str:
    lines = difflib.unified_diff(BEFORE.splitlines(True), after.splitlines(True), f"a/{FILE}", f"b/{FILE}")
    return "".join(lines).rstrip("\n")
