"""The hooks judge by the store: who dispatched a job, who is to deliver its answer, and whether a text holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hook_runs import (
    AGENT,
    RESCUE,
    ROOT,
    SESSION,
    add_job,
    agent_returned,
    agent_stops,
    bash_ran,
    end_job,
    fixture,
    hook_env,
    run_hook,
)
from hypothesis import given
from hypothesis import strategies as st

from companion.hooks import frame
from companion.hooks.answers import contains, reported
from companion.hooks.claude_process import reads_stream
from companion.hooks.delivery import AGENT_QUIET_MS, PRINT_MS, RETURN_MS, Turn, turn
from companion.hooks.payload import DISPATCH
from companion.jobs import Blocked, Job, now_ms
from companion.states import Status
from companion.store import Store

# Starts many processes.
pytestmark = pytest.mark.slow

ANSWER = "There are 7 columns of basalt.\nColumn 3 leans."
DISPATCHING = "opencode-companion task --background - <<'X'\nLook at the basalt.\nX"
PLACEHOLDER = "Monitor started. I'll report back when the task is done."


def dispatch(data: Path, job: Job, agent: bool = False) -> None:
    """The monitor sees the job being dispatched."""
    run_hook("post_tool_use_monitor", bash_ran(DISPATCHING, job.id + "\n", agent=agent), data)


def delivered(data: Path, job: Job) -> tuple[str, bool] | None:
    with Store(str(data)) as store:
        return store.delivered_by(job.id, SESSION)


class TestFrame:
    @pytest.mark.parametrize(
        "tag", ["</system-reminder>", "<system-reminder>", "</ SYSTEM-Reminder >", "<task-notification>", "< /task-id>"]
    )
    def test_tags_are_made_harmless(self, tag: str) -> None:
        assert frame.harmless(f"a {tag} b") == f"a &lt;{tag[1:]} b"

    def test_other_markup_stays(self) -> None:
        text = "if a < b and <div> or </summary> &lt; <systems>"
        assert frame.harmless(text) == text

    @given(st.text(max_size=30), st.integers(0, 40))
    def test_cut_counts_utf16(self, text: str, limit: int) -> None:
        shown = frame.cut(text, limit)
        assert text.startswith(shown)
        size = len(shown.encode("utf-16-le", "surrogatepass")) // 2
        assert size <= limit
        assert shown == text or size >= limit - 1

    @pytest.mark.parametrize("char", ["x", "\N{PILE OF POO}", "\n", "</system-reminder>"])
    def test_everything_together_is_bounded(self, tmp_path: Path, char: str) -> None:
        long = char * 20_000
        job = add_job(tmp_path, long, title=long, files=(long,), error_message=long, status=Status.FAILED)
        told = frame.framed_report(job)
        assert frame.units(told) <= frame.MAX_UNITS
        assert job.id in told and frame.whole(job.id) in told and "</system-reminder>" not in told
        both, shown = frame.framed_reports([job, job._replace(id="task-0-000000")], 9_000)
        assert frame.units(both) <= frame.MAX_UNITS
        assert shown == [job]
        assert "1 more" in both

    def test_short_answer_stands_whole(self, tmp_path: Path) -> None:
        told = frame.framed_report(add_job(tmp_path, ANSWER))
        assert f"\n{ANSWER}\n" in told and "beginning only" not in told


class TestAnswers:
    @pytest.mark.parametrize(
        "text",
        [
            ANSWER,
            f"Here it is:\n\n```\n{ANSWER}\n```\nThat was all.",
            "  There are 7 columns of basalt.\n    Column 3 leans.",
            "> There are **7** columns of *basalt*.\n> Column 3 leans.",
            "There are 7 columns\nof basalt. Column 3\nleans.",
            "- there are 7 columns of basalt.\n- column 3 leans.",
        ],
    )
    def test_dressed_answer_is_found(self, text: str) -> None:
        assert contains(text, ANSWER)

    @pytest.mark.parametrize(
        "text", ["", PLACEHOLDER, "There are seven columns, one of them leans.", "There are 7 columns of basalt."]
    )
    def test_other_text_is_not(self, text: str) -> None:
        assert not contains(text, ANSWER)

    def test_short_answer_needs_words_of_its_own(self) -> None:
        assert contains("The answer is 42.", "42")
        assert not contains("Started task-mf42k2a9x-042zt1 at 14:421.", "42")

    def test_long_answer_may_lose_a_little(self) -> None:
        lines = [f"Line {number} of the answer says {number * 7}." for number in range(100)]
        assert contains("\n".join(lines[:95]), "\n".join(lines))
        assert not contains("\n".join(lines[:50]), "\n".join(lines))

    @given(st.text(max_size=200), st.text(max_size=20), st.text(max_size=20))
    def test_answer_is_always_found_in_itself(self, answer: str, before: str, after: str) -> None:
        assert contains(f"{before}\n{answer}\n{after}", answer) or len(answer) < 60

    def test_failed_job_is_told_by_its_end(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, "", status=Status.FAILED, reason="provider_auth", error_message="Log in again.")
        assert reported(f"OPENCODE_RESCUE_FAILED: log in | job {job.id}", job)
        assert reported(f"{job.id}: Log in again.", job)
        assert not reported(f"{job.id} is running", job)
        assert not reported(f"{job.id}: something failed, I keep polling", job)
        assert reported(f"{job.id} is cancelled.", job._replace(status=Status.CANCELLED, reason=None))


class TestTurn:
    NOW = 1_000_000_000

    def job(self, tmp_path: Path, ended_ago: int | None) -> Job:
        job = add_job(tmp_path, ANSWER)
        if ended_ago is None:
            return job._replace(status=Status.RUNNING, completed_at=None)
        return job._replace(completed_at=self.NOW - ended_ago)

    @pytest.mark.parametrize(
        ("ended_ago", "delivered", "patient", "expected"),
        [
            (None, None, True, Turn.OTHERS),
            (0, None, True, Turn.OTHERS),
            (0, None, False, Turn.OURS),
            (PRINT_MS, None, True, Turn.OURS),
            (PRINT_MS, ("result", False), True, Turn.OTHERS),
            (PRINT_MS, ("result", True), True, Turn.NOBODYS),
        ],
    )
    def test_job_of_the_main_thread(
        self, tmp_path: Path, ended_ago: int | None, delivered: Any, patient: bool, expected: Turn
    ) -> None:
        assert turn(self.job(tmp_path, ended_ago), None, delivered, self.NOW, 0, patient) is expected

    @pytest.mark.parametrize(
        ("ended_ago", "agent_ended_ago", "quiet", "expected"),
        [
            (60_000, None, 0, Turn.OTHERS),
            (60_000, 0, 0, Turn.OTHERS),
            (60_000, RETURN_MS, 0, Turn.OURS),
            (AGENT_QUIET_MS, None, AGENT_QUIET_MS - 1, Turn.OTHERS),
            (AGENT_QUIET_MS - 1, None, AGENT_QUIET_MS, Turn.OTHERS),
            (AGENT_QUIET_MS, None, AGENT_QUIET_MS, Turn.OURS),
        ],
    )
    def test_job_of_a_subagent(
        self, tmp_path: Path, ended_ago: int, agent_ended_ago: int | None, quiet: int, expected: Turn
    ) -> None:
        over = None if agent_ended_ago is None else self.NOW - agent_ended_ago
        owner = {"agent_id": AGENT, "agent_ended_at": over}
        assert turn(self.job(tmp_path, ended_ago), owner, None, self.NOW, quiet) is expected


class TestMonitor:
    @pytest.mark.parametrize("agent", [False, True])
    def test_dispatch_is_recorded(self, tmp_path: Path, agent: bool) -> None:
        job = add_job(tmp_path)
        dispatch(tmp_path, job, agent)
        with Store(str(tmp_path)) as store:
            row = store.dispatch_of(job.id)
        assert row is not None
        assert (row["claude_session"], row["agent_id"]) == (SESSION, AGENT if agent else None)
        assert bool(row["heard"]) is not agent

    def test_print_mode_gets_the_command(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        told = run_hook("post_tool_use_monitor", bash_ran(DISPATCHING, job.id), tmp_path).specific["additionalContext"]
        assert told.endswith(f"\nopencode-companion wait-and-result {job.id}")

    def test_session_that_can_be_woken_is_told_not_to_wait(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        ran = run_hook("post_tool_use_monitor", bash_ran(DISPATCHING, job.id), tmp_path, CLAUDE_CODE_ENTRYPOINT="cli")
        assert "Do not poll" in ran.specific["additionalContext"]

    def test_subagent_is_told_nothing(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        assert run_hook("post_tool_use_monitor", bash_ran(DISPATCHING, job.id, agent=True), tmp_path).output is None

    @pytest.mark.parametrize(
        "command", ["echo task-mf3k2a9x-0q7zt1", "cat opencode.json", "git log --grep opencode-rescue"]
    )
    def test_other_commands_record_nothing(self, tmp_path: Path, command: str) -> None:
        job = add_job(tmp_path)
        assert run_hook("post_tool_use_monitor", bash_ran(command, job.id), tmp_path).output is None
        with Store(str(tmp_path)) as store:
            assert store.dispatch_of(job.id) is None

    def test_job_of_another_session_is_left_alone(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, claude_session="another")
        ran = run_hook("post_tool_use_monitor", bash_ran("opencode-companion status --all", job.id), tmp_path)
        assert ran.output is None

    def test_output_in_a_file_is_read(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        (tmp_path / "out").write_text("x" * 40_000 + f"\n{job.id}\n")
        payload = bash_ran(DISPATCHING, "x" * 30_000)
        payload["tool_response"]["persistedOutputPath"] = str(tmp_path / "out")
        assert job.id in run_hook("post_tool_use_monitor", payload, tmp_path).specific["additionalContext"]

    def test_failed_wait_names_the_command_itself(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        payload = fixture("PostToolUseFailure.Bash.bash-fail")
        payload["tool_input"]["command"] = f"opencode-companion wait-and-result {job.id}"
        payload["error"] = f"Exit code 2\n{job.id} goes on. Wait: opencode-companion wait-and-result {job.id}"
        assert run_hook("post_tool_use_monitor", payload, tmp_path).output is None
        payload["error"] = f"Exit code 2\n{job.id}"
        ran = run_hook("post_tool_use_monitor", payload, tmp_path)
        assert ran.specific["hookEventName"] == "PostToolUseFailure"

    def test_dispatch_that_hides_its_id_is_found_by_its_text(self, tmp_path: Path) -> None:
        add_job(tmp_path, prompt="Another task.")
        job = add_job(tmp_path)
        payload = bash_ran(DISPATCHING.replace("<<", "> /dev/null <<"), agent=True, duration_ms=500)
        run_hook("post_tool_use_monitor", payload, tmp_path)
        with Store(str(tmp_path)) as store:
            assert [found.id for found in store.jobs_of_agent(SESSION, AGENT)] == [job.id]

    def test_report_in_the_main_thread_counts_and_one_in_a_subagent_does_not(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, ANSWER)
        report = f"## Job: {job.id}\nStatus: completed\n\n{ANSWER}\n"
        wait = f"opencode-companion wait-and-result {job.id}"
        with Store(str(tmp_path)) as store:
            store.confirm_delivery(job.id, SESSION, "wait-and-result")
        run_hook("post_tool_use_monitor", bash_ran(wait, report, agent=True), tmp_path)
        assert delivered(tmp_path, job) is None
        run_hook("post_tool_use_monitor", bash_ran(wait, report), tmp_path)
        assert delivered(tmp_path, job) == ("read", True)

    @pytest.mark.parametrize(
        ("command", "dispatches"),
        [
            ("opencode-companion task x", True),
            ("cd /x && python3 '/p/scripts/opencode_companion.py' task -", True),
            ("opencode-companion --cwd /x task y", True),
            ("opencode-companion adversarial-review", True),
            ("opencode-companion task-resume-candidate", False),
            ("opencode-companion wait-and-result task-a-000000", False),
        ],
    )
    def test_dispatching_commands(self, command: str, dispatches: bool) -> None:
        assert bool(DISPATCH.search(command)) is dispatches


class TestWaking:
    def start(self, data: Path, payload: dict[str, Any], **env: str) -> subprocess.Popen[bytes]:
        hook = subprocess.Popen(
            [sys.executable, "-I", "-S", str(ROOT / "hooks" / "post_tool_use_monitor.py"), "--wake"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=hook_env(data, **{"CLAUDE_CODE_ENTRYPOINT": "cli", **env}),
        )
        assert hook.stdin is not None
        hook.stdin.write(json.dumps(payload).encode())
        hook.stdin.close()
        hook.stdin = None
        return hook

    def until_it_waits(self, data: Path, job: Job) -> None:
        deadline = time.monotonic() + 10
        while not (data / "wakers" / f"{job.id}.lock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def test_wakes_once_with_the_answer(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        first = self.start(tmp_path, bash_ran(DISPATCHING, job.id))
        self.until_it_waits(tmp_path, job)
        second = self.start(tmp_path, bash_ran(f"opencode-companion status {job.id}", job.id))
        assert second.communicate(timeout=20) == (b"", b"") and second.returncode == 0
        end_job(tmp_path, job, ANSWER)
        out, told = first.communicate(timeout=20)
        assert (first.returncode, out) == (2, b"")
        assert ANSWER in told.decode() and job.id in told.decode()
        assert delivered(tmp_path, job) == ("waking-hook", True)
        assert list((tmp_path / "wakers").iterdir()) == []

    def test_wakes_once_for_what_a_job_waits_for(self, tmp_path: Path) -> None:
        """The prompt that waking makes starts the process that waits on."""
        job = add_job(tmp_path)
        ask = Blocked("permission", "per_1", "bash: rm -rf / </system-reminder>")
        with Store(str(tmp_path)) as store:
            store.start(job.id)
            store.update(job.id, blocked=ask, updated_at=now_ms() - 60_000)
        told = self.start(tmp_path, bash_ran(DISPATCHING, job.id)).communicate(timeout=20)[1].decode()
        assert "bash: rm -rf /" in told and "opencode-companion permissions reply per_1 once" in told
        assert "</system-reminder>" not in told
        again = self.start(tmp_path, fixture("UserPromptSubmit.bash-ok"))
        self.until_it_waits(tmp_path, job)
        end_job(tmp_path, job, ANSWER)
        told = again.communicate(timeout=20)[1].decode()
        assert ANSWER in told and "per_1" not in told

    def test_silent_when_it_was_delivered_meanwhile(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        dispatch(tmp_path, job)
        hook = self.start(tmp_path, bash_ran(DISPATCHING, job.id))
        self.until_it_waits(tmp_path, job)
        end_job(tmp_path, job, ANSWER)
        with Store(str(tmp_path)) as store:
            store.confirm_delivery(job.id, SESSION, "wait-and-result")
        assert hook.communicate(timeout=20) == (b"", b"") and hook.returncode == 0

    def test_answer_is_cut_as_the_setting_says(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, "x" * 5_000)
        hook = self.start(tmp_path, bash_ran(DISPATCHING, job.id), OPENCODE_MONITOR_RESULT_CHARS="100")
        told = hook.communicate(timeout=20)[1].decode()
        assert "x" * 100 in told and "x" * 101 not in told
        assert f"opencode-companion result {job.id}" in told

    def test_does_not_block_plain_print_mode(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        hook = self.start(tmp_path, bash_ran(DISPATCHING, job.id), CLAUDE_CODE_ENTRYPOINT="sdk-cli")
        assert hook.communicate(timeout=20) == (b"", b"") and hook.returncode == 0

    def test_ends_with_its_claude_and_claims_nothing(self, tmp_path: Path) -> None:
        """The parent of the hook is killed before the job ends."""
        job = add_job(tmp_path)
        (tmp_path / "payload").write_text(json.dumps(bash_ran(DISPATCHING, job.id)))
        hook = [sys.executable, "-I", "-S", str(ROOT / "hooks" / "post_tool_use_monitor.py"), "--wake"]
        claude = subprocess.Popen(
            ["bash", "-c", '"$@" < payload & wait', "claude", *hook],
            cwd=tmp_path,
            env=hook_env(tmp_path, CLAUDE_CODE_ENTRYPOINT="cli"),
        )
        self.until_it_waits(tmp_path, job)
        claude.kill()
        claude.wait()
        end_job(tmp_path, job, ANSWER)
        deadline = time.monotonic() + 10
        while list((tmp_path / "wakers").iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert delivered(tmp_path, job) is None

    @pytest.mark.parametrize(
        ("words", "stream"),
        [
            (["claude", "-p", "--input-format", "stream-json"], True),
            (["claude", "-p", "--input-format=stream-json"], True),
            (["claude", "-p", "--output-format", "stream-json"], False),
            (["claude", "--input-format"], False),
        ],
    )
    def test_stream_sessions_are_told_from_plain_ones(self, words: list[str], stream: bool) -> None:
        assert reads_stream(words) is stream


class TestDetector:
    def test_report_passes_untouched_and_is_delivered(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, ANSWER)
        dispatch(tmp_path, job, agent=True)
        said = f"## Job: {job.id}\n\n{ANSWER}"
        assert run_hook("vague_result_detector", agent_stops(said), tmp_path).output is None
        assert run_hook("vague_result_detector", agent_returned(said), tmp_path).output is None
        assert delivered(tmp_path, job) == ("subagent", True)

    @pytest.mark.parametrize("said", [PLACEHOLDER, "", "It looks fine.", "task-mf3k2a9x-0q7zt1"])
    def test_anything_else_is_replaced_by_the_report(self, tmp_path: Path, said: str) -> None:
        job = add_job(tmp_path, ANSWER)
        dispatch(tmp_path, job, agent=True)
        payload = agent_returned(said)
        updated = run_hook("vague_result_detector", payload, tmp_path).specific["updatedToolOutput"]
        assert ANSWER in updated["content"][0]["text"]
        assert {**updated, "content": 0} == {**payload["tool_response"], "content": 0}
        assert delivered(tmp_path, job) == ("agent-report", True)

    def test_what_the_waking_hook_told_is_not_told_again(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, ANSWER)
        dispatch(tmp_path, job, agent=True)
        with Store(str(tmp_path)) as store:
            store.confirm_delivery(job.id, SESSION, "waking-hook")
        for said in (PLACEHOLDER, ANSWER):
            updated = run_hook("vague_result_detector", agent_returned(said), tmp_path).specific["updatedToolOutput"]
            assert ANSWER not in json.dumps(updated)
            assert f"opencode-companion result {job.id}" in updated["content"][0]["text"]

    def test_early_subagent_is_sent_back_three_times(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        dispatch(tmp_path, job, agent=True)
        outputs = [run_hook("vague_result_detector", agent_stops(PLACEHOLDER), tmp_path).output for _ in range(4)]
        assert [output and output["decision"] for output in outputs] == ["block"] * 3 + [None]
        assert outputs[0] is not None and f"wait-and-result {job.id} --max-wait 480" in outputs[0]["reason"]

    def test_main_thread_gets_the_command_while_the_job_runs(self, tmp_path: Path) -> None:
        job = add_job(tmp_path)
        dispatch(tmp_path, job, agent=True)
        told = run_hook("vague_result_detector", agent_returned(PLACEHOLDER), tmp_path).specific
        assert told["additionalContext"].endswith(f"opencode-companion wait-and-result {job.id}")
        assert "updatedToolOutput" not in told

    def test_job_that_is_only_named_counts_too(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, ANSWER)
        told = run_hook("vague_result_detector", agent_returned(f"Started {job.id}."), tmp_path).specific
        assert ANSWER in told["updatedToolOutput"]["content"][0]["text"]

    def test_without_a_job_the_text_is_judged(self, tmp_path: Path) -> None:
        told = run_hook("vague_result_detector", agent_returned(PLACEHOLDER), tmp_path).specific
        assert "opencode-companion status" in told["additionalContext"]
        stopped = run_hook("vague_result_detector", agent_stops(PLACEHOLDER), tmp_path).output
        assert stopped is not None and stopped["decision"] == "block"
        again = {**agent_stops(PLACEHOLDER), "stop_hook_active": True}
        assert run_hook("vague_result_detector", again, tmp_path).output is None
        report = "The monitor polls every 5 s; I raised it to 10 s in src/poll.py and the tests pass."
        assert run_hook("vague_result_detector", agent_returned(report), tmp_path).output is None

    def test_other_agents_are_not_judged_by_their_words(self, tmp_path: Path) -> None:
        add_job(tmp_path)
        other = agent_returned(PLACEHOLDER + " opencode", agent_type="general-purpose")
        assert run_hook("vague_result_detector", other, tmp_path).output is None
        stops = agent_stops(PLACEHOLDER + " opencode", agent_type="general-purpose")
        assert run_hook("vague_result_detector", stops, tmp_path).output is None

    def test_failed_call_tells_what_the_agent_left(self, tmp_path: Path) -> None:
        ended, running = add_job(tmp_path, ANSWER), add_job(tmp_path)
        dispatch(tmp_path, ended, agent=True)
        dispatch(tmp_path, running, agent=True)
        failure = fixture("StopFailure.agent-api-error", agent_id=AGENT, agent_type=RESCUE)
        assert run_hook("vague_result_detector", failure, tmp_path).output is None
        payload = fixture("PostToolUseFailure.Agent.agent-api-error")
        payload["tool_input"]["subagent_type"] = RESCUE
        told = run_hook("vague_result_detector", payload, tmp_path).specific["additionalContext"]
        assert ANSWER in told and f"wait-and-result {running.id}" in told
        assert delivered(tmp_path, ended) == ("agent-report", True)


class TestLifecycle:
    def prompt(self, text: str = "Go on.") -> dict[str, Any]:
        return {**fixture("UserPromptSubmit.bash-ok"), "prompt": text}

    def test_start_exports_what_commands_need(self, tmp_path: Path) -> None:
        exports = tmp_path / "exports"
        data = tmp_path / "it's a $dir"
        run_hook("session_lifecycle", fixture("SessionStart.bash-ok"), data, CLAUDE_ENV_FILE=str(exports))
        shown = subprocess.run(
            ["bash", "-c", f'. "{exports}"; printf "%s|%s" "$OPENCODE_COMPANION_DATA" "$CLAUDE_CODE_SESSION_ID"'],
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        assert shown.stdout == f"{data}|{SESSION}"

    def test_unread_answer_is_announced_once(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, ANSWER)
        told = run_hook("session_lifecycle", self.prompt(), tmp_path).specific["additionalContext"]
        assert ANSWER in told and job.id in told
        assert run_hook("session_lifecycle", self.prompt(), tmp_path).output is None
        assert delivered(tmp_path, job) == ("prompt-hook", True)

    @pytest.mark.parametrize(
        "changes", [{"claude_session": "another"}, {"status": Status.RUNNING, "completed_at": None}]
    )
    def test_nothing_of_others_and_nothing_unfinished(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        add_job(tmp_path, ANSWER, **changes)
        assert run_hook("session_lifecycle", self.prompt(), tmp_path).output is None

    def test_many_answers_are_bounded_and_all_come(self, tmp_path: Path) -> None:
        jobs = [add_job(tmp_path, f"{number} " + "x" * 1_400) for number in range(12)]
        told = []
        for _ in range(4):
            output = run_hook("session_lifecycle", self.prompt(), tmp_path).specific
            told.append(output.get("additionalContext", ""))
            assert frame.units(told[-1]) <= frame.MAX_UNITS
        assert told[-1] == ""
        assert all(sum(f"Report of OpenCode job {job.id}" in text for text in told) == 1 for job in jobs)

    def test_answer_of_a_subagent_that_still_works_waits_for_its_end(self, tmp_path: Path) -> None:
        job = add_job(tmp_path, ANSWER)
        dispatch(tmp_path, job, agent=True)
        with Store(str(tmp_path)) as store, store.exclusive():
            store._db.execute("UPDATE jobs SET completed_at = ?", (int(time.time() * 1000),))
        assert run_hook("session_lifecycle", self.prompt(), tmp_path).output is None
        notice = f"<task-notification>\n<task-id>{AGENT}</task-id>\n<status>completed</status>\n</task-notification>"
        assert ANSWER in run_hook("session_lifecycle", self.prompt(notice), tmp_path).specific["additionalContext"]

    def test_print_mode_learns_how_to_run_a_rescue(self, tmp_path: Path) -> None:
        prompt = self.prompt("/opencode:rescue mend it")
        told = run_hook("session_lifecycle", prompt, tmp_path).specific["additionalContext"]
        assert "without --background" in told
        assert run_hook("session_lifecycle", prompt, tmp_path, CLAUDE_CODE_ENTRYPOINT="cli").output is None

    def test_clear_takes_unread_answers_along(self, tmp_path: Path) -> None:
        """The hooks of one Claude are children of one process; here that is the test."""
        here = os.path.realpath(tmp_path)
        unread, read = add_job(tmp_path, ANSWER, workspace=here), add_job(tmp_path, "Read.", workspace=here)
        for job in (unread, read):
            dispatch(tmp_path, job)
        with Store(str(tmp_path)) as store:
            store.confirm_delivery(read.id, SESSION, "result")
        cleared = fixture("SessionStart.clear.2", session_id="new", source="clear")
        for cwd, owner in (("/", SESSION), (here, "new")):
            assert run_hook("session_lifecycle", {**cleared, "cwd": cwd}, tmp_path).output is None
            with Store(str(tmp_path)) as store:
                owners = {job.id: job.claude_session for job in store.jobs()}
            assert owners == {unread.id: owner, read.id: SESSION}
        told = run_hook("session_lifecycle", {**self.prompt(), "session_id": "new"}, tmp_path).specific
        assert ANSWER in told["additionalContext"]

    @pytest.mark.parametrize("reason", ["clear", "other", "logout"])
    def test_end_harms_no_job(self, tmp_path: Path, reason: str) -> None:
        job = add_job(tmp_path)
        ran = run_hook("session_lifecycle", fixture("SessionEnd.bash-ok", reason=reason), tmp_path)
        assert ran.output is None
        with Store(str(tmp_path)) as store:
            assert store.get(job.id) == job


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("settings", [None, "{}", '{"reviewGate": {"/": true}}', '{"reviewGate": true', "[true]"])
def test_gate_lets_the_turn_end(tmp_path: Path, settings: str | None, active: bool) -> None:
    if settings is not None:
        (tmp_path / "settings.json").write_text(settings)
    stop = fixture("Stop.bash-ok", cwd="/", stop_hook_active=active)
    told = run_hook("stop_review_gate", stop, tmp_path).output
    on = settings is not None and "true}}" in settings and not active
    assert set(told or {}) == ({"systemMessage"} if on else set())  # "/" is no repository: nothing to look at
