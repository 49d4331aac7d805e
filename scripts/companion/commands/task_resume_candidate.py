"""Show which OpenCode session `task --resume-last` would continue."""

from __future__ import annotations

import argparse

from companion.commands.options import add_json
from companion.context import Context
from companion.healing import revive
from companion.output import EXIT_DONE, show, show_json
from companion.submit import newest_resumable


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Find it and show it."""
    revive(context, context.workspace)
    job = newest_resumable(context)
    if options.json:
        show_json(
            {
                "available": job is not None,
                "jobId": job.id if job else None,
                "opencodeSessionId": job.opencode_session if job else None,
            }
        )
    elif job is None:
        show("No earlier task here has a session that could go on.")
    else:
        show(f"{job.id} ({job.title}), OpenCode session {job.opencode_session}")
    return EXIT_DONE
