"""What people and Claude read of jobs: the report, the status list, and the small words in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from companion.jobs import Blocked, Job, now_ms
from companion.states import Status

ANSWER_PLACEHOLDER = "your answer"
PARTIAL_NOTE = "Produced until then:"


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


def running(job: Job, command: Callable[..., str]) -> str:
    """What there is to say of a job that has not ended, in markdown."""
    lines = [f"## Job: {job.id}", f"Status: {job.status.value} · {describe(job)}"]
    if job.blocked:
        lines.append(f"Waits for an answer: {reply_command(job.blocked, command)}")
    lines.append(f"Wait for it: {command('wait-and-result', job.id)}")
    return "\n".join(lines)


def describe(job: Job) -> str:
    """A running job in a few words: what it does now, how long it runs, what it used."""
    words = [now_doing(job), f"for {short_duration(job.elapsed_ms)}", f"{tokens_and_cost(job)}"]
    return " · ".join(words)


def now_doing(job: Job) -> str:
    """What opencode does right now, e.g. `bash: npm test (3s ago)`."""
    if job.blocked:
        return f"blocked on a {job.blocked.kind}: {job.blocked.summary}"
    if job.activity is None:
        return job.phase
    what = f"{job.activity.tool}: {job.activity.detail}" if job.activity.detail else job.activity.tool
    return f"{what} ({short_duration(now_ms() - job.activity.at)} ago)"


def status_list(workspace: str, active: Sequence[Job], ended: Sequence[Job], command: Callable[..., str]) -> str:
    """The overview that `status` shows: running jobs with what they do, then the latest ended ones."""
    if not active and not ended:
        return f"No jobs in {workspace} yet. Start one: {command('task', '--background', '--', 'what to do')}"
    lines = [f"Jobs in {workspace}"]
    for job in active:
        lines += ["", f"- {job.id}  {job.status.value}  {job.title}", f"  {describe(job)}"]
        if job.blocked:
            lines.append(f"  Answer it: {reply_command(job.blocked, command)}")
    if active:
        lines += ["", f"Wait for one: {command('wait-and-result', active[0].id)}"]
    if ended:
        lines += ["", "Ended:"]
        width = max(len(job.status.value) for job in ended)
        for job in ended:
            age = short_duration(now_ms() - (job.completed_at or job.updated_at))
            reason = f" ({job.reason})" if job.reason else ""
            lines.append(f"- {job.id}  {job.status.value:<{width}}  {age:>3} ago  {job.title}{reason}")
        lines += ["", f"Read one: {command('result', ended[0].id)}"]
    return "\n".join(lines)


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
