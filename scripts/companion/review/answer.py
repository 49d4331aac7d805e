"""What a review's answer is worth: read leniently, checked strictly, shown truthfully.

The answer should be one JSON object of `findings.schema.json`. What models do around that (a code fence, a sentence
before, numbers as text) is put right here; what is wrong in it (a missing field, a line that does not exist) is told to
the model once, and after that to the reader.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from companion.review.prompt import schema
from companion.review.target import Target

SEVERITIES = ("critical", "high", "medium", "low")
# How many places of an answer are tried as the beginning of the object.
_TRIES = 200
_SHOWN_PROBLEMS = 12
# What could be the beginning of one; a brace of code seldom looks like it.
_OBJECT = re.compile(r'\{\s*["}]')
_STRING_OR_TRAILING_COMMA = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|,(?=\s*[}\]])', re.DOTALL)
# Control characters, and those that turn the direction of writing.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MISPLACED = "misplaced"


class Checked(NamedTuple):
    """An answer after checking. `findings`: the validated object, None if there is none.

    `problems`: what is wrong, for the model and the reader. A finding whose place does not exist stays in the object,
    with `"misplaced": true`.
    """

    findings: dict[str, Any] | None
    problems: tuple[str, ...]


def check(text: str, lines_of: Callable[[str], int | None], workspace: str) -> Checked:
    """Check an answer. `lines_of` gives the lines of a file as it was reviewed, None if there is no such file."""
    raw = _object_in(text)
    if raw is None:
        return Checked(None, ("answer: it holds no JSON object with `verdict`, `summary` and `findings`.",))
    answer = _tidied(raw, workspace)
    try:
        problems = [
            f"{error.json_path[2:] or 'answer'}: {error.message[:200]}" for error in _validator().iter_errors(answer)
        ]
    except RecursionError:
        problems = ["answer: it is nested too deeply."]
    if problems:
        return Checked(None, tuple(problems[:_SHOWN_PROBLEMS]))
    for number, finding in enumerate(answer["findings"]):
        problem = _place_problem(finding, lines_of)
        if problem:
            finding[_MISPLACED] = True
            problems.append(f"findings[{number}]: {problem}")
    answer["findings"].sort(key=lambda finding: SEVERITIES.index(finding["severity"]))
    return Checked(answer, tuple(problems[:_SHOWN_PROBLEMS]))


def outcome(text: str, checked: Checked, target: Target) -> tuple[str, dict[str, Any]]:
    """What is stored of a review: its text for people, and the object for programs."""
    about = {"target": f"{target.label}, {target.summary}", "warning": None}
    if checked.findings is None:
        warning = (
            f"The findings could not be validated ({checked.problems[0].rstrip('.')}). OpenCode's answer as it came:"
        )
        return f"**{warning}**\n\n{text}", {
            "verdict": None, "summary": None, "findings": [], **about, "warning": warning,
        }  # fmt: skip
    found = checked.findings
    astray = sum(1 for finding in found["findings"] if finding.get(_MISPLACED))
    if astray:
        about["warning"] = (
            f"{astray} of {len(found['findings'])} findings name{'s' if astray == 1 else ''} "
            "a place that does not exist in what was reviewed; marked below."
        )
    return _shown(found, about), {**found, **about}


def _shown(found: dict[str, Any], about: dict[str, str | None]) -> str:
    findings = found["findings"]
    counts = [(severity, sum(1 for one in findings if one["severity"] == severity)) for severity in SEVERITIES]
    told = ", ".join(f"{count} {severity}" for severity, count in counts if count) or "no findings"
    verdict = "Approve" if found["verdict"] == "approve" else "Needs attention"
    lines = [f"**{verdict}** ({told}) · {about['target']}"]
    if about["warning"]:
        lines += ["", f"**{about['warning']}**"]
    lines += ["", _quoted(found["summary"])]
    for number, finding in enumerate(findings, 1):
        lines += ["", f"### {number}. [{finding['severity']}] {_clean(finding['title'], one_line=True)}"]
        where = f"{_clean(finding['file'], one_line=True)}:{finding['line_start']}".replace("`", "'")
        if finding["line_end"] > finding["line_start"]:
            where += f"-{finding['line_end']}"
        astray = " · **this place does not exist in what was reviewed**" if finding.get(_MISPLACED) else ""
        lines += [f"`{where}` · confidence {finding['confidence']:.0%}{astray}", "", _quoted(finding["body"])]
        if finding["recommendation"].strip():
            lines += ["", _quoted(f"Recommendation: {finding['recommendation'].strip()}")]
    return "\n".join(lines)


def _object_in(text: str) -> dict[str, Any] | None:
    """The last object with a verdict or findings that stands in a text: models think aloud first."""
    # NaN and Infinity are no JSON, and no number that anybody could use.
    decoder = json.JSONDecoder(strict=False, parse_constant=lambda name: None)
    found, free_from = None, 0
    for begin in itertools.islice(_OBJECT.finditer(text), _TRIES):
        if begin.start() < free_from:
            continue
        tail = text[begin.start() :]
        for lenient in (False, True):
            try:
                value, end = decoder.raw_decode(_without_trailing_commas(tail) if lenient else tail)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) and ("verdict" in value or "findings" in value):
                found, free_from = value, begin.start() + end
            break
    return found


def _without_trailing_commas(text: str) -> str:
    return _STRING_OR_TRAILING_COMMA.sub(lambda match: match[1] or " ", text)


def _tidied(raw: dict[str, Any], workspace: str) -> dict[str, Any]:
    """The known fields, with harmless differences of form put right."""
    answer: dict[str, Any] = {name: _readable(raw[name]) for name in ("verdict", "summary", "findings") if name in raw}
    if "verdict" in answer:
        answer["verdict"] = _word(answer["verdict"])
    if isinstance(answer.get("findings"), list):
        answer["findings"] = [_tidied_finding(one, workspace) for one in answer["findings"]]
    return answer


def _tidied_finding(raw: Any, workspace: str) -> Any:
    if not isinstance(raw, dict):
        return raw
    finding = {name: _readable(raw[name]) for name in _finding_fields() if name in raw}
    if "severity" in finding:
        finding["severity"] = _word(finding["severity"])
    for name in ("line_start", "line_end"):
        if name in finding:
            finding[name] = _whole_number(finding[name])
    if isinstance(finding.get("line_start"), int) and finding.get("line_end") is None:
        finding["line_end"] = finding["line_start"]
    if "confidence" in finding:
        finding["confidence"] = _share(finding["confidence"])
    if isinstance(finding.get("file"), str):
        finding["file"] = _path(finding["file"], workspace)
    return finding


def _place_problem(finding: dict[str, Any], lines_of: Callable[[str], int | None]) -> str:
    path, first, last = finding["file"], finding["line_start"], finding["line_end"]
    lines = lines_of(path)
    if lines is None:
        return f"there is no file {path!r} in what was reviewed."
    if last < first:
        return f"line_end {last} lies before line_start {first}."
    if last > max(lines, 1):  # an empty file can only be named by its first line
        return f"{path!r} has {lines} line{'' if lines == 1 else 's'}, so {first} to {last} is not in it."
    return ""


def _readable(value: Any) -> Any:
    """A text without half characters, which JSON can name but nobody can store."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _word(value: Any) -> Any:
    return re.sub(r"[\s_]+", "-", value.strip().lower()) if isinstance(value, str) else value


def _whole_number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*\d{1,18}\s*", value) else value


def _share(value: Any) -> Any:
    """0.9 also where it came as "0.9", "90%" or 90."""
    if isinstance(value, str):
        try:
            number = float(value.strip().removesuffix("%"))
        except ValueError:
            return value
        if not math.isfinite(number):
            return value
        return number / 100 if "%" in value or number > 1 else number
    return (
        value / 100 if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value <= 100 else value
    )


def _path(value: str, workspace: str) -> str:
    path = value.strip()
    if os.path.isabs(path) and path.startswith(workspace.rstrip(os.sep) + os.sep):
        path = os.path.relpath(path, workspace)
    return path.removeprefix("./")


def _quoted(text: str) -> str:
    """Text of the model as a quotation: no heading, fence or comment in it reaches beyond its own end."""
    return "\n".join(f"> {line}".rstrip() for line in _clean(text).split("\n"))


def _clean(text: str, one_line: bool = False) -> str:
    """Text of the model without what would control a terminal."""
    plain = _CONTROL.sub("", text.strip())
    return " ".join(plain.split()) if one_line else plain


@lru_cache(maxsize=1)
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


@lru_cache(maxsize=1)
def _finding_fields() -> tuple[str, ...]:
    properties: Any = schema()["properties"]
    return tuple(properties["findings"]["items"]["properties"])
