"""Show the jobs of this workspace: what each running one does right now, and the latest that have ended.

Inside Claude Code only this session's jobs are shown, unless --all is given. With JOB, that job alone.
"""

from __future__ import annotations

import argparse

from companion.commands.options import add_json
from companion.context import Context
from companion.healing import revive
from companion.jobs import job_json
from companion.output import EXIT_DONE, show, show_json
from companion.report import report, running, status_list

RECENT = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="the job's id, or the beginning of it")
    parser.add_argument("--all", action="store_true", help="every Claude session's jobs of this workspace")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Read the store and show it."""
    if options.job is not None:
        return _one(context, options)
    workspace, session = context.workspace, None if options.all else context.session
    revive(context, workspace)
    active = context.store.jobs(workspace=workspace, claude_session=session, active=True)
    ended = context.store.jobs(workspace=workspace, claude_session=session, active=False, limit=RECENT)
    if options.json:
        show_json(
            {
                "workspaceRoot": workspace,
                "running": [job_json(job) for job in active],
                "latestFinished": job_json(ended[0]) if ended else None,
                "recent": [job_json(job) for job in ended],
            }
        )
    else:
        show(status_list(workspace, active, ended, context.command))
    return EXIT_DONE


def _one(context: Context, options: argparse.Namespace) -> int:
    job = context.store.find(options.job)
    if job.active:
        revive(context, job.workspace)
        job = context.store.get(job.id) or job
    if options.json:
        show_json({"workspaceRoot": job.workspace, "job": job_json(job)})
    elif job.active:
        show(running(job, context.command))
    else:
        show(report(job, context.command))
    return EXIT_DONE
