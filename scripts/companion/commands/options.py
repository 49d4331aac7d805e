"""Options that several commands share."""

from __future__ import annotations

import argparse

# Below the 10 minutes after which Claude Code ends a command.
DEFAULT_MAX_WAIT_S = 480.0


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="answer with one JSON object on stdout")


def add_max_wait(parser: argparse.ArgumentParser) -> None:
    """`--max-wait S`."""
    parser.add_argument(
        "--max-wait",
        metavar="S",
        type=seconds,
        default=DEFAULT_MAX_WAIT_S,
        help=f"wait at most S seconds, then end with code 2 while the job goes on (default {DEFAULT_MAX_WAIT_S:g})",
    )


def add_when(parser: argparse.ArgumentParser) -> None:
    """`--background` or `--wait`, and `--max-wait S`."""
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--background", action="store_true", help="print the job's id and return")
    when.add_argument("--wait", action="store_true", help="wait for the end and print the report (the default)")
    add_max_wait(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model P/M`."""
    parser.add_argument("--model", metavar="P/M", type=_model, help="the model, as provider/model")


def _model(text: str) -> str:
    if not all(text.partition("/")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form provider/model, e.g. anthropic/claude-sonnet-4-5"
        )
    return text


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds of 0 or more")
    return value
