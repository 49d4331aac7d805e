"""Show what running jobs wait for, and answer it.

  opencode-companion permissions                                   what is waited for, with the command that answers
  opencode-companion permissions reply per_1a2b once               allow it, this time
  opencode-companion permissions reply per_1a2b reject --message "use the staging host instead"
  opencode-companion permissions reply que_3c4d once --message "Postgres"      answer a question

Jobs ask only under OPENCODE_COMPANION_PERMISSIONS=relay. REQUEST is an id or the beginning of one.
"""

from __future__ import annotations

import argparse

from companion.commands.options import add_json
from companion.context import Context
from companion.errors import CompanionError, UsageError
from companion.healing import revive, wait_until
from companion.jobs import Blocked, Job
from companion.output import EXIT_DONE, show, show_json
from companion.report import reply_command
from companion.supervisor.spawn import ensure_supervisor

LIMIT_S = 5.0
ONCE, REJECT = "once", "reject"
# A reject that says nothing would end the whole turn.
REJECT_MESSAGE = "The user turned this down. Go on without it, and say so in your answer."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    words = parser.add_argument_group("words")
    words.add_argument("action", nargs="?", choices=("list", "reply"), default="list", help="list is the default")
    words.add_argument("request", nargs="?", metavar="REQUEST", help="what to answer: its id, or the beginning of it")
    words.add_argument("answer", nargs="?", choices=(ONCE, REJECT), help="the answer")
    parser.add_argument("--message", metavar="M", help="what the job is told along with it")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """List or reply."""
    if options.action == "list":
        if options.request is not None or options.message is not None:
            raise UsageError(
                "`permissions list` takes no more words; to answer: permissions reply REQUEST once|reject."
            )
        return _list(context, options.json)
    if options.request is None or options.answer is None:
        raise UsageError("Say which request and the answer: permissions reply REQUEST once|reject.")
    return _reply(context, options)


def _list(context: Context, as_json: bool) -> int:
    revive(context, context.workspace)
    blocked = [job for job in context.store.jobs(workspace=context.workspace, active=True) if job.blocked]
    if as_json:
        requests = [{**_shown(job.blocked), "jobId": job.id} for job in blocked if job.blocked]
        show_json({"workspaceRoot": context.workspace, "requests": requests})
        return EXIT_DONE
    lines = []
    for job in blocked:
        assert job.blocked is not None
        lines += [f"{job.blocked.request_id}  {job.id}  {job.blocked.kind}: {job.blocked.summary}"]
        lines += [f"  {line}" for line in _commands(context, job.blocked)]
    show("\n".join(lines) or "No job here waits for an answer.")
    return EXIT_DONE


def _reply(context: Context, options: argparse.Namespace) -> int:
    job, blocked = _find(context, options.request)
    message = options.message
    if options.answer == REJECT and not message:
        message = REJECT_MESSAGE
    if blocked.kind == "question" and not message:
        raise UsageError(f"{blocked.request_id} is a question ({blocked.summary}): answer it with --message TEXT.")
    # opencode has no "no" to a question that lets the turn go on: the refusal is its answer.
    answer = ONCE if blocked.kind == "question" else options.answer
    fresh = context.store.reply(blocked.request_id, job.id, answer, message)
    ensure_supervisor(context.data_dir, job.workspace, job.server)
    passed_on = wait_until(context, lambda: _unblocked(context, job.id, blocked.request_id), LIMIT_S)
    if options.json:
        show_json({"requestId": blocked.request_id, "jobId": job.id, "recorded": fresh, "passedOn": passed_on})
    elif not passed_on:
        show(f"The answer is stored, and {job.id} gets it as soon as it can: {context.command('status', job.id)}")
    elif not fresh:
        show(f"{job.id} had an answer already, and goes on with that one.")
    else:
        show(f"{job.id} has the answer and goes on: {context.command('wait-and-result', job.id)}")
    return EXIT_DONE


def _find(context: Context, reference: str) -> tuple[Job, Blocked]:
    """The blocked job, wherever it is, whose request's id is `reference`, or alone begins with it."""
    pending = [(job, job.blocked) for job in context.store.jobs(active=True) if job.blocked]
    exact = [entry for entry in pending if entry[1].request_id == reference]
    found = exact or [entry for entry in pending if entry[1].request_id.startswith(reference)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{blocked.request_id} ({job.id})" for job, blocked in (found or pending)[:5])
    if found:
        raise CompanionError(f"Several requests begin with {reference!r}: {names}. Give more of the id.")
    hint = f"Jobs wait for: {names}." if names else "No job waits for an answer."
    raise CompanionError(f"No request {reference!r}. {hint}")


def _unblocked(context: Context, job_id: str, request_id: str) -> bool:
    job = context.store.get(job_id)
    return job is None or not job.active or job.blocked is None or job.blocked.request_id != request_id


def _commands(context: Context, blocked: Blocked) -> list[str]:
    reject = context.command("permissions", "reply", blocked.request_id, REJECT)
    return [reply_command(blocked, context.command), reject]


def _shown(blocked: Blocked) -> dict[str, str]:
    return {"requestId": blocked.request_id, "kind": blocked.kind, "summary": blocked.summary}
