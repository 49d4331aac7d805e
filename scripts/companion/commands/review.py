"""Let OpenCode review the changes of this workspace; it can read the repository, and nothing else.

Reviewed is the working tree (staged, unstaged and new files) against HEAD, or with --base against where it left that
branch, tag or commit. What is reviewed is fixed when the command is given: what changes afterwards is not mixed in.
The findings are checked against it; a change of more than 150,000 bytes is given as a list of files whose patches the
job reads by itself.

--estimate starts nothing and says how large the change is.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from companion.commands.options import add_json, add_model, add_when
from companion.context import Context
from companion.output import EXIT_DONE, show, show_json
from companion.submit import Request, server_of
from companion.waiting import dispatch

if TYPE_CHECKING:
    from companion.review.change import Change

# Up to here a review is so short that waiting for it is best.
SMALL_FILES = 3
SMALL_BYTES = 12_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--base", metavar="REF", help="compare with where the working tree left this branch or commit")
    add_when(parser)
    add_model(parser)
    parser.add_argument("--estimate", action="store_true", help="say how large the change is, and start nothing")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Take the change, and have it reviewed."""
    return review(context, options, "review", "")


def review(context: Context, options: argparse.Namespace, kind: str, focus: str) -> int:
    """A review of the given kind, or its estimate."""
    from companion.review.change import take, write_patches
    from companion.review.prompt import review_prompt
    from companion.review.target import dumped, target_of

    change = take(context.workspace, context.data_dir, options.base)
    if not change.files:
        return _nothing(context, options, change)
    what = f"{change.label}, {change.summary}"
    if options.estimate:
        small = len(change.files) <= SMALL_FILES and change.size <= SMALL_BYTES
        how = "--wait" if small else "--background"
        if options.json:
            show_json({"target": what, "files": len(change.files), "bytes": change.size, "recommended": how[2:]})
        else:
            show(f"{what}, {change.size:,} bytes of patches. Recommended: {how}")
        return EXIT_DONE
    server_of(context)  # nothing is written down for a job that could never be done
    folder = None if change.inline else write_patches(change, context.data_dir)
    request = Request(
        job_type=kind,
        text=review_prompt(kind, change, folder, focus),
        title=f"{kind.replace('-', ' ')} of the {change.label}",
        read_only=True,
        model=options.model,
        review_target=dumped(target_of(change, folder)),
    )
    return dispatch(context, request, options)


def _nothing(context: Context, options: argparse.Namespace, change: Change) -> int:
    against = f"where it left {options.base}" if options.base is not None else "HEAD"
    why = f"Nothing to review: the working tree is the same as {against}."
    if change.skipped:
        why += f" Not looked at, because too large or unreadable: {', '.join(map(repr, change.skipped[:20]))}."
    if options.json:
        show_json({"jobId": None, "status": "nothing_to_review", "workspaceRoot": context.workspace, "message": why})
    else:
        show(why)
    return EXIT_DONE
