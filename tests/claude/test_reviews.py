"""Reviews and the review gate inside the real Claude Code, with the real opencode behind; both models are scripted."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from companion.commands.setup import switch_review_gate
from companion.jobs import Job

from .desk import Desk, bash, desk_in, says
from .messages_api import Reply, Request, ToolUse, calls
from .runner import binaries

pytestmark = [
    pytest.mark.claude,
    pytest.mark.skipif(not os.environ.get("OPENCODE_TEST_BIN"), reason="OPENCODE_TEST_BIN names no opencode"),
]
REVIEW, ADVERSARIAL, GATE = "Review a change before", "Try to break a change", "Another coding agent is about"
FINDING = {
    "severity": "high",
    "title": "The total is divided by zero",
    "body": "An empty list makes total() raise.",
    "file": "total.py",
    "line_start": 2,
    "line_end": 2,
    "confidence": 0.9,
    "recommendation": "Return 0 for an empty list.",
}
ANSWER = json.dumps({"verdict": "needs-attention", "summary": "One thing breaks.", "findings": [FINDING]})
SHOWN = "### 1. [high] The total is divided by zero\n`total.py:2` · confidence 90%"


@pytest.fixture(scope="module", params=binaries() or [None], ids=str)
def shared_desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if request.param is None:
        pytest.skip("CLAUDE_TEST_BINS names no claude binary")
    with desk_in(tmp_path_factory.mktemp("desk"), request.param) as desk:
        git(desk, "init", "-q")
        (desk.run.project / "total.py").write_text("def total(numbers):\n    return sum(numbers)\n")
        git(desk, "add", ".")
        git(desk, "commit", "-q", "-m", "A total")
        yield desk


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    shared_desk.begin()
    yield shared_desk
    git(shared_desk, "checkout", "-q", ".")
    git(shared_desk, "clean", "-fdq")
    switch_review_gate(str(shared_desk.data), os.path.realpath(shared_desk.run.project), False)


def git(desk: Desk, *words: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *identity, *words], cwd=desk.run.project, check=True)


def break_it(desk: Desk) -> None:
    (desk.run.project / "total.py").write_text("def total(numbers):\n    return sum(numbers) / len(numbers)\n")


def edit(desk: Desk, content: str) -> Reply:
    """Claude's model writes a file."""
    return calls(ToolUse("Write", {"file_path": str(desk.run.project / "made.py"), "content": content}))


def gate_on(desk: Desk, says_what: str) -> None:
    switch_review_gate(str(desk.data), os.path.realpath(desk.run.project), True)
    desk.opencode(GATE, says(says_what))


def gate_jobs(desk: Desk) -> list[Job]:
    return [job for job in desk.jobs() if GATE in job.prompt]


def test_review_command_brings_the_report_word_for_word(desk: Desk) -> None:
    break_it(desk)
    desk.opencode(REVIEW, says(ANSWER))
    desk.claude(
        main=[bash("opencode-companion review --estimate"), bash("opencode-companion review --wait", timeout=600_000)]
    )
    desk.run.options.remove("--dangerously-skip-permissions")
    try:
        desk.run.print("/opencode:review")
    finally:
        desk.run.options.append("--dangerously-skip-permissions")
    assert "1 file, +1 −1" in desk.main[1].new_text
    assert "Recommended: --wait" in desk.main[1].new_text
    assert desk.told_main(SHOWN) == 1
    assert desk.told_main("Return 0 for an empty list.") == 1


@pytest.mark.newest_claude
def test_adversarial_review_with_a_focus_for_the_shell_to_leave_alone(desk: Desk) -> None:
    break_it(desk)
    focus = 'what `date` $(touch A) "it\'s" does when numbers is empty'
    desk.opencode(ADVERSARIAL, says(ANSWER))
    command = f"opencode-companion adversarial-review --wait - <<'OPENCODE_FOCUS'\n{focus}\nOPENCODE_FOCUS"
    desk.claude(main=[bash(command, timeout=600_000)])
    desk.run.print(f"/opencode:adversarial-review --wait {focus}")
    assert focus in desk.job(ADVERSARIAL).prompt
    assert desk.told_main(SHOWN) == 1
    assert not (desk.run.project / "A").exists()


def test_review_in_the_background_wakes_claude_with_the_findings(desk: Desk) -> None:
    break_it(desk)
    desk.opencode(REVIEW, says(ANSWER))
    desk.claude(main=[bash("opencode-companion review --background")])
    with desk.run.stream() as session:
        session.say("/opencode:review --background")
        desk.until_told("The total is divided by zero")
        session.say("And now?")
        desk.until(lambda: "And now?" in desk.main[-1].text)
    assert desk.told_main(SHOWN) == 1


def test_gate_that_is_off_does_nothing(desk: Desk) -> None:
    before = len(desk.jobs())
    desk.claude(main=[edit(desk, "x = 1\n"), Reply("Written.")])
    assert desk.run.print("Write it.").result == "Written."
    assert len(desk.jobs()) == before
    assert not list(desk.data.glob("reviews/gate-*"))


def test_gate_that_says_block_sends_claude_on_with_the_reason(desk: Desk) -> None:
    gate_on(desk, "BLOCK: made.py:1 divides by zero.")
    desk.claude(main=[edit(desk, "x = 1 / 0\n"), Reply("Written."), edit(desk, "x = 1\n"), Reply("Mended.")])
    assert desk.run.print("Write it.").result == "Mended."
    assert "made.py:1 divides by zero." in desk.main[2].new_text
    (job,) = gate_jobs(desk)  # Claude has been sent on once: it may stop the next time
    assert "x = 1 / 0" in job.prompt


@pytest.mark.parametrize("answer", ["ALLOW: fine.", "I would not block this."])
def test_gate_that_does_not_say_block_lets_claude_stop(desk: Desk, answer: str) -> None:
    before = len(gate_jobs(desk))
    gate_on(desk, answer)
    desk.claude(main=[edit(desk, f"x = {answer!r}\n"), Reply("Written.")])
    assert desk.run.print("Write it.").result == "Written."
    assert len(gate_jobs(desk)) == before + 1
    assert len(desk.main) == 2


@pytest.mark.newest_claude
def test_gate_has_nothing_to_say_where_nothing_was_edited(desk: Desk) -> None:
    before = len(gate_jobs(desk))
    break_it(desk)  # a person's own edit, before the turn
    gate_on(desk, "BLOCK: no.")
    desk.claude(main=[bash("git status"), Reply("Looked.")])
    assert desk.run.print("Look.").result == "Looked."
    assert len(gate_jobs(desk)) == before


def test_gate_whose_backend_is_down_lets_claude_stop(desk: Desk) -> None:
    gate_on(desk, "BLOCK: no.")
    desk.claude(main=[edit(desk, "x = 'down'\n"), Reply("Written.")])
    whole = desk.run.env["OPENCODE_BIN"]
    desk.run.env["OPENCODE_BIN"] = str(Path(whole).parent / "nonexistent")
    try:
        done = desk.run.print("Write it.")
    finally:
        desk.run.env["OPENCODE_BIN"] = whole
    assert done.result == "Written."
    assert len(desk.main) == 2


@pytest.mark.newest_claude
def test_gate_job_is_not_announced_as_an_unread_answer(desk: Desk) -> None:
    gate_on(desk, "ALLOW: the basalt is fine.")

    def asks(request: Request) -> Reply:
        return Reply("Still here.")

    desk.claude(main=[edit(desk, "x = 'quiet'\n"), Reply("Written."), asks])
    with desk.run.stream() as session:
        session.say("Write it.")
        session.wait_results(1, 60)
        session.say("And now?")
        session.wait_results(2, 60)
    assert desk.told_main("basalt") == 0
