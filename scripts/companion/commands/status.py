"""Show the jobs of this workspace: what each running one does right now, and the latest that have ended.

Inside Claude Code only this session's jobs are shown, unless --all is given. With JOB, that job alone.
"""

from __future__ import annotations

import argparse
import base64
import shlex
import shutil

from companion import terminal
from companion.commands.options import add_json
from companion.context import Context
from companion.healing import revive
from companion.jobs import Job, job_json
from companion.output import EXIT_DONE, show, show_json
from companion.report import Hint, hints, report, running, status_list

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
        return EXIT_DONE
    look = next((ways for ways in (look_into(context, job) for job in active) if ways), [])
    panel = terminal.panel(context.data_dir)
    if panel is None or not (active or ended):
        show(status_list(workspace, active, ended, context.command, look))
    else:
        panel.print_overview(panel.Place(workspace, active, ended), hints(active, ended, context.command, look))
    return EXIT_DONE


def look_into(context: Context, job: Job) -> list[Hint]:
    """How to look into a job's session in opencode itself; empty where there is no session or no opencode yet.

    For a managed server this is an opencode of one's own on the same session: it needs no password, and works also
    when the server has gone. It shows the session as it stands, and does not follow it.
    """
    session = job.opencode_session
    if session is None:
        return []
    if job.server:
        address = without_login(job.server)
        folder = base64.urlsafe_b64encode(job.workspace.encode("utf-8", "surrogateescape")).decode().rstrip("=")
        attach = shlex.join(["opencode", "attach", address, "--session", session, "--dir", job.workspace])
        return [
            Hint("Look into it in opencode", attach),
            Hint("In a browser", f"{address}/{folder}/session/{session}"),
        ]
    from companion.opencode import binary

    try:
        program = binary.find(context.env, context.data_dir)
    except binary.NoOpenCode:
        return []
    if program == shutil.which("opencode", path=context.env.get("PATH")):
        program = "opencode"
    return [Hint("Look into it in opencode", shlex.join([program, job.workspace, "-s", session]))]


def without_login(url: str) -> str:
    """The address without a user name and password in it."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _one(context: Context, options: argparse.Namespace) -> int:
    job = context.store.find(options.job)
    if job.active:
        revive(context, job.workspace)
        job = context.store.get(job.id) or job
    if options.json:
        show_json({"workspaceRoot": job.workspace, "job": job_json(job)})
    elif not job.active:
        show(report(job, context.command))
    else:
        look, panel = look_into(context, job), terminal.panel(context.data_dir)
        if panel is None:
            show(running(job, context.command, look))
        else:
            panel.print_details(job, hints([job], [], context.command, look))
    return EXIT_DONE
