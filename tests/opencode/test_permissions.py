"""Under relay, what the user's config asks about waits for the user's answer."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import Machine, kill, machine_in, tools

ASK = {"bash": "ask"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A user whose config asks about every command, and who wants to answer himself."""
    with machine_in(tmp_path_factory.mktemp("machine")) as machine:
        machine.write_config(permission=ASK)
        machine.env["OPENCODE_COMPANION_PERMISSIONS"] = "relay"
        yield machine


def asks_to_touch(machine: Machine, name: str, *further: str) -> str:
    """A job whose model wants to make files, one command each; it reports what its tools said."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("bash", {"command": f"echo made > {file}", "description": "t"}) for file in (name, *further)
    ]
    machine.play(f"make {name}", tools(calls, "I went on to the end."))
    return machine.submit(f"make {name}")


def blocked(machine: Machine, job_id: str) -> dict[str, str]:
    """What the job waits for, once it does."""
    found: dict[str, str] = machine.until(lambda: machine.job(job_id)["blockedOn"])
    return found


def test_a_job_that_asks_is_blocked_until_it_is_answered(machine: Machine) -> None:
    job_id = asks_to_touch(machine, "allowed.txt")
    request = blocked(machine, job_id)
    assert request["kind"] == "permission"
    assert "echo made > allowed.txt" in request["summary"]
    shown = machine.ok("status")
    assert "blocked on a permission: " in shown
    assert f"permissions reply {request['requestId']} once" in shown

    waited = machine.run("wait-and-result", job_id, "--json")
    assert waited.returncode == 2
    answer = json.loads(waited.stdout)
    assert answer["blockedOn"] == request
    assert request["requestId"] in machine.ok("permissions")
    listed = json.loads(machine.ok("permissions", "list", "--json"))
    assert [entry["jobId"] for entry in listed["requests"]] == [job_id]
    assert {**listed["requests"][0], "jobId": None} == {**request, "jobId": None}
    assert not (machine.workspace / "allowed.txt").exists()

    words = shlex.split(answer["next"])
    assert "goes on" in machine.ok(*words[words.index("permissions") :])
    job = machine.finished(job_id)
    assert (job["status"], job["result"]) == ("completed", "I went on to the end.")
    assert (machine.workspace / "allowed.txt").read_text() == "made\n"
    assert json.loads(machine.ok("permissions", "--json"))["requests"] == []


@pytest.mark.parametrize("message", [None, "Use the other folder, please."])
def test_a_rejected_job_goes_on_with_the_message(machine: Machine, message: str | None) -> None:
    job_id = asks_to_touch(machine, f"rejected-{message is None}.txt")
    request = blocked(machine, job_id)["requestId"]
    machine.ok("permissions", "reply", request[:-3], "reject", *(["--message", message] if message else []))
    job = machine.finished(job_id)
    assert (job["status"], job["result"]) == ("completed", "I went on to the end.")
    assert not (machine.workspace / "rejected-True.txt").exists()
    assert (message or "turned this down") in machine.model.requests[-1].tool_results[-1]


def test_asks_one_after_another_are_answered_one_by_one(machine: Machine) -> None:
    job_id = asks_to_touch(machine, "first.txt", "second.txt")
    first = blocked(machine, job_id)["requestId"]
    machine.ok("permissions", "reply", first, "once")
    second = machine.until(lambda: (now := machine.job(job_id)["blockedOn"]) and now["requestId"] != first and now)
    assert (machine.workspace / "first.txt").exists()
    unknown = machine.run("permissions", "reply", first, "once")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert second["requestId"] in unknown.stderr
    machine.ok("permissions", "reply", second["requestId"], "once")
    assert machine.finished(job_id)["status"] == "completed"


QUESTION = {
    "questions": [
        {
            "question": "Which database?",
            "header": "Database",
            "options": [{"label": "SQLite", "description": "small"}, {"label": "Postgres", "description": "large"}],
        }
    ]
}


def test_a_question_is_answered_with_a_message(machine: Machine) -> None:
    machine.play("choose", tools([("question", QUESTION)], "Chosen."))
    job_id = machine.submit("choose")
    request = blocked(machine, job_id)
    assert request["kind"] == "question"
    assert "Which database?" in request["summary"]
    assert "--message" in machine.ok("permissions")
    wordless = machine.run("permissions", "reply", request["requestId"], "once")
    assert wordless.returncode == 1
    assert "--message" in wordless.stderr
    machine.ok("permissions", "reply", request["requestId"], "once", "--message", "MariaDB, please")
    job = machine.finished(job_id)
    assert (job["status"], job["result"]) == ("completed", "Chosen.")
    assert "MariaDB, please" in machine.model.requests[-1].tool_results[-1]


def test_a_question_that_is_turned_down_does_not_end_the_job(machine: Machine) -> None:
    machine.play("decide", tools([("question", QUESTION)], "I took SQLite."))
    job_id = machine.submit("decide")
    machine.ok("permissions", "reply", blocked(machine, job_id)["requestId"], "reject")
    job = machine.finished(job_id)
    assert (job["status"], job["result"]) == ("completed", "I took SQLite.")


def test_several_questions_at_once_get_one_message(machine: Machine) -> None:
    machine.play("two choices", tools([("question", {"questions": QUESTION["questions"] * 2})], "Chosen twice."))
    job_id = machine.submit("two choices")
    machine.ok("permissions", "reply", blocked(machine, job_id)["requestId"], "once", "--message", "SQLite for both")
    assert machine.finished(job_id)["result"] == "Chosen twice."
    assert "SQLite for both" in machine.model.requests[-1].tool_results[-1]


def test_another_folder_can_answer(machine: Machine, tmp_path: Path) -> None:
    job_id = asks_to_touch(machine, "from-afar.txt")
    request = blocked(machine, job_id)["requestId"]
    assert json.loads(machine.ok("permissions", "--cwd", str(tmp_path), "--json"))["requests"] == []
    machine.ok("permissions", "reply", "--cwd", str(tmp_path), request, "once")
    assert machine.finished(job_id)["status"] == "completed"


def test_an_answer_given_while_the_supervisor_is_dead_is_passed_on(own_machine: Machine) -> None:
    own_machine.write_config(permission=ASK)
    own_machine.env["OPENCODE_COMPANION_PERMISSIONS"] = "relay"
    job_id = asks_to_touch(own_machine, "survived.txt")
    request = blocked(own_machine, job_id)["requestId"]
    kill(own_machine.supervisors())
    own_machine.ok("permissions", "reply", request, "once")
    assert own_machine.finished(job_id)["status"] == "completed"
    assert (own_machine.workspace / "survived.txt").exists()


def test_auto_asks_nobody(machine: Machine) -> None:
    machine.play("freely", tools([("bash", {"command": "echo made > freely.txt", "description": "t"})]))
    job = machine.finished(machine.submit("freely", OPENCODE_COMPANION_PERMISSIONS="auto"))
    assert job["status"] == "completed"
    assert (machine.workspace / "freely.txt").exists()
