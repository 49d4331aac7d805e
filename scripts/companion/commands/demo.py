"""Try the whole path on this machine, with no account and no cost.

A real opencode (yours, or one installed from npm into the data folder) works on a real file in a throwaway
repository. Only the model is scripted: a small server that ships with this plugin plays it, on this machine.
"""

from __future__ import annotations

import argparse
import time

from companion.context import Context
from companion.output import EXIT_DONE, EXIT_ERROR, show
from companion.report import duration, report
from companion.states import Status


def configure(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(context: Context, options: argparse.Namespace) -> int:
    """Take the tour and show it."""
    from companion.demo.tour import TASK, take_tour
    from companion.opencode import binary
    from companion.opencode.install import install

    began = time.monotonic()

    def tell(line: str) -> None:
        show(f"[{time.monotonic() - began:5.1f} s] {line}")

    try:
        opencode = binary.require(context.env, context.data_dir, context.store)
    except binary.NoOpenCode:
        if context.env.get("OPENCODE_BIN"):
            raise
        tell("There is no opencode on this machine yet.")
        opencode = install(context.data_dir, tell)
    tell(f"opencode is {opencode}")
    tell(f"The task: {TASK}")
    outcome = take_tour(context, opencode, tell)
    took = duration(int((time.monotonic() - began) * 1000))
    done = outcome.job.status is Status.COMPLETED and bool(outcome.diff)
    tell(f"The job ended: {outcome.job.status.value}, after {outcome.model_requests} requests to the model.")
    show(f"\n{report(outcome.job, context.command)}\n\nWhat it changed:\n\n{outcome.diff or '(nothing)'}")
    show("")
    if done:
        show(f"The whole path works, in {took}. Nothing keeps running. Your first own task:")
        show(f"  {context.command('task', '--', 'what you want done')}")
    else:
        show(f"The demo did not end as it should, after {took}. See what is amiss: {context.command('doctor')}")
    return EXIT_DONE if done else EXIT_ERROR
