"""The table of verdicts, row by row, and what must hold for any job and any observation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.jobs import Ending, Followup, Job
from companion.judge import (
    RELAY_LIMIT_MS,
    RESEND_LIMIT,
    RESEND_WINDOW_MS,
    SETTLE_MS,
    START_LIMIT_MS,
    Answer,
    Block,
    Continue,
    Correct,
    End,
    Nudge,
    Reap,
    Resend,
    Stop,
    Verdict,
    judge,
)
from companion.observation import Ask, Failure, Observation, SessionState, Step, ToolCall
from companion.settings import Settings
from companion.states import TERMINAL, Phase, Status

NOW = 2_000_000_000_000
BUSY = SessionState("busy")
LIMITS = Settings.from_env({}).limits


def job(**changes: Any) -> Job:
    """A running job that began a minute ago."""
    known = Job(
        id="task-a-000000",
        type="task",
        workspace="/w",
        server="",
        claude_session=None,
        status=Status.RUNNING,
        phase="working",
        prompt="p",
        title="t",
        limits=LIMITS,
        permissions="auto",
        read_only=False,
        created_at=NOW - 60_000,
        updated_at=NOW,
        started_at=NOW - 60_000,
        alive_at=NOW - 1_000,
    )
    return known._replace(**changes)


def step(**changes: Any) -> Step:
    """A step that ended well a moment ago."""
    return replace(Step("msg_1", NOW - 50_000, NOW - 40_000, "stop", text="the answer"), **changes)


def seen(*steps: Step, **changes: Any) -> Observation:
    """A reachable server whose session has been idle for a while."""
    known = Observation(
        reachable=True,
        idle_since=NOW - 30_000,
        sent_at=NOW - 59_000,
        user_message=True,
        steps=steps,
        moved_at=NOW - 100,
    )
    return replace(known, **changes)


DONE = Ending(Status.COMPLETED, "", "")
RUNNING_STEP = step(completed_at=None, finish=None, text="")
BASH = ToolCall("bash", "npm test", running=True, started_at=NOW - 10_000)
PERMISSION = Ask("per_1", "ses_1", "permission", "bash", "bash: rm x", seen_at=NOW - 1_000)

ENDS: dict[str, tuple[Observation, Status, str | None]] = {
    "an answer": (seen(step()), Status.COMPLETED, ""),
    "an answer, and another turn has begun": (seen(step(), superseded=True, state=BUSY), Status.COMPLETED, ""),
    "an answer, and the server is gone": (seen(step(), reachable=False), Status.COMPLETED, ""),
    "no text": (seen(step(text=" \n")), Status.INCOMPLETE, "empty_answer"),
    "cut by length": (seen(step(finish="length")), Status.INCOMPLETE, "cut_by_length"),
    "content filter": (seen(step(finish="content-filter")), Status.INCOMPLETE, "content_filter"),
    "a rejected ask": (
        seen(step(finish="tool-calls", tools=(replace(BASH, running=False, rejected=True),))),
        Status.INCOMPLETE,
        "ask_rejected",
    ),
    "a stream without finish": (seen(step(finish="unknown")), Status.INCOMPLETE, "no_answer"),
    "provider login": (seen(step(failure=Failure("APIError", "bad key", 401))), Status.FAILED, "provider_auth"),
    "quota": (seen(step(failure=Failure("APIError", "slow down", 429))), Status.FAILED, "provider_quota"),
    "overflow": (seen(step(failure=Failure("ContextOverflowError", "x"))), Status.FAILED, "context_overflow"),
    "provider fault": (seen(step(failure=Failure("APIError", "oops", 503))), Status.FAILED, "provider_error"),
    "aborted elsewhere": (seen(step(failure=Failure("MessageAbortedError", "x"))), Status.CANCELLED, "aborted"),
    "aborted during a retry": (seen(step(finish=None, text="")), Status.CANCELLED, "aborted"),
    "nothing ever came": (
        seen(sent_at=NOW - START_LIMIT_MS - 1, idle_since=NOW - START_LIMIT_MS - 1),
        Status.FAILED,
        "not_started",
    ),
    "an error instead of a message": (
        seen(failure=Failure("UnknownError", "Agent not found: x"), sent_at=NOW - SETTLE_MS - 1, idle_since=0),
        Status.FAILED,
        "unknown_agent",
    ),
}


@pytest.mark.parametrize(("observation", "status", "reason"), ENDS.values(), ids=ENDS)
def test_a_turn_that_is_over_ends_the_job(observation: Observation, status: Status, reason: str | None) -> None:
    verdict = judge(job(), observation, NOW)
    assert isinstance(verdict, End)
    assert (verdict.ending.status, verdict.ending.reason) == (status, reason)


GOES_ON: dict[str, tuple[Observation, Phase]] = {
    "just sent": (seen(sent_at=NOW - 100, idle_since=NOW - 100), Phase.STARTING),
    "the model thinks": (seen(RUNNING_STEP, state=BUSY), Phase.INVESTIGATING),
    "text comes in": (seen(replace(RUNNING_STEP, text="so"), state=BUSY), Phase.ANSWERING),
    "a tool runs": (seen(replace(RUNNING_STEP, tools=(BASH,)), state=BUSY), Phase.WORKING),
    "between two steps": (seen(step(finish="tool-calls"), state=BUSY), Phase.ANSWERING),
    "idle, but the message is not final yet": (seen(RUNNING_STEP, idle_since=NOW - SETTLE_MS), Phase.FINALIZING),
    "idle for a blink between steps": (seen(step(finish="tool-calls"), idle_since=NOW - 1), Phase.FINALIZING),
    "a retry": (
        seen(RUNNING_STEP, state=SessionState("retry", 2, "429"), retrying_since=NOW - 5_000),
        Phase.RETRYING,
    ),
    "two answers without finish": (
        seen(*[step(id=f"m{n}", finish="unknown") for n in range(2)], state=BUSY),
        Phase.ANSWERING,
    ),
}


@pytest.mark.parametrize(("observation", "phase"), GOES_ON.values(), ids=GOES_ON)
def test_a_turn_that_is_not_over_goes_on(observation: Observation, phase: Phase) -> None:
    assert judge(job(), observation, NOW) == Continue(phase)


QUIET = seen(replace(RUNNING_STEP, tools=(BASH,)), state=BUSY, moved_at=NOW - LIMITS.idle_timeout - 1)
RETRY = seen(RUNNING_STEP, state=SessionState("retry", 9, "429"), retrying_since=NOW - LIMITS.request_timeout - 1)
STOPS: dict[str, tuple[Job, Observation, str]] = {
    "nothing moves": (job(), QUIET, "idle"),
    "nothing moves, and no one can look for children": (job(), replace(QUIET, live_children=None), "idle"),
    "older than the cap": (
        job(started_at=NOW - LIMITS.prompt_timeout - 1),
        seen(RUNNING_STEP, state=BUSY),
        "timeout",
    ),
    "retries without end": (job(), RETRY, "provider_quota"),
    "a loop without finish": (
        job(),
        seen(*[step(id=f"m{n}", finish="unknown") for n in range(3)], state=BUSY),
        "provider_loop",
    ),
    "a tool without process, for the second time": (
        job(followup=Followup("msg_2", "prt_2", "go on")),
        seen(replace(RUNNING_STEP, tools=(BASH,)), state=BUSY, live_children=0, processless_polls=LIMITS.stuck_polls),
        "tool_stuck",
    ),
    "decided before a crash": (
        job(ending=Ending(Status.FAILED, "idle", "x")),
        seen(RUNNING_STEP, state=BUSY),
        "idle",
    ),
    "cancelled": (job(cancel_requested_at=NOW), seen(RUNNING_STEP, state=BUSY), "cancelled"),
}


@pytest.mark.parametrize(("known", "observation", "reason"), STOPS.values(), ids=STOPS)
def test_a_run_that_hangs_is_stopped_and_then_ends(known: Job, observation: Observation, reason: str) -> None:
    verdict = judge(known, observation, NOW)
    assert isinstance(verdict, Stop)
    assert verdict.ending.reason == reason
    afterwards = replace(observation, state=SessionState(), idle_since=NOW)
    ended = judge(known._replace(ending=known.ending or verdict.ending), afterwards, NOW)
    assert isinstance(ended, End)
    assert ended.ending.reason == reason


def test_a_live_child_resets_the_clock() -> None:
    assert judge(job(), replace(QUIET, live_children=1), NOW) == Continue(Phase.WORKING)


def test_a_limit_of_ours_is_named_in_the_message() -> None:
    verdict = judge(job(), QUIET, NOW)
    assert isinstance(verdict, Stop)
    assert "OPENCODE_IDLE_TIMEOUT_MS" in verdict.ending.message


@pytest.mark.parametrize("observation", [seen(RUNNING_STEP, reachable=False), seen(RUNNING_STEP)], ids=["gone", "new"])
def test_a_lost_run_is_sent_again_if_it_was_alive_recently(observation: Observation) -> None:
    assert isinstance(judge(job(), observation, NOW), Resend)
    for known in (job(resends=RESEND_LIMIT), job(alive_at=NOW - RESEND_WINDOW_MS - 1)):
        verdict = judge(known, replace(observation, steps=(replace(RUNNING_STEP, text="half"),)), NOW)
        assert isinstance(verdict, End)
        assert (verdict.ending.reason, verdict.text) == ("server_lost", "half")


def test_a_server_that_ended_between_two_steps_is_a_lost_run() -> None:
    between = seen(step(finish="tool-calls", text="I look."))
    assert isinstance(judge(job(), between, NOW), Resend)
    verdict = judge(job(resends=RESEND_LIMIT), between, NOW)
    assert isinstance(verdict, End)
    assert (verdict.ending.status, verdict.ending.reason) == (Status.INCOMPLETE, "no_answer")
    assert verdict.text == "I look."


def test_asks_are_answered_by_policy_or_block_the_job() -> None:
    asking = seen(RUNNING_STEP, state=BUSY, asks=(PERMISSION,))
    granted = judge(job(), asking, NOW)
    assert isinstance(granted, Answer)
    assert granted.reply.reply == "once"
    other = judge(job(), replace(asking, asks=(replace(PERMISSION, permission="read"),)), NOW)
    assert isinstance(other, Answer)
    assert (other.reply.reply, bool(other.reply.message)) == ("reject", True)
    forbidden = judge(job(read_only=True), asking, NOW)
    assert isinstance(forbidden, Answer)
    assert forbidden.reply.reply == "reject"
    assert judge(job(permissions="relay"), asking, NOW) == Block(PERMISSION)


def test_an_ask_that_nobody_answers_is_turned_down_in_the_end() -> None:
    late = replace(PERMISSION, seen_at=NOW - RELAY_LIMIT_MS - 1)
    verdict = judge(job(permissions="relay"), seen(RUNNING_STEP, state=BUSY, asks=(late,)), NOW)
    assert isinstance(verdict, Answer)
    assert (verdict.reply.reply, bool(verdict.reply.message)) == ("reject", True)


def test_a_command_without_shell_is_freed_from_what_it_left_then_asked_to_go_on() -> None:
    stuck = seen(replace(RUNNING_STEP, tools=(BASH,)), state=BUSY, processless_polls=LIMITS.stuck_polls)
    assert judge(job(), replace(stuck, processless_polls=LIMITS.stuck_polls - 1), NOW) == Continue(Phase.WORKING)
    assert judge(job(), replace(stuck, holders=1, live_children=1), NOW) == Reap()
    nudge = judge(job(), stuck, NOW)
    assert isinstance(nudge, Nudge)
    assert "npm test" in nudge.note


def test_after_sending_again_the_lost_step_is_not_judged() -> None:
    lost = step(finish=None, failure=Failure("MessageAbortedError", "x"), text="half")
    waiting = seen(lost, sent_at=NOW - 5_000)
    assert judge(job(), waiting, NOW) == Continue(Phase.RECOVERING)
    assert isinstance(judge(job(), replace(waiting, sent_at=NOW - START_LIMIT_MS - 1), NOW), End)


# Answers that are checked

FLAWED = "Its lines do not exist."
FIRST = step(text="the first answer", answers_to="msg_a")
SECOND = step(id="msg_2", created_at=NOW - 30_000, text="the second answer", answers_to="msg_b")
SECOND_RUNS = replace(SECOND, completed_at=None, finish=None, text="the sec")


def review(**changes: Any) -> Job:
    return job(id="review-a-000000", type="review", read_only=True, message_id="msg_a", **changes)


CORRECTED = review(followup=Followup("msg_b", "prt_b", FLAWED))


def test_a_flawed_answer_is_corrected_once() -> None:
    assert judge(review(), seen(FIRST, correction=FLAWED), NOW) == Correct(FLAWED)
    for flaw in ("", FLAWED):
        assert judge(CORRECTED, seen(FIRST, SECOND, correction=flaw), NOW) == End(DONE, "the second answer")


def test_a_good_answer_needs_no_correction() -> None:
    assert judge(review(), seen(FIRST), NOW) == End(DONE, "the first answer")


@pytest.mark.parametrize(
    ("known", "observation"),
    [
        (review(cancel_requested_at=NOW), seen(FIRST, correction=FLAWED)),
        (review(ending=Ending(Status.FAILED, "idle", "x")), seen(FIRST, correction=FLAWED)),
        (review(), seen(FIRST, correction=FLAWED, superseded=True, state=BUSY)),
        (review(), seen(FIRST, correction=FLAWED, reachable=False)),
        (CORRECTED, seen(replace(FIRST, answers_to="msg_b"), correction=FLAWED)),
    ],
    ids=["cancelled", "decided before", "superseded", "server gone", "asked to go on before"],
)
def test_a_flawed_answer_is_taken_as_it_is_where_it_cannot_be_corrected(known: Job, observation: Observation) -> None:
    assert judge(known, observation, NOW) == End(DONE, "the first answer")


def test_until_the_correction_begins_the_first_answer_is_not_judged_again() -> None:
    """Also after a crash between storing and sending the message: it is sent by whoever finds the job."""
    for correction in ("", FLAWED):
        waiting = seen(FIRST, sent_at=NOW - START_LIMIT_MS, idle_since=NOW - 40_000, correction=correction)
        assert judge(CORRECTED, waiting, NOW) == Continue(Phase.FINALIZING)
        assert judge(CORRECTED, replace(waiting, sent_at=NOW - 90_000, idle_since=NOW - 1), NOW) == Continue(
            Phase.FINALIZING
        )
        never = replace(waiting, sent_at=NOW - START_LIMIT_MS - 1)
        assert judge(CORRECTED, never, NOW) == End(DONE, "the first answer")


def test_while_the_correction_runs_the_job_goes_on() -> None:
    assert judge(CORRECTED, seen(FIRST, state=BUSY), NOW) == Continue(Phase.ANSWERING)
    assert judge(CORRECTED, seen(FIRST, SECOND_RUNS, state=BUSY), NOW) == Continue(Phase.ANSWERING)


FAILURES: dict[str, tuple[Job, Observation]] = {
    "an error of the provider": (CORRECTED, seen(FIRST, replace(SECOND, failure=Failure("APIError", "x", 500)))),
    "no text": (CORRECTED, seen(FIRST, replace(SECOND, text=" "))),
    "cut by length": (CORRECTED, seen(FIRST, replace(SECOND, finish="length"))),
    "a stream without finish": (CORRECTED, seen(FIRST, replace(SECOND, finish="unknown"))),
    "the server is lost too often": (
        CORRECTED._replace(resends=RESEND_LIMIT),
        seen(FIRST, SECOND_RUNS, reachable=False),
    ),
    "the server is lost too often, before it began": (
        CORRECTED._replace(resends=RESEND_LIMIT),
        seen(FIRST, reachable=False),
    ),
    "stopped by a limit": (
        CORRECTED._replace(ending=Ending(Status.FAILED, "timeout", "x")),
        seen(FIRST, replace(SECOND_RUNS, failure=Failure("MessageAbortedError", "x"), completed_at=NOW)),
    ),
}


@pytest.mark.parametrize(("known", "observation"), FAILURES.values(), ids=FAILURES)
def test_a_failed_correction_does_not_take_the_first_answer_away(known: Job, observation: Observation) -> None:
    assert judge(known, observation, NOW) == End(DONE, "the first answer")


def test_a_correction_whose_server_died_is_asked_for_again() -> None:
    for steps in ((FIRST,), (FIRST, SECOND_RUNS)):
        assert isinstance(judge(CORRECTED, seen(*steps, reachable=False), NOW), Resend)
    assert isinstance(judge(CORRECTED, seen(FIRST, SECOND_RUNS), NOW), Resend)


def test_a_correction_that_hangs_is_stopped() -> None:
    verdict = judge(CORRECTED, replace(QUIET, steps=(FIRST, *QUIET.steps)), NOW)
    assert isinstance(verdict, Stop)
    assert verdict.ending.reason == "idle"


def test_a_cancelled_correction_is_cancelled() -> None:
    cancelled = CORRECTED._replace(cancel_requested_at=NOW)
    assert isinstance(judge(cancelled, seen(FIRST, SECOND_RUNS, state=BUSY), NOW), Stop)
    for steps in (
        (FIRST,),
        (FIRST, replace(SECOND_RUNS, failure=Failure("MessageAbortedError", "x"), completed_at=NOW)),
    ):
        verdict = judge(cancelled, seen(*steps), NOW)
        assert isinstance(verdict, End)
        assert verdict.ending.status is Status.CANCELLED
        assert verdict.text and verdict.text.startswith("the first answer")


def test_a_second_answer_that_came_wins_over_a_cancel() -> None:
    cancelled = CORRECTED._replace(cancel_requested_at=NOW)
    assert judge(cancelled, seen(FIRST, SECOND), NOW) == End(DONE, "the second answer")


# Properties

times = st.integers(0, NOW + 1_000_000)
texts = st.sampled_from(["", " ", "text"])
tool_calls = st.builds(ToolCall, st.just("bash"), st.just("x"), st.booleans(), st.none() | times, st.booleans())
failures = st.builds(
    Failure,
    st.sampled_from(["APIError", "MessageAbortedError", "ContextOverflowError", "UnknownError"]),
    st.text(max_size=20),
    st.none() | st.integers(400, 599),
)
steps = st.builds(
    Step,
    st.uuids().map(str),
    times,
    st.none() | times,
    st.none() | st.sampled_from(["stop", "length", "tool-calls", "unknown", "content-filter", "other"]),
    st.none() | failures,
    texts,
    st.lists(tool_calls, max_size=2).map(tuple),
    answers_to=st.sampled_from(["msg_a", "msg_b"]),
)
observations = st.builds(
    Observation,
    reachable=st.booleans(),
    state=st.builds(SessionState, st.sampled_from(["idle", "busy", "retry"]), st.integers(0, 9), texts),
    idle_since=st.none() | times,
    retrying_since=st.none() | times,
    sent_at=times,
    user_message=st.booleans(),
    superseded=st.booleans(),
    steps=st.lists(steps, max_size=4).map(tuple),
    asks=st.lists(
        st.builds(
            Ask,
            st.uuids().map(str),
            st.just("ses"),
            st.sampled_from(["permission", "question"]),
            st.sampled_from(["bash", "edit", "read", "doom_loop", "question"]),
            st.just("s"),
        ),
        max_size=2,
    ).map(tuple),
    failure=st.none() | failures,
    moved_at=times,
    live_children=st.none() | st.integers(0, 3),
    processless_polls=st.integers(0, 9),
    holders=st.integers(0, 2),
    correction=st.sampled_from(["", FLAWED]),
)
jobs = st.builds(
    job,
    status=st.sampled_from([Status.QUEUED, Status.RUNNING]),
    started_at=st.none() | times,
    alive_at=st.none() | times,
    resends=st.integers(0, 3),
    cancel_requested_at=st.none() | times,
    ending=st.none() | st.just(Ending(Status.FAILED, "idle", "x")),
    permissions=st.sampled_from(["auto", "relay"]),
    read_only=st.booleans(),
    message_id=st.just("msg_a"),
    followup=st.none() | st.just(Followup("msg_b", "prt_b", FLAWED)),
)


@given(jobs, st.sampled_from(TERMINAL), observations, times)
def test_an_ended_job_never_changes(known: Job, status: Status, observation: Observation, now: int) -> None:
    assert judge(known._replace(status=status), observation, now) == Continue(Phase.ENDED)


@given(jobs, observations, times)
def test_a_job_either_ends_in_one_terminal_state_or_goes_on(known: Job, observation: Observation, now: int) -> None:
    verdict = judge(known, observation, now)
    if isinstance(verdict, End | Stop):
        assert verdict.ending.status in TERMINAL
        assert verdict.ending.status is Status.COMPLETED or verdict.ending.reason
    if isinstance(verdict, End) and verdict.ending.status is Status.COMPLETED:
        assert verdict.text and verdict.text.strip()
    if isinstance(verdict, Continue):
        assert verdict.phase is not Phase.ENDED


@given(jobs, observations, times, st.integers(1, 5))
def test_more_evidence_of_life_never_makes_a_job_stuck(
    known: Job, observation: Observation, now: int, children: int
) -> None:
    livelier = replace(observation, live_children=children, moved_at=max(observation.moved_at, now))
    if not _stuck(judge(known, observation, now)):
        assert not _stuck(judge(known, livelier, now))


@given(jobs, observations, times)
def test_a_run_that_still_moves_is_not_called_idle(known: Job, observation: Observation, now: int) -> None:
    verdict = judge(known._replace(ending=None), replace(observation, moved_at=now), now)
    assert not (isinstance(verdict, End | Stop) and verdict.ending.reason == "idle")


@given(jobs, observations, times)
def test_no_more_than_one_correction_is_asked_for_and_none_against_a_wish_to_end(
    known: Job, observation: Observation, now: int
) -> None:
    if isinstance(judge(known, observation, now), Correct):
        assert observation.correction
        assert known.followup is None
        assert known.cancel_requested_at is None and known.ending is None


@given(jobs, observations, times)
def test_an_answer_that_was_given_is_never_lost_to_its_correction(
    known: Job, observation: Observation, now: int
) -> None:
    known = known._replace(followup=Followup("msg_b", "prt_b", FLAWED), cancel_requested_at=None)
    verdict = judge(known, replace(observation, steps=(FIRST, *observation.steps)), now)
    if isinstance(verdict, End):
        assert verdict.ending.status in (Status.COMPLETED, Status.CANCELLED)


def _stuck(verdict: Verdict) -> bool:
    return isinstance(verdict, End | Stop) and verdict.ending.reason in ("idle", "tool_stuck")
