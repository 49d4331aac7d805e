"""Reconcile the records with reality: carry on, or end with the truth, every job that nobody drives any more.

`status` and `result` do the same silently; this waits for the outcome and says it.
"""

from __future__ import annotations

import argparse

from companion.commands.options import add_json
from companion.context import Context
from companion.healing import heal
from companion.output import EXIT_DONE, EXIT_ERROR, show, show_json, tell


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--all", action="store_true", help="the jobs of every workspace")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Heal and tell."""
    outcome = heal(context, options.all, options.dry_run)
    if options.json:
        actions = [
            {"jobId": action.job_id, "from": action.before, "to": action.after, "reason": action.reason}
            for action in outcome.actions
        ]
        show_json({"dryRun": options.dry_run, "scanned": outcome.scanned, "actions": actions})
    else:
        lines = [action.sentence for action in outcome.actions]
        show("\n".join(lines) or f"Everything is as recorded ({outcome.scanned} jobs looked at).")
    if outcome.trouble:
        tell(outcome.trouble)
        return EXIT_ERROR
    return EXIT_DONE
