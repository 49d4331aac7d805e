"""The harness itself, on every Claude Code that CLAUDE_TEST_BINS names."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from companion.supervisor.processes import wait_gone

from .messages_api import Cost, MessagesApi, Reply, Request, ToolUse, call, calls
from .runner import Claude, ClaudeRun, hook, write_plugin

SAY_SEEN = """
import json, sys
payload = json.load(sys.stdin)
context = "the hook saw: " + payload["tool_response"]["stdout"]
print(json.dumps({"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": context}}))
"""
REPLACE_ANSWER = """
import json, sys
payload = json.load(sys.stdin)
answer = dict(payload["tool_response"], content=[{"type": "text", "text": "The real report."}])
print(json.dumps({"hookSpecificOutput": {"hookEventName": "PostToolUse", "updatedToolOutput": answer}}))
"""
WAKE = """
import pathlib, sys, time
sys.stdin.read()
go = pathlib.Path(sys.argv[1])
while not go.exists():
    time.sleep(0.02)
sys.stderr.write("The job has ended: all is mended.")
sys.exit(2)
"""
LINGER = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("lingers", "w").close()
        time.sleep(60)
    os._exit(0)
"""
HELPER = "---\nname: helper\ndescription: Helps.\ntools: Bash\n---\nYou are the helper of this test.\n"


def bash(command: str) -> Reply:
    return call("Bash", command=command, description="A step")


def script(folder: Path, text: str) -> Path:
    path = folder / "hook.py"
    path.write_text(text, encoding="utf-8")
    return path


def ask(url: str, body: dict[str, object]) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        data: bytes = answer.read()
    return data


BODY: dict[str, object] = {
    "model": "m",
    "tools": [{"name": "Bash"}],
    "messages": [{"role": "user", "content": "hi"}],
}


class TestMessagesApi:
    def test_tool_call_is_numbered_by_its_request(self) -> None:
        with MessagesApi(lambda request: calls(ToolUse("Bash", {"a": 1}), ToolUse("Bash", {}, "mine"))) as api:
            for number in range(2):
                content = json.loads(ask(api.url + "/v1/messages?beta=true", BODY))["content"]
                assert [block["id"] for block in content] == [f"toolu_{number:04d}00", "mine"]

    def test_streamed_answer_carries_text_and_input(self) -> None:
        with MessagesApi(lambda request: call("Bash", text="now", command="ls")) as api:
            told = ask(api.url + "/v1/messages", {**BODY, "stream": True}).decode()
        events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
        assert [event["type"] for event in events if "delta" in event["type"]][-1] == "message_delta"
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        assert deltas[0]["text"] == "now"
        assert json.loads(deltas[1]["partial_json"]) == {"command": "ls"}

    def test_side_request_does_not_reach_the_script(self) -> None:
        with MessagesApi(lambda request: Reply("scripted")) as api:
            answer = json.loads(ask(api.url + "/v1/messages", {**BODY, "tools": []}))
            assert "title" in json.loads(answer["content"][0]["text"])
            assert api.main == [] and len(api.side) == 1 and api.cost() == Cost(0, 0)

    def test_tokens_are_counted_without_a_turn(self) -> None:
        with MessagesApi(lambda request: Reply()) as api:
            assert json.loads(ask(api.url + "/v1/messages/count_tokens", BODY))["input_tokens"] > 10
            assert api.requests == []

    def test_broken_script_fails_its_test(self) -> None:
        api = MessagesApi(lambda request: Reply(str(1 / 0)))
        with pytest.raises(urllib.error.HTTPError, match="529"):
            ask(api.url + "/v1/messages", BODY)
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            api.close()

    def test_endless_conversation_fails_its_test(self) -> None:
        api = MessagesApi(lambda request: Reply(), max_requests=1)
        ask(api.url + "/v1/messages", BODY)
        with pytest.raises(urllib.error.HTTPError):
            ask(api.url + "/v1/messages", BODY)
        with pytest.raises(AssertionError, match="more than 1"):
            api.close()

    def test_held_reply_waits_for_its_event(self) -> None:
        gate = threading.Event()
        with MessagesApi(lambda request: Reply("late", hold=gate)) as api:
            answers: list[bytes] = []
            asker = threading.Thread(target=lambda: answers.append(ask(api.url + "/v1/messages", BODY)))
            asker.start()
            api.wait_for(lambda request: True)
            assert answers == []
            gate.set()
            asker.join(10)
            assert b"late" in answers[0]

    def test_waiting_for_a_request_that_never_comes_tells_what_came(self) -> None:
        with MessagesApi(lambda request: Reply()) as api:
            ask(api.url + "/v1/messages", BODY)
            with pytest.raises(AssertionError, match="'hi'"):
                api.wait_for(lambda request: request.is_subagent, timeout=0.1)


@pytest.mark.claude
def test_plain_turn(claude: Claude, tmp_path: Path) -> None:
    with (
        MessagesApi(lambda request: Reply("It is done.")) as api,
        ClaudeRun(claude, api.url, tmp_path) as run,
    ):
        done = run.print("Do it now.")
        assert (done.returncode, done.result) == (0, "It is done.")
        assert len(api.main) == 1
        assert "Do it now." in api.main[0].text and "Bash" in api.main[0].tools
        assert api.cost().requests == 1 and api.cost().tokens > 5_000


@pytest.mark.claude
def test_hook_context_reaches_the_model(claude: Claude, tmp_path: Path) -> None:
    hooks = {"PostToolUse": [{"matcher": "Bash", "hooks": [hook(script(tmp_path, SAY_SEEN))]}]}
    plugin = write_plugin(tmp_path, "seer", hooks)

    def reply(request: Request) -> Reply:
        return Reply("Done.") if request.tool_results else bash("echo from-bash")

    with MessagesApi(reply) as api, ClaudeRun(claude, api.url, tmp_path, plugins=[plugin]) as run:
        assert run.print("Run it.").result == "Done."
        first, second = api.main
        result = second.result_of(second.tool_uses[0].id)
        assert result is not None and result.text == "from-bash" and not result.is_error
        assert "the hook saw: from-bash" in second.new_text
        assert "the hook saw" not in first.text


@pytest.mark.claude
def test_allowed_tools_are_all_that_runs(claude: Claude, tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        if request.tool_results:
            return Reply("Done.")
        commands = ("touch a; true", "touch b; true")
        return calls(*(ToolUse("Bash", {"command": command, "description": "A step"}) for command in commands))

    rules = ["Bash(touch a)", "Bash(true)"]
    with (
        MessagesApi(reply) as api,
        ClaudeRun(claude, api.url, tmp_path, skip_permissions=False, allowed_tools=rules) as run,
    ):
        run.print("Touch both.")
        allowed, denied = api.main[-1].tool_results
        assert not allowed.is_error and denied.is_error
        assert (run.project / "a").exists() and not (run.project / "b").exists()


@pytest.mark.claude
def test_subagent_turn(claude: Claude, tmp_path: Path) -> None:
    """Its turns are told from the main thread's; what a hook makes of its answer reaches the main thread."""
    hooks = {"PostToolUse": [{"matcher": "Agent", "hooks": [hook(script(tmp_path, REPLACE_ANSWER))]}]}
    plugin = write_plugin(tmp_path, "team", hooks, {"agents/helper.md": HELPER})
    task = {"description": "d", "prompt": "Help me.", "subagent_type": "team:helper"}
    delegation = ToolUse("Agent", {**task, "run_in_background": False})

    def reply(request: Request) -> Reply:
        if request.is_subagent:
            return Reply("Monitor started.") if request.tool_results else bash("echo in-agent")
        return Reply("Done.") if request.tool_results else calls(delegation)

    with MessagesApi(reply) as api, ClaudeRun(claude, api.url, tmp_path, plugins=[plugin]) as run:
        assert run.print("Delegate it.").result == "Done."
        assert (len(api.main), len(api.subagents)) == (2, 2)
        assert all("You are the helper of this test." in request.system for request in api.subagents)
        assert len({request.agent_id for request in api.subagents}) == 1
        assert "The real report." in api.main[-1].new_text
        assert "Monitor started." not in api.main[-1].text
        assert api.cost().requests == 4
        assert api.cost(since=1).tokens == api.cost().tokens - api.main[0].tokens


@pytest.mark.claude
def test_hook_wakes_an_idle_session(claude: Claude, tmp_path: Path) -> None:
    go = tmp_path / "go"
    waking = hook(script(tmp_path, WAKE), str(go), asyncRewake=True, timeout=60)
    plugin = write_plugin(tmp_path, "waker", {"PostToolUse": [{"matcher": "Bash", "hooks": [waking]}]})

    def reply(request: Request) -> Reply:
        return Reply(f"Turn {request.turns}.") if request.tool_results else bash("echo dispatched")

    with (
        MessagesApi(reply) as api,
        ClaudeRun(claude, api.url, tmp_path, plugins=[plugin]) as run,
        run.stream() as session,
    ):
        session.say("Dispatch it.")
        assert session.wait_results(1) == ["Turn 1."]
        assert "all is mended" not in api.main[-1].text
        go.touch()
        assert session.wait_results(2)[1] == "Turn 2."
        assert "The job has ended: all is mended." in api.main[-1].new_text
        session.say("And now?")
        session.wait_results(3)
        assert session.finish() == 0


@pytest.mark.claude
def test_interactive_turns(claude: Claude, tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        return Reply(f"Answer number {request.turns}.")

    with (
        MessagesApi(reply) as api,
        ClaudeRun(claude, api.url, tmp_path, skip_permissions=False) as run,
        run.interactive("The first prompt.") as screen,
    ):
        api.wait_for(lambda request: not request.is_side and "The first prompt." in request.text)
        screen.wait_text("Answer number 0.")
        screen.enter("The second prompt.")
        api.wait_for(lambda request: not request.is_side and "The second prompt." in request.text)
        screen.wait_text("Answer number 1.")


@pytest.mark.claude
@pytest.mark.newest_claude
def test_nothing_survives_a_run(claude: Claude, tmp_path: Path) -> None:
    """Not even a process that left its session and its parent."""
    lingering = script(tmp_path, LINGER)

    def reply(request: Request) -> Reply:
        if request.tool_results:
            return Reply("Done.")
        return bash(f"python3 {lingering} && until [ -e lingers ]; do sleep 0.02; done")

    with MessagesApi(reply) as api, ClaudeRun(claude, api.url, tmp_path) as run:
        run.print("Leave something behind.")
        left = run.processes()
        assert [process.ppid() for process in left] == [1]
    assert run.processes() == []
    assert wait_gone(left, 0) == []
    assert not [child for child in psutil.Process(os.getpid()).children() if "claude" in child.name()]
