"""The heart: decides, from what can be seen, whether a job goes on, ends, or needs a push. Pure: no I/O, no clock.

`judge(job, seen, now)` is called by the supervisor at every event and reconcile, for new jobs and for jobs found after
a crash alike. Each rule below is one way in which a run of opencode is known to end or to hang; they are tried in
order, the first that applies decides. To change a rule, change its function; to change a bound, see `Limits`
(variables a user may set) and the constants here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from companion.failures import classify
from companion.jobs import Ending, Job
from companion.observation import Ask, Failure, Observation, Step
from companion.policy import Reply, reply_to
from companion.states import Phase, Status

# A prompt whose agent is unknown leaves no message at all, and a bad model no answer: both show as silence.
START_LIMIT_MS = 30_000
# The session turns idle a moment before the message is final (seen with a provider's 403): look again before judging.
SETTLE_MS = 1_500
# A stream without finish reason makes opencode ask the model again without end; real turns never finish so thrice.
UNKNOWN_FINISH_LIMIT = 3
# In `relay`, an ask that the user has not answered by then is turned down, so that the job can go on.
RELAY_LIMIT_MS = 10 * 60_000
# A run is sent again after a crash at most this often, and only if it was seen alive recently.
RESEND_LIMIT = 2
RESEND_WINDOW_MS = 15 * 60_000


@dataclass(frozen=True)
class Continue:
    """Nothing to do; the job is in this phase."""

    phase: Phase


@dataclass(frozen=True)
class End:
    """The job is over. `text` is what it produced: the answer, or all there is of one."""

    ending: Ending
    text: str | None


@dataclass(frozen=True)
class Stop:
    """The run must be aborted first; then the job ends like this."""

    ending: Ending


@dataclass(frozen=True)
class Resend:
    """The run was lost; sending the same message again resumes it."""

    why: str


@dataclass(frozen=True)
class Reap:
    """A command's shell is gone, and what it left behind holds its output open: end that, and opencode goes on."""


@dataclass(frozen=True)
class Nudge:
    """opencode waits for a command that is gone: abort the run, and ask once to go on. `note` tells the model why."""

    note: str


@dataclass(frozen=True)
class Correct:
    """The answer is there but cannot be used: ask once for a better one. `note` tells the model what is wrong."""

    note: str


@dataclass(frozen=True)
class Answer:
    """Answer this ask on the user's behalf."""

    ask: Ask
    reply: Reply


@dataclass(frozen=True)
class Block:
    """The job waits for the user's answer to this ask."""

    ask: Ask


Verdict = Continue | End | Stop | Resend | Reap | Nudge | Correct | Answer | Block


def judge(job: Job, seen: Observation, now: int) -> Verdict:
    """What to do with `job`, given what is `seen` at `now` (ms). An ended job never changes."""
    if not job.active:
        return Continue(Phase.ENDED)
    for rule in _RULES:
        verdict = rule(job, seen, now)
        if verdict is not None:
            return not_worse(verdict, job, seen) if isinstance(verdict, End) else verdict
    return Continue(_phase(seen))


def produced(seen: Observation) -> str | None:
    """All text that the turn has produced so far, the steps separated by an empty line."""
    return "\n\n".join(step.text for step in seen.steps if step.text.strip()) or None


def not_worse(end: End, job: Job, seen: Observation) -> End:
    """A failure while the model corrects its answer does not take the first answer away."""
    first = _first_answer(job, seen)
    if first is None or end.ending.status not in (Status.FAILED, Status.INCOMPLETE):
        return end
    return End(_COMPLETED, first.text)


def wanted_end(job: Job) -> Ending | None:
    """How the job is to end by a decision of before or by the user's wish, or None."""
    if job.ending is None and job.cancel_requested_at is not None:
        return Ending(Status.CANCELLED, "cancelled", "Cancelled on request.")
    return job.ending


# The rules, in order


def _answered(job: Job, seen: Observation, now: int) -> Verdict | None:
    """The last step is over and has an answer: this wins over any wish to stop, for the answer is there."""
    last = _last(seen)
    if last is None or not _turn_over(job, seen, last) or not _is_answer(last):
        return None
    if job.followup is not None and last.answers_to == job.message_id:
        return None  # see _correction_begins
    if seen.correction and job.followup is None and seen.reachable and not seen.superseded and not wanted_end(job):
        return Correct(seen.correction)
    return End(_COMPLETED, last.text)


def _ending_decided(job: Job, seen: Observation, now: int) -> Verdict | None:
    """The end was decided before (also by an earlier supervisor): stop what still runs, then end."""
    ending = wanted_end(job)
    if ending is None:
        return None
    if seen.reachable and seen.state.kind != "idle":
        return Stop(ending)
    return _end(seen, ending)


def _server_gone(job: Job, seen: Observation, now: int) -> Verdict | None:
    if seen.reachable:
        return None
    return _resend_or(job, seen, now, "The opencode server ended while the job ran")


def _safety_cap(job: Job, seen: Observation, now: int) -> Verdict | None:
    if now - (job.started_at or job.created_at) <= job.limits.prompt_timeout:
        return None
    message = _by_our_limit("The job ran longer than", job.limits.prompt_timeout, "OPENCODE_PROMPT_TIMEOUT_MS")
    return _stop(seen, Ending(Status.FAILED, "timeout", message))


def _correction_begins(job: Job, seen: Observation, now: int) -> Verdict | None:
    """Between asking for a better answer and the first sign of it, the last step is still the first answer."""
    last = _last(seen)
    if last is None or _first_answer(job, seen) is not last or seen.state.kind != "idle":
        return None
    late = now - max(seen.sent_at, seen.idle_since or 0) > START_LIMIT_MS
    return End(_COMPLETED, last.text) if late else Continue(Phase.FINALIZING)


def _asked(job: Job, seen: Observation, now: int) -> Verdict | None:
    """An ask waits for ever and looks like work: answer it by policy, or say what the job is blocked on."""
    for ask in seen.asks:
        reply = reply_to(job, ask)
        if reply is None and now - ask.seen_at > RELAY_LIMIT_MS:
            reply = Reply("reject", f"Nobody answered within {RELAY_LIMIT_MS // 60_000} minutes. Go on without it.")
        if reply is not None:
            return Answer(ask, reply)
    return Block(seen.asks[0]) if seen.asks else None


def _never_started(job: Job, seen: Observation, now: int) -> Verdict | None:
    if seen.steps or seen.state.kind != "idle":
        return None
    waited = now - max(seen.sent_at, seen.idle_since or 0)
    if seen.failure is not None and waited > SETTLE_MS:
        known = classify(seen.failure)
        reason = known.reason if known.reason != "opencode_error" else "not_started"
        return End(Ending(Status.FAILED, reason, known.message), None)
    if waited > START_LIMIT_MS:
        message = "opencode accepted the task but never began; see the server's log in the data folder."
        return End(Ending(Status.FAILED, "not_started", message), None)
    return Continue(Phase.STARTING)


def _unknown_finish_loop(job: Job, seen: Observation, now: int) -> Verdict | None:
    tail = [step.finish for step in seen.steps if step.completed_at is not None][-UNKNOWN_FINISH_LIMIT:]
    if tail != ["unknown"] * UNKNOWN_FINISH_LIMIT:
        return None
    message = (
        "The provider's answers end without a finish reason, so opencode asks again without end. "
        "Check the provider's adapter in opencode.json, or use another --model."
    )
    return _stop(seen, Ending(Status.FAILED, "provider_loop", message))


def _retrying_too_long(job: Job, seen: Observation, now: int) -> Verdict | None:
    if seen.state.kind != "retry":
        return None
    if seen.retrying_since is None or now - seen.retrying_since <= job.limits.request_timeout:
        return Continue(Phase.RETRYING)
    known = classify(Failure("APIError", seen.state.message))
    limit = _by_our_limit("opencode retried for longer than", job.limits.request_timeout, "OPENCODE_REQUEST_TIMEOUT_MS")
    return Stop(Ending(Status.FAILED, known.reason, f"{known.message} {limit}"))


def _sent_again(job: Job, seen: Observation, now: int) -> Verdict | None:
    """Between sending a message again and the first sign of its run, the last step is still the one that was lost."""
    last = _last(seen)
    if last is None or last.created_at >= seen.sent_at or seen.state.kind != "idle":
        return None
    return Continue(Phase.RECOVERING) if now - seen.sent_at <= START_LIMIT_MS else None


def _ended(job: Job, seen: Observation, now: int) -> Verdict | None:
    """The last step is over, with an error or without an answer."""
    last = _last(seen)
    if last is None or not _turn_over(job, seen, last):
        return None
    if last.failure is not None:
        return _failed(seen, last)
    if last.finish == "length":
        return _incomplete(seen, "cut_by_length", "The answer was cut at the model's output limit.")
    if last.finish == "content-filter":
        return _incomplete(seen, "content_filter", "The provider's content filter stopped the answer.")
    if last.finish == "stop":
        return _incomplete(seen, "empty_answer", "The model ended its turn without an answer.")
    if not _settled(seen, now):
        return Continue(Phase.FINALIZING)
    if any(tool.rejected for tool in last.tools):
        message = "A permission was turned down, and opencode ended the turn."
        return _incomplete(seen, "ask_rejected", message)
    if last.finish == "tool-calls" and _may_resend(job, now):
        # opencode always goes on after a tool call.
        return Resend("The opencode server ended between two steps")
    if last.finish is None and not last.text.strip():
        # An abort during a retry leaves a step with an end but neither finish nor error.
        return _end(seen, Ending(Status.CANCELLED, "aborted", "The run was aborted in opencode."))
    message = f"opencode ended the turn without an answer (finish: {last.finish or 'none'})."
    return _incomplete(seen, "no_answer", message)


def _orphaned(job: Job, seen: Observation, now: int) -> Verdict | None:
    """The session is idle but its last step never ended: the server that ran it is gone."""
    last = _last(seen)
    if last is None or seen.state.kind != "idle":
        return None
    if not _settled(seen, now):
        return Continue(Phase.FINALIZING)
    if seen.failure is not None:
        known = classify(seen.failure)
        return _end(seen, Ending(Status.FAILED, known.reason, known.message))
    return _resend_or(job, seen, now, "The run was cut off when its opencode server ended")


def _tool_stuck(job: Job, seen: Observation, now: int) -> Verdict | None:
    """A command's shell is gone but opencode still waits: for those who hold its output, or for nothing at all."""
    if seen.state.kind != "busy" or seen.processless_polls < job.limits.stuck_polls:
        return None
    if seen.holders:
        return Reap()
    running = next((tool for step in seen.steps for tool in step.tools if tool.running), None)
    what = f" ({running.detail})" if running and running.detail else ""
    if job.followup is None:
        return Nudge(
            f"The process of your last command{what} was killed from outside, and its result is lost. "
            "Go on with the task; do not run it again in the same way."
        )
    message = f"A command's process is gone but opencode still waits for it{what}, for the second time."
    return _stop(seen, Ending(Status.FAILED, "tool_stuck", message))


def _idle(job: Job, seen: Observation, now: int) -> Verdict | None:
    if seen.live_children or now - seen.moved_at <= job.limits.idle_timeout:
        return None
    message = _by_our_limit("Nothing happened for", job.limits.idle_timeout, "OPENCODE_IDLE_TIMEOUT_MS")
    if seen.live_children is None:
        message += " Whether a command still ran could not be looked at here."
    return _stop(seen, Ending(Status.FAILED, "idle", message))


_RULES: tuple[Callable[[Job, Observation, int], Verdict | None], ...] = (
    _answered,
    _ending_decided,
    _server_gone,
    _safety_cap,
    _correction_begins,
    _asked,
    _never_started,
    _unknown_finish_loop,
    _retrying_too_long,
    _sent_again,
    _ended,
    _orphaned,
    _tool_stuck,
    _idle,
)


# What the rules share

_COMPLETED = Ending(Status.COMPLETED, "", "")


def _first_answer(job: Job, seen: Observation) -> Step | None:
    """The answer for which a correction was asked."""
    if job.followup is None:
        return None
    return next((step for step in seen.steps if step.answers_to == job.message_id and _is_answer(step)), None)


def _is_answer(step: Step) -> bool:
    return step.finish == "stop" and step.failure is None and bool(step.text.strip())


def _last(seen: Observation) -> Step | None:
    return seen.steps[-1] if seen.steps else None


def _turn_over(job: Job, seen: Observation, last: Step) -> bool:
    """The last step has ended and no further one will come."""
    if last.completed_at is None:
        return False
    if last.finish is None and last.failure is None and job.limits.strict_terminal and not seen.reachable:
        return False
    final = seen.superseded or seen.state.kind == "idle" or not seen.reachable
    return final and (seen.reachable or last.finish == "stop")


def _settled(seen: Observation, now: int) -> bool:
    return seen.idle_since is not None and now - seen.idle_since > SETTLE_MS


def _failed(seen: Observation, last: Step) -> Verdict:
    assert last.failure is not None
    if last.failure.name == "MessageAbortedError":
        return _end(seen, Ending(Status.CANCELLED, "aborted", "The run was aborted in opencode."))
    known = classify(last.failure)
    return _end(seen, Ending(Status.FAILED, known.reason, known.message))


def _incomplete(seen: Observation, reason: str, message: str) -> Verdict:
    return _end(seen, Ending(Status.INCOMPLETE, reason, message))


def _end(seen: Observation, ending: Ending) -> End:
    return End(ending, produced(seen))


def _stop(seen: Observation, ending: Ending) -> Verdict:
    return _end(seen, ending) if seen.state.kind == "idle" else Stop(ending)


def _resend_or(job: Job, seen: Observation, now: int, what: str) -> Verdict:
    if _may_resend(job, now):
        return Resend(what)
    why = "it was resumed twice already" if job.resends >= RESEND_LIMIT else "too long ago to resume it safely"
    message = f"{what}; {why}."
    if not job.is_review:
        message += f" Run `task --resume {job.id}` to go on from where it stood."
    return _end(seen, Ending(Status.FAILED, "server_lost", message))


def _may_resend(job: Job, now: int) -> bool:
    return job.resends < RESEND_LIMIT and now - (job.alive_at or job.created_at) <= RESEND_WINDOW_MS


def _by_our_limit(what: str, limit_ms: int, variable: str) -> str:
    return f"{what} {limit_ms / 1000:g} s ({variable}); raise that variable if the task needs longer."


def _phase(seen: Observation) -> Phase:
    last = _last(seen)
    if last is None:
        return Phase.STARTING
    if any(tool.running for tool in last.tools):
        return Phase.WORKING
    return Phase.ANSWERING if last.text else Phase.INVESTIGATING
