"""Delegate a task to OpenCode.

By default waits for the answer and prints the report. With --background it prints the job's id, as soon as the job
is on disk, and returns; `wait-and-result`, `status` and `result` follow it up.

The task's text is given as words, in a file, or on stdin with `-`; what follows `--` is text whatever it looks like:

  opencode-companion task --background -- fix the failing test in tests/test_api.py
  opencode-companion task - <<'EOT'
  Text with "quotes", `backticks` and $variables, untouched by the shell.
  EOT
"""

from __future__ import annotations

import argparse
import os
import sys

from companion.commands.options import add_json, add_model, add_when
from companion.context import Context
from companion.errors import CompanionError, UsageError
from companion.jobs import Job
from companion.submit import Request, newest_resumable
from companion.waiting import dispatch


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_when(parser)
    parser.add_argument("--read-only", action="store_true", help="the job may read, but neither edit nor run commands")
    parser.add_argument("--agent", metavar="A", help="OpenCode's agent, e.g. build or plan")
    add_model(parser)
    parser.add_argument("--variant", metavar="V", help="the model's variant, e.g. high")
    session = parser.add_mutually_exclusive_group()
    session.add_argument("--resume-last", action="store_true", help="go on in the session of the newest task here")
    session.add_argument("--resume", metavar="JOB", help="go on in the session of this job")
    session.add_argument("--fresh", action="store_true", help="begin a new session (the default)")
    parser.add_argument("--prompt-file", metavar="F", help="read the task's text from this file")
    parser.add_argument("--title", metavar="T", help="what lists show for the job (default: the text's first line)")
    add_json(parser)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="the task, or - to read it from stdin")


def run(context: Context, options: argparse.Namespace) -> int:
    """Submit, then wait unless told otherwise."""
    request = Request(
        job_type="task",
        text=task_text(options),
        title=options.title,
        read_only=options.read_only,
        agent=options.agent,
        model=options.model,
        variant=options.variant,
        resume=_resumed(context, options),
    )
    return dispatch(context, request, options)


def task_text(options: argparse.Namespace) -> str:
    """The task's text from the words, the file or stdin, byte for byte. UsageError if there is none."""
    if options.prompt_file is None:
        text = given_text(options, "task")
    elif options.text:
        raise UsageError("The task is given twice: as words and with --prompt-file. Use one of them.")
    else:
        try:
            with open(options.prompt_file, "rb") as file:
                text = _decoded(file.read(), "task", options.prompt_file)
        except OSError as error:
            raise CompanionError(f"--prompt-file {options.prompt_file}: {error.strerror}.") from error
    if not text.strip():
        raise UsageError("The task's text is empty: give it as words, with --prompt-file F, or on stdin with -.")
    return text


def given_text(options: argparse.Namespace, what: str) -> str:
    """The text from the words or stdin, byte for byte. `what` it is, for the error message."""
    if options.text == ["-"] and not getattr(options, "literal", False):
        return _decoded(sys.stdin.buffer.read(), what, "stdin")
    return _decoded(b" ".join(os.fsencode(word) for word in options.text), what, "the command line")


def _decoded(data: bytes, what: str, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CompanionError(
            f"The {what} from {source} is not UTF-8 (byte {error.start}); convert it and try again."
        ) from None


def _resumed(context: Context, options: argparse.Namespace) -> Job | None:
    if options.resume is not None:
        job = context.store.find(options.resume)
        if job.opencode_session is None:
            raise CompanionError(
                f"{job.id} never got an OpenCode session, so there is nothing to resume; leave --resume out."
            )
        return job
    if options.resume_last:
        newest = newest_resumable(context)
        if newest is None:
            raise CompanionError("There is no earlier task here whose session could go on; leave --resume-last out.")
        return newest
    return None
