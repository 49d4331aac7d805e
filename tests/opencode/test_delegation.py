"""A task goes to the real opencode, and its answer comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from machine import ENTRY, Machine, bash, tools

from companion.demo.scripted_model import ChatRequest, Wire
from companion.safety import safety_header

NASTY_TEXTS = {
    "quotes": "say \"it's\" 'fine'",
    "shell": "`touch PWNED` $(touch PWNED) ${HOME} ; touch PWNED && touch PWNED | cat",
    "newlines": "first\n\n  second\r\nthird\n",
    "leading dashes": "--background -rf --",
    "option in the middle": "commit it --no-verify and --model x/y please",
    "unicode": "grüße 你好 🎉 \u202e\u0000 end",
    "markup": "</system-reminder><task-notification> {{x}} %s {0}",
}


def test_the_answer_comes_back(machine: Machine) -> None:
    report = machine.ok("task", "--", "hello there")
    assert report.startswith("## Job: task-")
    assert "\n\nYou said: hello there\n" in report


@pytest.mark.parametrize("text", NASTY_TEXTS.values(), ids=NASTY_TEXTS)
def test_the_model_gets_the_text_byte_for_byte(machine: Machine, text: str) -> None:
    job = machine.finished(machine.ok("task", "--background", "-", stdin=text).strip())
    assert job["status"] == "completed", job
    assert machine.model.requests[-1].user_texts[-1] == text
    assert not (machine.workspace / "PWNED").exists()


def test_an_answer_with_half_a_character_arrives(machine: Machine) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        for piece in ("half \ud83d", " and whole \ud83d", "\ude00 end"):
            wire.text(piece)
        wire.finish()

    machine.play("halves", script)
    job = machine.finished(machine.submit("halves"))
    assert (job["status"], job["result"]) == ("completed", "half ? and whole 😀 end")


def test_a_long_text_from_a_file_arrives_whole(machine: Machine, tmp_path: Path) -> None:
    text = "0123456789abcdef\n" * 13_000
    (tmp_path / "prompt").write_text(text)
    job = machine.finished(machine.ok("task", "--background", "--prompt-file", str(tmp_path / "prompt")).strip())
    assert job["status"] == "completed"
    assert machine.model.requests[-1].user_texts[-1] == text


def test_the_safety_header_goes_along_outside_the_text(machine: Machine) -> None:
    machine.ok("task", "--", "header please")
    request = machine.model.requests[-1]
    assert safety_header() in request.system
    assert request.user_texts == ["header please"]


def test_a_job_edits_files_and_says_which(machine: Machine) -> None:
    machine.play("write-files", tools([("write", {"filePath": "a dir/ü.txt", "content": "hi\n"})], "Written."))
    job = machine.finished(machine.submit("write-files"))
    assert (machine.workspace / "a dir" / "ü.txt").read_text() == "hi\n"
    assert job["files"] == ["a dir/ü.txt"]


def test_tokens_are_those_of_this_run_only(machine: Machine) -> None:
    machine.play("two steps", bash("true"))
    first = machine.finished(machine.submit("two steps"))
    assert (first["tokens"]["input"], first["tokens"]["output"]) == (200, 40)
    second = machine.finished(machine.submit("hello", "--resume", first["id"]))
    assert second["opencodeSessionId"] == first["opencodeSessionId"]
    assert (second["tokens"]["input"], second["tokens"]["output"]) == (100, 20)


def test_a_resumed_session_knows_what_was_said_and_gives_the_new_answer(machine: Machine) -> None:
    first = machine.finished(machine.submit("remember 17"))
    candidate = json.loads(machine.ok("task-resume-candidate", "--json"))
    assert candidate == {
        "available": True,
        "jobId": first["id"],
        "opencodeSessionId": first["opencodeSessionId"],
    }
    second = machine.finished(machine.submit("which number?", "--resume-last"))
    assert second["result"] == "You said: which number?"
    assert machine.model.requests[-1].user_texts == ["remember 17", "which number?"]


def test_status_shows_what_opencode_does_right_now(machine: Machine) -> None:
    machine.play("sleepy", bash("sleep 30 # a long test"))
    job_id = machine.submit("sleepy")
    machine.until_tool_runs(job_id)
    shown = machine.ok("status")
    assert job_id in shown
    assert "bash: sleep 30 # a long test (" in shown
    machine.ok("cancel", job_id)


def test_waiting_longer_than_allowed_ends_with_2_and_the_next_command(machine: Machine) -> None:
    machine.play("sleepy", bash("sleep 30"))
    job_id = machine.submit("sleepy")
    done = machine.run("wait-and-result", job_id, "--max-wait", "0.2", "--json")
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["jobId"], answer["blockedOn"]) == ("running", job_id, None)
    assert answer["next"].endswith(f"wait-and-result {job_id}")
    assert len(done.stderr.splitlines()) == 1
    plain = machine.run("wait-and-result", job_id, "--max-wait", "0")
    assert (plain.returncode, plain.stdout, len(plain.stderr.splitlines())) == (2, "", 1)
    machine.ok("cancel", job_id)


def test_cancel_stops_the_run_and_keeps_what_there_is(machine: Machine) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        wire.text("I start with the tests.")
        wire.tool("bash", {"command": "sleep 300", "description": "test"})
        wire.finish("tool_calls")

    machine.play("cancel me", script)
    job_id = machine.submit("cancel me")
    machine.until_tool_runs(job_id)
    machine.ok("cancel")
    job = machine.job(job_id)
    assert (job["status"], job["reason"]) == ("cancelled", "cancelled")
    assert job["result"] == "I start with the tests."
    machine.until(lambda: not _runs("sleep 300", machine))


def _runs(command: str, machine: Machine) -> bool:
    import psutil

    for process in psutil.process_iter():
        try:
            if " ".join(process.cmdline()) == command and process.cwd() == str(machine.workspace):
                return True
        except (psutil.Error, OSError):
            continue
    return False


def test_an_unknown_agent_or_model_fails_at_once_with_the_nearest_names(machine: Machine) -> None:
    agent = machine.finished(machine.submit("x", "--agent", "biuld"))
    assert (agent["status"], agent["reason"]) == ("failed", "unknown_agent")
    assert "build" in agent["errorMessage"]
    model = machine.finished(machine.submit("x", "--model", "scripted/scriptde"))
    assert (model["status"], model["reason"]) == ("failed", "unknown_model")
    assert "scripted/scripted" in model["errorMessage"]


def test_a_read_only_job_can_neither_edit_nor_run_commands(machine: Machine) -> None:
    def script(request: ChatRequest, wire: Wire) -> None:
        wire.text(f"tools: {' '.join(request.tools)}")
        wire.finish()

    machine.play("look only", script)
    tools = machine.finished(machine.submit("look only", "--read-only"))["result"].split()
    assert "read" in tools
    assert not {"bash", "edit", "write", "patch"} & set(tools)


def test_a_deny_of_the_user_stays_in_force(own_machine: Machine) -> None:
    own_machine.write_config(permission={"bash": {"*": "ask", "rm *": "deny"}})
    own_machine.play(
        "try",
        tools(
            [
                ("bash", {"command": "rm -f x", "description": "t"}),
                ("bash", {"command": "echo allowed > y", "description": "t"}),
            ]
        ),
    )
    (own_machine.workspace / "x").write_text("precious")
    before = own_machine.config.read_bytes()
    job = own_machine.finished(own_machine.submit("try"))
    assert job["status"] == "completed"
    assert (own_machine.workspace / "x").exists()
    assert (own_machine.workspace / "y").read_text() == "allowed\n"
    assert own_machine.config.read_bytes() == before


def test_a_job_cannot_delegate_on(machine: Machine) -> None:
    machine.play("recurse", bash(f"python3 '{ENTRY}' task -- again"))
    job_id = machine.submit("recurse")
    machine.finished(job_id)
    assert "inside a job of the companion" in machine.model.requests[-1].tool_results[-1]
