"""Wait for a job to end and print its report.

Ends with exit code 0 once the job has ended, whatever its end, and with 2 if it goes on: then call it again. Ending
this command does not end the job.
"""

from __future__ import annotations

import argparse

from companion.commands.options import add_json, add_max_wait
from companion.context import Context
from companion.waiting import hand_over, wait_for_end


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("job", metavar="JOB", help="the job's id, or the beginning of it")
    add_max_wait(parser)
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Wait, then hand over."""
    job = wait_for_end(context, context.store.find(options.job), options.max_wait)
    return hand_over(context, job, options.json, "wait-and-result")
