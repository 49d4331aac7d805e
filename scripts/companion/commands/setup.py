"""See whether everything is there: opencode, the Python environment, providers, models and agents.

--install gets opencode from npm into the data folder where none is found. The review gate, off by default, lets
OpenCode review what Claude changed before a turn of this workspace ends.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from typing import Any, NamedTuple

from companion.bootstrap import ensure_environment, stderr_progress
from companion.commands.options import add_json
from companion.context import Context
from companion.errors import CompanionError
from companion.failures import one_line
from companion.health import programs
from companion.health.opencode import find_program, provider
from companion.opencode import binary
from companion.output import EXIT_DONE, EXIT_ERROR, show, show_json
from companion.progress import ticking

ASK_LIMIT_S = 20.0
SETTINGS = "settings.json"
GATE = "reviewGate"
SHOWN = 12
_MODEL = re.compile(r"[\w.-]+/\S+")
_AGENT = re.compile(r"(\S+) \((\w+)\)")


class Ready(NamedTuple):
    """What opencode has ready, and why that could not be told."""

    models: list[str]
    agents: list[str]
    problems: list[str]

    @property
    def providers(self) -> list[str]:
        """The providers of the models."""
        return sorted({model.partition("/")[0] for model in self.models})


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--install", action="store_true", help="install opencode from npm where none is found")
    gate = parser.add_mutually_exclusive_group()
    gate.add_argument("--enable-review-gate", action="store_true", help="review each turn's edits before it ends")
    gate.add_argument("--disable-review-gate", action="store_true", help="the default")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Do what is asked, then look."""
    if options.enable_review_gate or options.disable_review_gate:
        switch_review_gate(context.data_dir, context.workspace, options.enable_review_gate)
    problems: list[str] = []
    environment = _environment(context, problems)
    program = _program(context, options.install, problems)
    with ticking("asking opencode for its models and agents"):
        ready = _ready(context, program["path"]) if program else Ready([], [], [])
    problems += ready.problems
    hints = [f"{found.detail} Run `{found.fix}`." for found in provider(context) if found.status != "ok"]
    answer: dict[str, Any] = {
        "ok": program is not None and environment is not None,
        "opencode": program,
        "dataDir": context.data_dir,
        "environment": environment,
        "reviewGate": review_gate(context.data_dir, context.workspace),
        "providers": ready.providers,
        "models": ready.models,
        "agents": ready.agents,
        "problems": [*problems, *hints],
    }
    if options.json:
        show_json(answer)
    else:
        show(_text(context, answer))
    return EXIT_DONE if answer["ok"] else EXIT_ERROR


# The gate's switch. The Stop hook reads the file as it is: {"reviewGate": {"/path/of/workspace": true}}.


def review_gate(data_dir: str, workspace: str) -> bool:
    """Whether the review gate is on for a workspace."""
    gate = _settings(data_dir).get(GATE)
    return isinstance(gate, dict) and gate.get(workspace) is True


def switch_review_gate(data_dir: str, workspace: str, on: bool) -> None:
    """Switch the gate. The file is replaced in one step and keeps whatever else it holds."""
    settings = _settings(data_dir)
    old = settings.get(GATE)
    gate = {key: value for key, value in old.items() if key != workspace} if isinstance(old, dict) else {}
    settings[GATE] = {**gate, workspace: True} if on else gate
    fd, temporary = tempfile.mkstemp(prefix=".settings-", dir=data_dir)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(settings, file, indent=2)
            file.write("\n")
        os.replace(temporary, os.path.join(data_dir, SETTINGS))
    except BaseException:
        os.unlink(temporary)
        raise


def _settings(data_dir: str) -> dict[str, Any]:
    path = os.path.join(data_dir, SETTINGS)
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CompanionError(f"{path} cannot be read ({type(error).__name__}); correct or remove it.") from error
    return value if isinstance(value, dict) else {}


# What there is


def _environment(context: Context, problems: list[str]) -> str | None:
    try:
        return ensure_environment(context.data_dir, stderr_progress)
    except CompanionError as error:
        problems.append(str(error))
        return None


def _program(context: Context, may_install: bool, problems: list[str]) -> dict[str, str] | None:
    try:
        try:
            found = find_program(context)
        except binary.NoOpenCode:
            if not may_install or context.env.get("OPENCODE_BIN"):
                raise
            from companion.opencode.install import install

            install(context.data_dir, stderr_progress)
            found = find_program(context)
    except CompanionError as error:
        problems.append(str(error))
        return None
    return found._asdict()


def _ready(context: Context, program: str) -> Ready:
    """Ask opencode itself, in the workspace, for a project's own config counts too."""
    problems: list[str] = []
    models = [line for line in _lines(context, [program, "models"], problems) if _MODEL.fullmatch(line)]
    agents = [
        match[1] for line in _lines(context, [program, "agent", "list"], problems) if (match := _AGENT.fullmatch(line))
    ]
    return Ready(models, agents, problems)


def _lines(context: Context, command: list[str], problems: list[str]) -> list[str]:
    words = " ".join(["opencode", *command[1:]])
    try:
        env = {**context.env, "OPENCODE_DISABLE_AUTOUPDATE": "1"}
        said = programs.ask(command, env, ASK_LIMIT_S, cwd=context.workspace)
    except OSError as error:
        problems.append(f"`{words}` cannot be run: {error.strerror}.")
        return []
    if said.code is None:
        problems.append(f"`{words}` did not end within {ASK_LIMIT_S:g} s.")
    elif said.code != 0:
        problems.append(f"`{words}` ended with {said.code}: {one_line(said.err or said.out, 200)}")
    return said.out.splitlines()


def _text(context: Context, answer: dict[str, Any]) -> str:
    program = answer["opencode"]
    gate = "on" if answer["reviewGate"] else "off"
    switch = "--disable-review-gate" if answer["reviewGate"] else "--enable-review-gate"
    lines = [
        f"opencode:     {program['version']}, {program['path']}" if program else "opencode:     not usable",
        f"Python:       {answer['environment'] or 'no environment'}",
        f"Data folder:  {answer['dataDir']}",
        f"Review gate:  {gate}  ({context.command('setup', switch)})",
        f"Providers:    {_some(answer['providers'])}",
        f"Models:       {_some(answer['models'])}",
        f"Agents:       {_some(answer['agents'])}",
    ]
    if answer["problems"]:
        lines += ["", *(f"- {problem}" for problem in answer["problems"])]
    first = context.command("task", "--", "what you want done")
    lines += ["", f"Ready. Your first task: {first}" if answer["ok"] else "Not ready yet, see above."]
    return "\n".join(lines)


def _some(names: list[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) + more) or "none"
