"""What a review's answer is worth: read leniently, checked strictly, shown truthfully.

The answer should be one JSON object of `findings.schema.json`. What models do around that (a code fence, a sentence
before, numbers as text) is put right here; what is wrong in it (a missing field, a line that does not exist) is told to
the model once, and after that to the reader.
"""

from __future__ import annotations

import json
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
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
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
        return Checked(None, ("It holds no JSON object with `verdict`, `summary` and `findings`.",))
    answer = _tidied(raw, workspace)
    problems = [
        f"{error.json_path[2:] or 'answer'}: {error.message[:200]}" for error in _validator().iter_errors(answer)
    ]
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
    lines += ["", _clean(found["summary"])]
    for number, finding in enumerate(findings, 1):
        lines += ["", f"### {number}. [{finding['severity']}] {_clean(finding['title'], one_line=True)}"]
        where = f"{_clean(finding['file'], one_line=True)}:{finding['line_start']}"
        if finding["line_end"] > finding["line_start"]:
            where += f"-{finding['line_end']}"
        astray = " · **this place does not exist in what was reviewed**" if finding.get(_MISPLACED) else ""
        lines += [f"`{where}` · confidence {finding['confidence']:.0%}{astray}", "", _clean(finding["body"])]
        if finding["recommendation"].strip():
            lines += ["", f"Recommendation: {_clean(finding['recommendation'])}"]
    return "\n".join(lines)


def _object_in(text: str) -> dict[str, Any] | None:
    """The last object with a verdict or findings that stands in a text: models think aloud first."""
    decoder, found, at, tries = json.JSONDecoder(strict=False), None, text.find("{"), 0
    while at >= 0 and tries < _TRIES:
        tries += 1
        for candidate in (text[at:], re.sub(r",(\s*[}\]])", r"\1", text[at:])):
            try:
                value, end = decoder.raw_decode(candidate)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) and ("verdict" in value or "findings" in value):
                found, at = value, at + end - 1
            break
        at = text.find("{", at + 1)
    return found


def _tidied(raw: dict[str, Any], workspace: str) -> dict[str, Any]:
    """The known fields, with harmless differences of form put right."""
    findings = raw.get("findings")
    return {
        **({"verdict": _word(raw["verdict"])} if "verdict" in raw else {}),
        **({"summary": raw["summary"]} if "summary" in raw else {}),
        "findings": [_tidied_finding(one, workspace) for one in findings] if isinstance(findings, list) else findings,
    }


def _tidied_finding(raw: Any, workspace: str) -> Any:
    if not isinstance(raw, dict):
        return raw
    finding = {name: raw[name] for name in _finding_fields() if name in raw}
    if "severity" in finding:
        finding["severity"] = _word(finding["severity"])
    for name in ("line_start", "line_end"):
        if name in finding:
            finding[name] = _whole_number(finding[name])
    if isinstance(finding.get("line_start"), int):
        finding.setdefault("line_end", finding["line_start"])
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
    if last > lines:
        return f"{path!r} has {lines} lines, so {first} to {last} is not in it."
    return ""


def _word(value: Any) -> Any:
    return re.sub(r"[\s_]+", "-", value.strip().lower()) if isinstance(value, str) else value


def _whole_number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _share(value: Any) -> Any:
    """0.9 also where it came as "0.9", "90%" or 90."""
    if isinstance(value, str):
        try:
            number = float(value.strip().removesuffix("%"))
        except ValueError:
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
