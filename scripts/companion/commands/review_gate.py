"""For the review gate's hook: have OpenCode answer the prompt on stdin, and print its answer as JSON.

A hook runs on whatever Python is at hand; this runs as every other command does.
"""

from __future__ import annotations

import argparse
import sys

from companion.context import Context
from companion.errors import CompanionError
from companion.output import EXIT_DONE, show_json
from companion.states import Status
from companion.submit import Request, submit
from companion.waiting import wait_for_end

# Far below the 600 s after which Claude Code ends the hook.
LIMIT_S = 240.0
CHANNEL = "gate"


def configure(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(context: Context, options: argparse.Namespace) -> int:
    """Submit, wait, print `{"answer": …}`. The job is nobody's unread one, however it ends."""
    prompt = sys.stdin.buffer.read().decode("utf-8")
    job = submit(context, Request("review", prompt, title="Review gate: what the turn changed", read_only=True))
    context.store.confirm_delivery(job.id, context.session or "", CHANNEL)
    job = wait_for_end(context, job, LIMIT_S)
    if job.active:
        context.store.request_cancel(job.id)
        raise CompanionError(f"The review took longer than {LIMIT_S:g} s ({job.id}).")
    if job.status is not Status.COMPLETED:
        raise CompanionError(f"The review {job.id} ended without an answer: {job.error_message or job.status.value}")
    show_json({"jobId": job.id, "answer": job.result or ""})
    return EXIT_DONE
