"""The prompts of reviews: files with places to fill, filled in one pass. What is put in is never read as a place."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable

from companion.review.change import INLINE_BYTES, Change

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_PLACE = re.compile(r"\{\{([A-Z]+)\}\}")
# How much of a change's list of files is shown; names may be 4,096 bytes long.
LISTED_FILES = 300
LISTED_CHARS = 40_000
LISTED_PATH_CHARS = 500


def review_prompt(kind: str, change: Change, folder: str | None, focus: str) -> str:
    """The prompt of a `review` or an `adversarial-review`. `folder` holds the patches if they are not to be pasted."""
    prompt = fill(
        kind,
        TARGET=f"{change.label}, {change.summary}",
        CHANGE=_inline(change) if folder is None else _overview(change, folder),
        FOCUS=f"- The person who asked wants you to look at this above all:\n\n{framed('FOCUS', focus)}\n"
        if focus
        else "",
        FORM=fill("form", SCHEMA=json.dumps(schema(), indent=1)),
    )
    return _sendable(prompt)


def gate_prompt(change: Change, said: str) -> str:
    """The prompt of the review gate: the change, bounded, and what the agent has said about it."""
    whole = "".join(change.patches)
    shown = whole if len(whole) <= INLINE_BYTES else f"{whole[:INLINE_BYTES]}\n(cut here: {len(whole):,} characters)"
    prompt = fill(
        "gate",
        TARGET=f"{change.label}, {change.summary}",
        CHANGE=framed("CHANGE", shown),
        SAID=f"\nWhat the agent says about it:\n\n{framed('MESSAGE', said)}\n" if said.strip() else "",
    )
    return _sendable(prompt)


def correction_prompt(problems: Iterable[str]) -> str:
    """Asks for the same answer again, without what is wrong with it."""
    return fill("correction", PROBLEMS="\n".join(f"- {problem}" for problem in problems))


def fill(name: str, **values: str) -> str:
    """The prompt file `name` with its places filled."""
    with open(os.path.join(_FOLDER, "prompts", f"{name}.md"), encoding="utf-8") as file:
        return _PLACE.sub(lambda place: values[place[1]], file.read()).strip()


def framed(what: str, text: str) -> str:
    """The text between two marks that it cannot contain."""
    mark = secrets.token_hex(8)
    return f"=== {what} {mark} begins ===\n{text.rstrip()}\n=== {what} {mark} ends ==="


def schema() -> dict[str, object]:
    """The JSON Schema of findings."""
    with open(os.path.join(_FOLDER, "findings.schema.json"), encoding="utf-8") as file:
        found: dict[str, object] = json.load(file)
    return found


def _sendable(prompt: str) -> str:
    """File names need not be UTF-8, but what is stored and sent must."""
    return prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _inline(change: Change) -> str:
    return framed("CHANGE", "".join(change.patches) + _left_out(change))


def _overview(change: Change, folder: str) -> str:
    rows, room = [], LISTED_CHARS
    for file in change.files[:LISTED_FILES]:
        was = f" (was {file.old_path})" if file.old_path else ""
        row = f"{file.kind} {file.path}{was}{_counts(file.added, file.removed)}"
        room -= len(row)
        if room < 0:
            break
        rows.append(row)
    if len(rows) < len(change.files):
        rows.append(f"… and {len(change.files) - len(rows)} more")
    return (
        f"The change is too large to be shown here whole ({change.size:,} bytes). These are its files:\n\n"
        f"{framed('FILES', chr(10).join(rows) + _left_out(change))}\n\n"
        f"The patch of each file is a file of its own in this folder, in the same order; read and search them there, "
        f"the riskiest first, and say in your summary what you did not look at:\n\n{folder}"
    )


def _counts(added: int | None, removed: int | None) -> str:
    return " binary" if added is None or removed is None else f" +{added} −{removed}"


def _left_out(change: Change) -> str:
    if not change.skipped:
        return ""
    shown = [repr(path[:LISTED_PATH_CHARS]) for path in change.skipped[:20]] + (
        ["…"] if len(change.skipped) > 20 else []
    )
    return f"\n\nNot shown, because they are too large or cannot be read: {', '.join(shown)}"
