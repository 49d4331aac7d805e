"""The ways in which opencode is known to hang, each on the real server: every one ends by itself, with the truth.

Limits are short here; the numbers in brackets are the rows of the table in docs/opencode-behaviour.md.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from machine import Machine, bash, tools

from companion.demo.scripted_model import ChatRequest, Script, Wire

SHORT = {"OPENCODE_COMPLETION_POLL_MS": "300"}


def ended(machine: Machine, script: Script, *options: str, **limits: str) -> dict[str, Any]:
    """The job once it has ended, for a model that plays this script."""
    machine.play("hang", script)
    return machine.finished(machine.submit("hang", *options, **{**SHORT, **limits}), max_wait=90)


def hanging(machine: Machine) -> None:
    """Keep the connection open and say nothing more, until the test is over."""
    machine.model.closing.wait(120)


# Asks


def test_an_external_directory_is_allowed(machine: Machine) -> None:
    outside = machine.home / "outside.txt"
    outside.write_text("from outside")
    job = ended(machine, tools([("read", {"filePath": str(outside)})], "I read it."))
    assert (job["status"], job["result"]) == ("completed", "I read it.")
    assert "from outside" in machine.model.requests[-1].tool_results[-1]


def test_reading_an_env_file_is_turned_down_and_the_model_goes_on(machine: Machine) -> None:
    (machine.workspace / ".env").write_text("SECRET=1")
    job = ended(machine, tools([("read", {"filePath": str(machine.workspace / ".env")})], "I went on."))
    assert (job["status"], job["result"]) == ("completed", "I went on.")
    assert "SECRET=1" not in machine.model.requests[-1].tool_results[-1]


def test_a_question_is_not_even_offered(machine: Machine) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        wire.text("question" if "question" in request.tools else "none")
        wire.finish()

    assert ended(machine, script)["result"] == "none"


def test_bash_ask_of_the_user_and_webfetch_do_not_hang(own_machine: Machine) -> None:
    own_machine.write_config(permission={"bash": "ask", "webfetch": "ask", "edit": "ask"})
    url = own_machine.model.base_url.replace("/v1", "/nothing")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("bash", {"command": "echo one", "description": "t"}),
        ("webfetch", {"url": url, "format": "text"}),
        ("write", {"filePath": "x.txt", "content": "x"}),
    ]
    job = ended(own_machine, tools(calls, "All three."))
    assert (job["status"], job["result"]) == ("completed", "All three.")
    assert (own_machine.workspace / "x.txt").exists()


def test_a_subagents_ask_is_answered(own_machine: Machine) -> None:
    own_machine.write_config(agent={"general": {"permission": {"bash": "ask"}}})

    def script(request: ChatRequest, wire: Wire) -> None:
        if "SUB" in request.user_texts[-1] and "hang" not in request.user_texts[-1]:
            bash("echo from the subagent", "subagent done")(request, wire)
        elif not request.tool_results:
            wire.tool("task", {"description": "d", "prompt": "SUB", "subagent_type": "general"})
            wire.finish("tool_calls")
        else:
            wire.text(f"It said: {request.tool_results[-1]}")
            wire.finish()

    own_machine.play("SUB", script)
    job = ended(own_machine, script)
    assert job["status"] == "completed"
    assert "subagent done" in job["result"]
    assert job["tokens"]["input"] == 400, "the subagent's tokens count"


# Commands


COMMANDS: dict[str, str] = {
    "killed by a signal": "kill -9 $$",
    "a background process holds the output": "sleep 97 & echo started",
    "a holder in a session of its own": "setsid sleep 98 & echo started",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_that_opencode_waits_for_in_vain(machine: Machine, command: str) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        went_on = len(request.user_texts) > 1 and "killed from outside" in request.user_texts[-1]
        if request.tool_results or went_on:
            wire.text("I went on.")
            wire.finish()
        else:
            bash(command)(request, wire)

    machine.play("killed from outside", script)
    job = ended(machine, script)
    assert (job["status"], job["result"]) == ("completed", "I went on."), job
    assert machine.running("sleep") == []


def test_a_command_that_dies_twice_ends_the_job(machine: Machine) -> None:
    machine.play("killed from outside", tools([("bash", {"command": "kill -9 $$", "description": "t"})] * 9))
    job = ended(machine, tools([("bash", {"command": "kill -9 $$", "description": "t"})] * 9))
    assert (job["status"], job["reason"]) == ("failed", "tool_stuck")


def test_a_long_command_that_works_is_left_alone(machine: Machine) -> None:
    job = ended(machine, bash("sleep 6; echo over", "It took long."), OPENCODE_IDLE_TIMEOUT_MS="2000")
    assert (job["status"], job["result"]) == ("completed", "It took long.")


# The provider


def test_a_provider_that_says_nothing(machine: Machine) -> None:
    job = ended(machine, lambda request, wire: hanging(machine), OPENCODE_IDLE_TIMEOUT_MS="2500")
    assert (job["status"], job["reason"]) == ("failed", "idle")
    assert "OPENCODE_IDLE_TIMEOUT_MS" in job["errorMessage"]


def test_a_provider_that_stops_in_mid_stream(machine: Machine) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        wire.text("The first half")
        hanging(machine)

    job = ended(machine, script, OPENCODE_IDLE_TIMEOUT_MS="2500")
    assert (job["status"], job["reason"], job["result"]) == ("failed", "idle", "The first half")


def test_a_stream_without_finish_reason(machine: Machine) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        wire.text("again")
        wire.raw(b"data: [DONE]\n\n")

    before = len(machine.model.requests)
    job = ended(machine, script)
    assert (job["status"], job["reason"]) == ("failed", "provider_loop")
    assert len(machine.model.requests) - before < 40


def failing(status: int, message: str, **headers: str) -> Script:
    def script(request: ChatRequest, wire: Wire) -> None:
        wire.error(status, {"error": {"message": message, "type": "error", "code": status}}, headers)

    return script


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (401, "Incorrect API key provided: sk-verysecret1234567890", "provider_auth"),
        (403, "insufficient_quota for this key", "provider_quota"),
        (404, "The model `x` does not exist", "unknown_model"),
        (400, "This model's maximum context length is 8192 tokens", "context_overflow"),
    ],
)
def test_an_error_of_the_provider(machine: Machine, status: int, message: str, reason: str) -> None:
    job = ended(machine, failing(status, message))
    assert (job["status"], job["reason"]) == ("failed", reason), job["errorMessage"]
    assert "verysecret" not in json.dumps(job)


def test_429_without_end(machine: Machine) -> None:
    job = ended(machine, failing(429, "Rate limit reached"), OPENCODE_REQUEST_TIMEOUT_MS="4000")
    assert (job["status"], job["reason"]) == ("failed", "provider_quota")
    assert "OPENCODE_REQUEST_TIMEOUT_MS" in job["errorMessage"]


# Answers


def test_an_empty_answer(machine: Machine) -> None:
    job = ended(machine, lambda request, wire: wire.finish())
    assert (job["status"], job["reason"], job["result"]) == ("incomplete", "empty_answer", None)


def test_an_answer_cut_by_length(machine: Machine) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        wire.text("This is as far as I")
        wire.finish("length")

    job = ended(machine, script)
    assert (job["status"], job["reason"], job["result"]) == ("incomplete", "cut_by_length", "This is as far as I")


# Bounds


def test_the_safety_cap(machine: Machine) -> None:
    job = ended(machine, bash("sleep 60"), OPENCODE_PROMPT_TIMEOUT_MS="3000")
    assert (job["status"], job["reason"]) == ("failed", "timeout")
    assert "OPENCODE_PROMPT_TIMEOUT_MS" in job["errorMessage"]
    machine.until(lambda: not machine.running("sleep"))


def test_cancel_ends_what_a_job_left_in_the_background(machine: Machine) -> None:
    machine.play(
        "hang",
        tools(
            [
                ("bash", {"command": "sleep 96 > /dev/null 2>&1 &", "description": "t"}),
                ("bash", {"command": "setsid sleep 95 > /dev/null 2>&1 & sleep 94", "description": "t"}),
            ]
        ),
    )
    job_id = machine.submit("hang", **SHORT)
    machine.until(lambda: len(machine.running("sleep")) == 3)
    machine.ok("cancel", job_id)
    assert machine.job(job_id)["status"] == "cancelled"
    machine.until(lambda: not machine.running("sleep"), limit_s=5)
