"""Writes a new job down and makes sure that somebody works on it."""

from __future__ import annotations

from typing import NamedTuple

from companion.context import Context
from companion.errors import CompanionError
from companion.jobs import Job, new_job_id, now_ms
from companion.states import Phase, Status
from companion.supervisor.spawn import ensure_supervisor

TITLE_CHARS = 60


class Request(NamedTuple):
    """What a new job is to do.

    `resume`: the job whose OpenCode session goes on; `review_target`: what a review looks at, whose answer is checked.
    """

    job_type: str
    text: str
    title: str | None = None
    read_only: bool = False
    agent: str | None = None
    model: str | None = None
    variant: str | None = None
    resume: Job | None = None
    review_target: str | None = None


def submit(context: Context, request: Request) -> Job:
    """The new job, durable, with a supervisor to drive it. CompanionError where it could never be done."""
    resume = request.resume
    if resume is not None:
        _check_resumable(context, resume)
    url = server_of(context)
    now = now_ms()
    job = Job(
        id=new_job_id(request.job_type),
        type=request.job_type,
        workspace=context.workspace,
        server=url,
        claude_session=context.session,
        status=Status.QUEUED,
        phase=Phase.QUEUED.value,
        prompt=request.text,
        title=_title(request),
        limits=context.settings.limits,
        permissions=context.settings.text("OPENCODE_COMPANION_PERMISSIONS"),
        read_only=request.read_only,
        created_at=now,
        updated_at=now,
        agent=request.agent,
        model=request.model,
        variant=request.variant,
        resume_of=resume.id if resume else None,
    )
    context.store.add(job, request.review_target)
    ensure_supervisor(context.data_dir, job.workspace, job.server)
    return job


def server_of(context: Context) -> str:
    """The server that new jobs go to, empty for the managed one. CompanionError where there is no usable opencode."""
    url = context.server_url
    if url:
        username = context.settings.text("OPENCODE_SERVER_USERNAME")
        context.store.save_credentials(url, username, context.settings.text("OPENCODE_SERVER_PASSWORD"))
    else:
        from companion.opencode import binary

        binary.require(context.env, context.data_dir, context.store)
    return url


def newest_resumable(context: Context) -> Job | None:
    """The newest ended task of this workspace, and of this Claude session if there is one, that has a session."""
    for job in context.store.jobs(workspace=context.workspace, claude_session=context.session, active=False, limit=50):
        if job.type == "task" and job.opencode_session:
            return job
    return None


def _check_resumable(context: Context, resume: Job) -> None:
    if resume.workspace != context.workspace:
        raise CompanionError(f"{resume.id} belongs to {resume.workspace}; run this there, or with --cwd.")
    for job in context.store.jobs(workspace=context.workspace, active=True):
        if job.id == resume.id or (job.opencode_session and job.opencode_session == resume.opencode_session):
            raise CompanionError(f"{job.id} still works in that session; wait for it or cancel it first.")


def _title(request: Request) -> str:
    line = " ".join((request.title or request.text.strip().splitlines()[0]).split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
