"""What people and Claude read of jobs: the report, the status list, and the small words in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from companion.jobs import Blocked, Job, now_ms
from companion.plaintext import fit, flat, width
from companion.states import Status

ANSWER_PLACEHOLDER = "your answer"
PARTIAL_NOTE = "Produced until then:"
# A job's latest steps in the plain list take at most so many columns.
STEPS_COLUMNS = 90
STEP_MARK = " › "


class Hint(NamedTuple):
    """A command, or an address, and what it is good for. `urgent`: a job waits for it."""

    purpose: str
    command: str
    urgent: bool = False


def duration(ms: int) -> str:
    """A length of time, e.g. `850 ms`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
    seconds = ms // 1000
    if ms < 1000:
        return f"{max(0, ms)} ms"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def short_duration(ms: int) -> str:
    """A length of time in one unit, e.g. `3s`, `12m`, `5h`, `2d`."""
    seconds = max(0, ms) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def compact_duration(ms: int) -> str:
    """A length of time in at most two units, e.g. `7s`, `12m30s`, `2h05m`, `3d4h`."""
    minutes, seconds = divmod(max(0, ms) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


def short_count(number: int) -> str:
    """A number in at most five characters, e.g. `850`, `12.3k`, `4.5M`."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number // (size // 10) / 10:.1f}{unit}"
    return str(number)


def tokens_and_cost(job: Job) -> str:
    """The tokens of a job and, where the provider tells, their cost, e.g. `1,200 in, 300 out, $0.0120`."""
    tokens = job.tokens
    words = [f"{tokens.input:,} in", f"{tokens.output:,} out"]
    if tokens.reasoning:
        words.append(f"{tokens.reasoning:,} reasoning")
    if tokens.cache_read:
        words.append(f"{tokens.cache_read:,} cached")
    if job.cost:
        words.append(f"${job.cost:.4f}")
    return ", ".join(words)


def report(job: Job, command: Callable[..., str]) -> str:
    """The report of an ended job, in markdown. `command` builds a command line of this program.

    The answer stands in it byte for byte.
    """
    state = job.status.value + (" (recovered after a crash)" if job.recovered else "")
    lines = [
        f"## Job: {job.id}",
        f"Status: {state} · Session: {job.opencode_session or 'none'} · Model: {job.model or 'default'}",
        f"Duration: {duration(job.elapsed_ms)} · Tokens: {tokens_and_cost(job)}",
        "",
    ]
    if job.status is Status.COMPLETED:
        text = "\n".join(lines) + f"\n{job.result or ''}"
    else:
        lines.append(f"**{_headline(job)}** {job.error_message or ''}".rstrip())
        lines.append(f"Reason: `{job.reason or 'unknown'}`. Next: {_next_step(job, command)}")
        text = "\n".join(lines)
        if job.result:
            text += f"\n\n{PARTIAL_NOTE}\n\n{job.result}"
    if job.files:
        text += "\n\nChanged files:\n" + "\n".join(f"- {path}" for path in job.files)
    return text


def reply_command(blocked: Blocked, command: Callable[..., str]) -> str:
    """The command that answers what a job is blocked on; a question's answer is still to be filled in."""
    answer = ("once", "--message", ANSWER_PLACEHOLDER) if blocked.kind == "question" else ("once",)
    return command("permissions", "reply", blocked.request_id, *answer)


def running(job: Job, command: Callable[..., str], look: Sequence[Hint] = ()) -> str:
    """What there is to say of a job that has not ended, in markdown. `look`: how to look into its session."""
    lines = [f"## Job: {job.id}", f"Status: {job.status.value} · {describe(job)}"]
    trail = steps(job, STEPS_COLUMNS)
    if trail != what_it_does(job):
        lines.append(f"Steps: {trail}")
    if job.blocked:
        lines.append(f"Waits for an answer: {reply_command(job.blocked, command)}")
    lines.append(f"Wait for it: {command('wait-and-result', job.id)}")
    return "\n".join([*lines, *_shown(look)])


def describe(job: Job) -> str:
    """A running job in a few words: what it does now, how long it runs, what it used."""
    words = [now_doing(job), f"for {short_duration(job.elapsed_ms)}", f"{tokens_and_cost(job)}"]
    return " · ".join(words)


def now_doing(job: Job) -> str:
    """What opencode does right now, e.g. `bash: npm test (3s ago)`."""
    if job.blocked:
        return f"blocked on a {waits_for(job.blocked)}"
    return what_it_does(job) + _age(job)


def waits_for(blocked: Blocked) -> str:
    """What a job is blocked on, e.g. `permission: bash: rm -rf build`."""
    return f"{blocked.kind}: {flat(blocked.summary)}"


def what_it_does(job: Job) -> str:
    """The last thing that opencode did for a job, e.g. `bash: npm test`; before there is any, the job's phase."""
    if job.activity is None:
        return job.phase
    return flat(f"{job.activity.tool}: {job.activity.detail}" if job.activity.detail else job.activity.tool)


def steps(job: Job, columns: int) -> str:
    """The last thing that opencode did, and before it as many of the steps that led there as have room.

    E.g. `read: api.py › edit: api.py › bash: npm test`.
    """
    trail = fit(what_it_does(job), columns)
    earlier = [flat(step) for step in job.progress]
    if earlier[-1:] == [what_it_does(job)]:
        earlier.pop()
    while earlier:
        longer = earlier.pop() + STEP_MARK + trail
        if width(longer) > columns:
            break
        trail = longer
    return trail


def status_list(
    workspace: str,
    active: Sequence[Job],
    ended: Sequence[Job],
    command: Callable[..., str],
    look: Sequence[Hint] = (),
) -> str:
    """The overview that `status` shows: running jobs with what they do, then the latest ended ones.

    `look`: how to look into the session of one of them.
    """
    if not active and not ended:
        return nothing_yet(workspace, command)
    lines = [f"Jobs in {workspace}"]
    size = max((len(job.status.value) for job in active), default=0)
    for job in active:
        lines += ["", f"- {job.id}  {job.status.value:<{size}}  {flat(job.title)}"]
        if job.blocked:
            lines += [f"  {describe(job)}", f"  Answer it: {reply_command(job.blocked, command)}"]
        else:
            used = f"for {short_duration(job.elapsed_ms)} · {tokens_and_cost(job)}"
            lines.append(f"  {steps(job, STEPS_COLUMNS)}{_age(job)} · {used}")
    following = _shown([*_wait(active, command), *look])
    if following:
        lines += ["", *following]
    if ended:
        lines += ["", "Ended:"]
        size = max(len(job.status.value) for job in ended)
        for job in ended:
            age = short_duration(now_ms() - (job.completed_at or job.updated_at))
            reason = f" ({job.reason})" if job.reason else ""
            lines.append(f"- {job.id}  {job.status.value:<{size}}  {age:>3} ago  {flat(job.title)}{reason}")
        lines += ["", f"Read one: {command('result', ended[0].id)}"]
    return "\n".join(lines)


def nothing_yet(workspace: str, command: Callable[..., str]) -> str:
    """What to say of a workspace without jobs."""
    return f"No jobs in {workspace} yet. Start one: {command('task', '--background', '--', 'what to do')}"


def hints(
    active: Sequence[Job], ended: Sequence[Job], command: Callable[..., str], look: Sequence[Hint] = ()
) -> list[Hint]:
    """What a person may want to do next with these jobs: what is urgent first."""
    found = [
        Hint(f"Answer {job.id}", reply_command(job.blocked, command), urgent=True) for job in active if job.blocked
    ]
    found += [*_wait(active, command), *look]
    if ended:
        found.append(Hint("Read one", command("result", ended[0].id)))
    return found


def _wait(active: Sequence[Job], command: Callable[..., str]) -> list[Hint]:
    """How to wait for the newest job that does not wait for an answer itself."""
    going = [job for job in active if not job.blocked]
    return [Hint("Wait for one", command("wait-and-result", going[0].id))] if going else []


def _age(job: Job) -> str:
    return f" ({short_duration(now_ms() - job.activity.at)} ago)" if job.activity else ""


def _shown(hints: Sequence[Hint]) -> list[str]:
    return [f"{hint.purpose}: {hint.command}" for hint in hints]


def _headline(job: Job) -> str:
    return {
        Status.FAILED: "The job failed.",
        Status.CANCELLED: "The job was cancelled.",
        Status.INCOMPLETE: "The job ended without a complete answer.",
    }.get(job.status, "")


def _next_step(job: Job, command: Callable[..., str]) -> str:
    if job.is_review:
        return f"mend the cause, then ask for the review again: {command(job.type)}"
    if job.opencode_session and job.status is not Status.COMPLETED:
        return f"{command('task', '--resume', job.id, '--', 'go on')}"
    return f"mend the cause, then run the task again; {command('doctor')} checks the installation."
