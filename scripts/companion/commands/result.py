"""Print the stored answer of a job that has ended. Works offline and without opencode.

Without JOB: the newest job of this session (in a plain terminal: of this workspace) that has ended.
"""

from __future__ import annotations

import argparse

from companion.commands.options import add_json
from companion.context import Context
from companion.healing import revive
from companion.output import EXIT_DONE, show, show_json
from companion.waiting import hand_over


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="the job's id, or the beginning of it")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Find the job and hand its report over."""
    if options.job is not None:
        job = context.store.find(options.job)
        if job.active:
            revive(context, job.workspace)
            job = context.store.get(job.id) or job
        return hand_over(context, job, options.json, "result")
    revive(context, context.workspace)
    ended = context.store.jobs(workspace=context.workspace, claude_session=context.session, active=False, limit=1)
    if ended:
        return hand_over(context, ended[0], options.json, "result")
    if options.json:
        show_json({"workspaceRoot": context.workspace, "job": None})
    else:
        show(f"No job has ended here yet. See what runs: {context.command('status')}")
    return EXIT_DONE
