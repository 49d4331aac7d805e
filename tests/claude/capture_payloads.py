"""Captures what the real Claude Code gives its hooks, as fixtures, or tells which shape has changed.

    python tests/claude/capture_payloads.py --claude BIN          # writes tests/fixtures/payloads/<version>/
    python tests/claude/capture_payloads.py --claude BIN --check  # compares with them; exit 1 on a change

A throwaway plugin hooks every event and stores the payloads; a scripted model drives the scenarios below. A
file is `<Event>[.<Tool>].<scenario>[.<n>].json`. What differs from run to run (ids, paths, durations, token
counts) is replaced by fixed values. `--check` takes the fixtures of the same version, or of the newest
version stored where there are none yet, and compares keys and types, not values.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

if not __package__:
    # Started by its path: the package's other modules are found from the folder above, the program's beside that.
    tests = Path(__file__).resolve().parents[1]
    sys.path[:1] = [str(tests), str(tests.parent / "scripts")]
    __package__ = "claude"
    __import__(__package__)

from .messages_api import MessagesApi, Reply, Request, ToolUse, call, calls
from .runner import Claude, ClaudeRun, hook, write_plugin

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "payloads"
EVENTS = (
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "SubagentStart",
    "SubagentStop",
    "Stop",
    "StopFailure",
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "UserPromptExpansion",
)
TOOL_EVENTS = ("PreToolUse", "PostToolUse", "PostToolUseFailure")
DUMP = """
import os, sys, time
folder = os.environ["CAPTURE_DIR"]
name = f"{time.time_ns()}-{os.getpid()}"
with open(os.path.join(folder, name + ".part"), "wb") as file:
    file.write(sys.stdin.buffer.read())
os.rename(os.path.join(folder, name + ".part"), os.path.join(folder, name + ".json"))
"""
HELPER = "---\nname: helper\ndescription: Helps.\ntools: Bash\n---\nYou help.\n"
SHORT = "---\nname: short\ndescription: Is cut short.\ntools: Bash\nmaxTurns: 1\n---\nYou help for one turn.\n"
GREET = "---\ndescription: Greets.\nargument-hint: WHO\n---\nGreet $ARGUMENTS.\n"
AGENT = "capture:helper"
# Runs until the scenario makes the file `go`. A script, because at a timeout 2.1.197 kills `sleep` and loops
# instead of moving them to the background.
UNTIL_GO = "bash until-go.sh"
UNTIL_GO_SCRIPT = "while [ ! -e go ]; do sleep 0.05; done; echo gone\n"

Payload = dict[str, Any]


@dataclass
class Stage:
    """What a scenario has at hand: claude, the scripted model's lines, what the hooks were given so far."""

    run: ClaudeRun
    api: MessagesApi
    captured: Path
    main: list[Reply] = field(default_factory=list)
    agent: Callable[[Request], Reply] = lambda request: Reply("The helper's final answer.")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, request: Request) -> Reply:
        if request.is_subagent:
            return self.agent(request)
        with self._lock:
            return self.main.pop(0) if self.main else Reply("Done.")

    def say_go(self) -> None:
        (self.run.project / "go").touch()

    def payloads(self) -> list[Payload]:
        return [json.loads(path.read_bytes()) for path in sorted(self.captured.glob("*.json"))]

    def wait_payload(self, seen: Callable[[Payload], bool], timeout: float = 30.0) -> Payload:
        """Waits until the hooks have been given a payload that `seen` accepts."""
        tick = threading.Event()
        for _ in range(int(timeout / 0.05)):
            for payload in self.payloads():
                if seen(payload):
                    return payload
            tick.wait(0.05)
        raise AssertionError(f"no such payload within {timeout} s: {[name_of(one) for one in self.payloads()]}")

    def wait_event(self, event: str) -> Payload:
        """Waits for the first payload of this event."""
        return self.wait_payload(lambda payload: bool(payload["hook_event_name"] == event))


def bash(command: str, **more: Any) -> Reply:
    return call("Bash", command=command, description="A step", **more)


def delegate(agent: str = AGENT, **more: Any) -> ToolUse:
    return ToolUse("Agent", {"description": "A task", "prompt": "Do the task.", "subagent_type": agent, **more})


def in_turns(*replies: Reply) -> Callable[[Request], Reply]:
    """A subagent's lines: one for each time it has spoken already; the last one is repeated."""
    return lambda request: replies[min(request.turns, len(replies) - 1)]


def bash_ok(stage: Stage) -> None:
    stage.main = [bash("echo hello; echo err >&2")]
    stage.run.print("Say hello.")


def bash_fail(stage: Stage) -> None:
    stage.main = [bash("echo out; echo bad >&2; exit 3")]
    stage.run.print("Fail.")


def bash_long(stage: Stage) -> None:
    stage.main = [bash("head -c 40000 /dev/zero | tr '\\0' x")]
    stage.run.print("Be long.")


def bash_denied(stage: Stage) -> None:
    stage.run.options.remove("--dangerously-skip-permissions")
    stage.main = [bash("touch forbidden")]
    stage.run.print("Do what is not allowed.")


def bash_background(stage: Stage) -> None:
    stage.main = [bash(UNTIL_GO, run_in_background=True)]
    _await_notification(stage, stage.say_go)


def bash_timeout(stage: Stage) -> None:
    stage.main = [bash(UNTIL_GO, timeout=1000)]
    _await_notification(stage, stage.say_go)


def bash_timeout_killed(stage: Stage) -> None:
    stage.main = [bash("sleep 20", timeout=1000)]
    stage.run.print("Sleep too long.")


def agent_sync(stage: Stage) -> None:
    stage.main = [calls(delegate(run_in_background=False))]
    stage.run.print("Delegate.")


def agent_bash(stage: Stage) -> None:
    stage.main = [calls(delegate(run_in_background=False))]
    stage.agent = in_turns(bash("echo from the helper"), Reply("The helper ran it."))
    stage.run.print("Delegate a command.")


def agent_bash_fail(stage: Stage) -> None:
    stage.main = [calls(delegate(run_in_background=False))]
    stage.agent = in_turns(bash("exit 2"), Reply("The helper failed."))
    stage.run.print("Delegate a failing command.")


def agent_parallel(stage: Stage) -> None:
    stage.main = [calls(delegate(run_in_background=False), delegate(run_in_background=False))]
    stage.run.print("Delegate twice.")


def agent_api_error(stage: Stage) -> None:
    stage.main = [calls(delegate(run_in_background=False))]
    stage.agent = lambda request: Reply("scripted failure", status=529)
    _await_failure(stage)


def agent_max_turns(stage: Stage) -> None:
    stage.main = [calls(delegate("capture:short", run_in_background=False))]
    stage.agent = lambda request: bash("echo once more")
    stage.run.print("Delegate to one who gets no end.")


def agent_unknown(stage: Stage) -> None:
    stage.main = [calls(delegate("helper-of-nobody", run_in_background=False))]
    stage.run.print("Delegate to nobody.")


def agent_background(stage: Stage) -> None:
    gate = threading.Event()
    stage.main = [calls(delegate(run_in_background=True))]
    stage.agent = lambda request: Reply("The helper's late answer.", hold=gate)
    _await_notification(stage, gate.set)


def send_message(stage: Stage) -> None:
    """A finished agent is spoken to again: it goes on in the background under its old id."""
    gate = threading.Event()
    stage.main = [calls(delegate(run_in_background=False))]
    stage.agent = in_turns(Reply("The helper's first answer."), Reply("The helper's second answer.", hold=gate))
    with stage.run.stream() as session:
        session.say("Delegate.")
        session.wait_results(1)
        agent_id = stage.wait_event("SubagentStop")["agent_id"]
        message = call("SendMessage", to=agent_id, summary="go on with it", message="Go on.")
        if "SendMessage" not in stage.api.main[-1].tools:
            # Newer versions hold the tool back until it has been searched for.
            stage.main.append(call("ToolSearch", query="select:SendMessage", max_results=1))
        stage.main.append(message)
        session.say("Tell the helper to go on.")
        session.wait_results(2)
        gate.set()
        stage.wait_payload(_is_notification)
        session.wait_results(3)
        session.finish()


def slash_command(stage: Stage) -> None:
    stage.run.print("/capture:greet the world")


def api_error(stage: Stage) -> None:
    stage.main = [Reply("scripted failure", status=529)]
    _await_failure(stage)


def resume(stage: Stage) -> None:
    stage.run.print("Begin.")
    stage.run.print("Go on.", "--continue")


def clear(stage: Stage) -> None:
    with stage.run.interactive("Begin.") as screen:
        stage.wait_event("Stop")
        screen.enter("/clear")
        stage.wait_payload(lambda payload: payload.get("source") == "clear")
        screen.enter("Go on.")
        stage.api.wait_for(lambda request: not request.is_side and "Go on." in request.text)


def _await_failure(stage: Stage) -> None:
    """One turn with a StopFailure in it; nothing waits for that hook, so a plain -p could end before it."""
    with stage.run.stream() as session:
        session.say("Fail.")
        session.wait_results(1)
        stage.wait_event("StopFailure")
        session.finish()


def _is_notification(payload: Payload) -> bool:
    is_prompt = payload["hook_event_name"] == "UserPromptSubmit"
    return is_prompt and str(payload["prompt"]).startswith("<task-notification>")


def _await_notification(stage: Stage, release: Callable[[], None]) -> None:
    """One turn that leaves something running; `release` lets it end while the main thread is idle."""
    with stage.run.stream() as session:
        session.say("Start it.")
        session.wait_results(1)
        release()
        stage.wait_payload(_is_notification)
        session.wait_results(2)
        session.finish()


# What each scenario keeps; the events of the first one are those of every plain turn.
SCENARIOS: dict[Callable[[Stage], None], tuple[str, ...]] = {
    bash_ok: EVENTS,
    bash_fail: (*TOOL_EVENTS, "PostToolBatch"),
    bash_long: (*TOOL_EVENTS, "PostToolBatch"),
    bash_denied: (*TOOL_EVENTS, "PostToolBatch"),
    bash_background: (*TOOL_EVENTS, "Stop", "UserPromptSubmit"),
    bash_timeout: (*TOOL_EVENTS, "Stop", "UserPromptSubmit"),
    bash_timeout_killed: TOOL_EVENTS,
    agent_sync: (*TOOL_EVENTS, "SubagentStart", "SubagentStop", "Stop"),
    agent_bash: (*TOOL_EVENTS, "PostToolBatch", "SubagentStop"),
    agent_bash_fail: (*TOOL_EVENTS, "SubagentStop"),
    agent_parallel: (*TOOL_EVENTS, "SubagentStop", "PostToolBatch"),
    agent_api_error: (*TOOL_EVENTS, "SubagentStop", "StopFailure"),
    agent_max_turns: (*TOOL_EVENTS, "SubagentStop", "StopFailure"),
    agent_unknown: TOOL_EVENTS,
    agent_background: (*TOOL_EVENTS, "SubagentStart", "SubagentStop", "Stop", "UserPromptSubmit"),
    send_message: (*TOOL_EVENTS, "SubagentStart", "SubagentStop", "UserPromptSubmit"),
    slash_command: ("UserPromptExpansion", "UserPromptSubmit"),
    api_error: ("StopFailure",),
    resume: ("SessionStart",),
    clear: ("SessionStart", "SessionEnd", "UserPromptSubmit", "Stop"),
}


def play(claude: Claude, scenario: Callable[[Stage], None], root: Path) -> list[Payload]:
    """Runs one scenario and gives the normalised payloads that it is there for, oldest first."""
    captured = root / "captured"
    captured.mkdir(parents=True)
    dump = root / "dump.py"
    dump.write_text(DUMP, encoding="utf-8")
    hooks = {event: [{"hooks": [hook(dump, timeout=30)]}] for event in EVENTS}
    files = {"agents/helper.md": HELPER, "agents/short.md": SHORT, "commands/greet.md": GREET}
    plugin = write_plugin(root, "capture", hooks, files)
    stages: list[Stage] = []
    with (
        MessagesApi(lambda request: stages[0].reply(request)) as api,
        ClaudeRun(claude, api.url, root, plugins=[plugin], env={"CAPTURE_DIR": str(captured)}) as run,
    ):
        (run.project / "until-go.sh").write_text(UNTIL_GO_SCRIPT, encoding="utf-8")
        stages.append(Stage(run, api, captured))
        scenario(stages[0])
        payloads = stages[0].payloads()
    kept = [payload for payload in payloads if payload["hook_event_name"] in SCENARIOS[scenario]]
    return Normaliser(root).all(kept)


@dataclass
class Normaliser:
    """Replaces what differs between two runs of the same scenario by fixed values of the same type."""

    root: Path
    _ids: dict[str, str] = field(default_factory=dict)
    _tasks: dict[str, str] = field(default_factory=dict)

    # A key whose number is a measurement.
    _MEASURED = re.compile(r"(?i)(duration|elapsed|seconds|tokens?$|ms$|usd$)")
    _HASHES = ("harnessSectionHash", "ref")
    _VOLATILE = re.compile(
        r"(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
        r"|(?P<toolu>\btoolu_\w+)"
        r"|(?P<agent>\ba[0-9a-f]{16}\b)"
        r"|(?P<time>\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"
        r"|(?P<measured>\b(?:subagent_tokens|total_tokens|duration_ms)(?:>|: ?)\d+)"
        r"|(?P<port>\b127\.0\.0\.1:\d+)"
        r"|(?P<short>(?<=Resuming agent )a[0-9a-f]{6}\b)"
        r"|(?P<stored>(?<=tool-results/)b\w+(?=\.txt))"
    )
    _FIXED: ClassVar = {
        "time": "2026-01-02T03:04:05.678Z",
        "port": "127.0.0.1:1234",
        "short": "a000000",
        "stored": "b00000001",
    }
    _FORMS: ClassVar = {
        "uuid": "00000000-0000-4000-8000-{:012d}",
        "toolu": "toolu_{:04d}",
        "agent": "a{:016d}",
    }

    def all(self, payloads: Iterable[Payload]) -> list[Payload]:
        whole = list(payloads)
        self._tasks = {task: f"b{number:08d}" for number, task in enumerate(dict.fromkeys(_background_ids(whole)), 1)}
        for tool_use_id in sorted(_tool_use_ids(whole)):
            self._id("toolu", tool_use_id)
        return [self._value(payload) for payload in whole]

    def _value(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._value(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, key) for item in value]
        if isinstance(value, str):
            return "0" * len(value) if key in self._HASHES else self._text(value)
        if isinstance(value, bool) or value is None:
            return value
        return type(value)(100) if self._MEASURED.search(key) else value

    def _text(self, text: str) -> str:
        for real, neutral in self._places():
            text = text.replace(real, neutral)
        for task, neutral in self._tasks.items():
            text = re.sub(rf"\b{task}\b", neutral, text)
        return self._VOLATILE.sub(self._replace, text)

    def _places(self) -> Iterator[tuple[str, str]]:
        root = str(self.root)
        slug = re.sub(r"[^A-Za-z0-9]", "-", root)
        yield root + "/home", "/home/user"
        yield root + "/project", "/home/user/project"
        yield slug + "-project", "-home-user-project"
        yield root + "/tmp", "/tmp"
        yield root, "/home/user/plugins"

    def _replace(self, found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        if kind in self._FIXED:
            return self._FIXED[kind]
        if kind == "measured":
            return re.sub(r"\d+$", "100", found.group())
        return self._id(kind, found.group())

    def _id(self, kind: str, real: str) -> str:
        form = self._FORMS[kind]
        if real not in self._ids:
            number = sum(1 for known in self._ids.values() if known.startswith(form.partition("{")[0])) + 1
            self._ids[real] = form.format(number)
        return self._ids[real]


def _background_ids(value: Any) -> Iterator[str]:
    """The ids of background shells; nothing but their place tells them from words."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("backgroundTaskId", "task_id") and isinstance(item, str):
                yield item
            if key == "background_tasks":
                yield from (task["id"] for task in item if task.get("type") == "shell")
            yield from _background_ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _background_ids(item)
    elif isinstance(value, str):
        yield from (found for found in re.findall(r"<task-id>(\w+)</task-id>", value) if found.startswith("b"))


def _tool_use_ids(payloads: Iterable[Payload]) -> set[str]:
    """Their order is the scripted model's; parallel calls end in any order."""
    return {payload["tool_use_id"] for payload in payloads if "tool_use_id" in payload}


def name_of(payload: Payload) -> str:
    """`Event` or `Event.Tool`."""
    return ".".join(str(payload[key]) for key in ("hook_event_name", "tool_name") if key in payload)


def capture(claude: Claude, say: Callable[[str], None] = lambda line: None) -> dict[str, Payload]:
    """Plays every scenario and gives the payloads by fixture name."""
    fixtures: dict[str, Payload] = {}
    for scenario in SCENARIOS:
        case = scenario.__name__.replace("_", "-")
        with tempfile.TemporaryDirectory(prefix="capture-", ignore_cleanup_errors=True) as folder:
            payloads = play(claude, scenario, Path(folder).resolve())
        counts: dict[str, int] = {}
        for payload in sorted(payloads, key=lambda payload: payload.get("tool_use_id", "")):
            name = name_of(payload)
            counts[name] = counts.get(name, 0) + 1
            number = f".{counts[name]}" if counts[name] > 1 else ""
            fixtures[f"{name}.{case}{number}"] = payload
        say(f"{case}: {', '.join(f'{name} x{count}' for name, count in counts.items())}")
    return fixtures


def shape(value: Any) -> Any:
    """Keys and types of a JSON value; a list is the set of its members' shapes."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        members = {json.dumps(shape(item), sort_keys=True) for item in value}
        return [json.loads(member) for member in sorted(members)]
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    return "string" if isinstance(value, str) else "number"


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """What differs between two shapes, a line each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            place = f"{where}.{key}" if where else key
            if key not in new:
                yield f"{place}: gone (was {json.dumps(old[key])})"
            elif key not in old:
                yield f"{place}: new ({json.dumps(new[key])})"
            else:
                yield from differences(old[key], new[key], place)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) == 1:
        yield from differences(old[0], new[0], where + "[]")
    elif old != new:
        yield f"{where or 'payload'}: {json.dumps(old)} -> {json.dumps(new)}"


def stored(folder: Path) -> dict[str, Payload]:
    return {path.name[: -len(".json")]: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


def compare(old: dict[str, Payload], new: dict[str, Payload]) -> list[str]:
    """The changes of shape between two captures, a line each, by fixture name."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            lines.append(f"{name}: no longer fired")
        elif name not in old:
            lines.append(f"{name}: fired, but is not stored")
        else:
            lines += [f"{name}: {line}" for line in differences(shape(old[name]), shape(new[name]))]
    return lines


def baseline(folder: Path, claude: Claude) -> Path | None:
    """The stored fixtures to compare with: the same version's, else the newest version's."""
    versions = {tuple(map(int, re.findall(r"\d+", path.name))): path for path in folder.glob("*") if path.is_dir()}
    return versions.get(claude.key) or (versions[max(versions)] if versions else None)


def write(fixtures: dict[str, Payload], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        path.unlink()
    for name, payload in fixtures.items():
        text = json.dumps(payload, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Capture the payloads that Claude Code gives its hooks.")
    parser.add_argument("--claude", required=True, help="the claude binary to run")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder of the fixtures, a subfolder per version")
    parser.add_argument("--check", action="store_true", help="compare shapes with the stored fixtures; write nothing")
    options = parser.parse_args(arguments)
    claude = Claude.at(options.claude)
    known = baseline(options.out, claude)
    if options.check and known is None:
        print(f"no fixtures below {options.out} to compare with", file=sys.stderr)
        return 1
    fixtures = capture(claude, lambda line: print(line, file=sys.stderr))
    if not options.check or known is None:
        write(fixtures, options.out / claude.version)
        print(f"{len(fixtures)} payloads of {claude.version} written to {options.out / claude.version}")
        return 0
    changes = compare(stored(known), fixtures)
    for line in changes:
        print(line)
    verdict = f"{len(changes)} changes" if changes else "the same shapes"
    print(f"{claude.version} against the stored {known.name}: {verdict} in {len(fixtures)} payloads")
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
