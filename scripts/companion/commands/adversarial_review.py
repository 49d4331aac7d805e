"""Let OpenCode question the changes of this workspace: their design, their assumptions, the ways in which they fail.

FOCUS says what to look at above all, e.g. `the retry logic` or `what happens at a roll-back`; give it as words, or on
stdin with `-`. Everything else is as with `review`.
"""

from __future__ import annotations

import argparse

from companion.commands import review
from companion.commands.task import given_text
from companion.context import Context


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    review.configure(parser)
    parser.add_argument(
        "text", nargs="*", metavar="FOCUS", help="what to look at above all, or - to read it from stdin"
    )


def run(context: Context, options: argparse.Namespace) -> int:
    """Take the change, and have it questioned."""
    return review.review(context, options, "adversarial-review", given_text(options, "focus").strip())
