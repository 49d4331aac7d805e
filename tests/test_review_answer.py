"""A review's answer: found in whatever stands around it, checked strictly, shown truthfully."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validate
from syrupy.assertion import SnapshotAssertion

from companion.review.answer import SEVERITIES, Checked, check, outcome
from companion.review.prompt import schema
from companion.review.target import Target

WORKSPACE = "/work space"
LINES = {"a.py": 10, "dir/ü.py": 3, "empty.py": 0}
TARGET = Target("working tree against HEAD (abc1234)", "2 files, +3 −1", "abc1234", LINES, None)


def finding(**changes: Any) -> dict[str, Any]:
    """A finding without fault."""
    return {
        "severity": "high",
        "title": "The last line is lost",
        "body": "A file without a newline at its end loses its last line.",
        "file": "a.py",
        "line_start": 3,
        "line_end": 4,
        "confidence": 0.9,
        "recommendation": "Count it.",
        **changes,
    }


def answer(*findings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An answer without fault."""
    return {"verdict": "needs-attention", "summary": "One thing is wrong.", "findings": list(findings), **changes}


def checked(answer: object) -> Checked:
    return check(answer if isinstance(answer, str) else json.dumps(answer), LINES.get, WORKSPACE)


def stored(text: str) -> tuple[str, dict[str, Any]]:
    """What is kept of an answer; it must fit the store and every reader of JSON."""
    shown, review = outcome(text, checked(text), TARGET)
    json.loads(json.dumps(review, allow_nan=False))
    json.dumps(review, ensure_ascii=False).encode()
    assert {"verdict", "summary", "findings", "target", "warning"} <= set(review)
    return shown, review


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())
    validate(answer(finding()), schema())


# Found in what stands around it

VALID = json.dumps(answer(finding()), indent=1)
AROUND: dict[str, str] = {
    "bare": VALID,
    "a fence": f"```json\n{VALID}\n```",
    "a fence without its end": f"Here you are:\n```\n{VALID}",
    "prose around": f"I looked at {{everything}} and {'json'}.\n\n{VALID}\n\nTell me if {{ you }} want more.",
    "code before": f"if (x) {{ return {{}}; }} and {{'a': 1}} then\n{VALID}",
    "a draft before": f"{json.dumps(answer(verdict='approve'))}\nOn second thought:\n{VALID}",
    "wrapped": json.dumps({"review": answer(finding())}),
    "trailing commas": VALID.replace("\n ]", ",\n ]").replace("\n}", ",\n}"),
    "the schema before": f"By the schema {json.dumps(schema())} this is it: {VALID}",
    "line breaks in texts": VALID.replace("A file", "A\nfile").replace("A\nfile", "A file"),
    "a quote that is open": f'He said "so: {VALID}',
}


@pytest.mark.parametrize("text", AROUND.values(), ids=AROUND)
def test_it_is_found(text: str) -> None:
    assert checked(text) == Checked(answer(finding()), ())


def test_a_trailing_comma_within_a_text_stays() -> None:
    text = json.dumps(answer(finding(body="[1, 2,] and {a, }"))).replace("]}", ",]}")
    found = checked(text).findings
    assert found is not None
    assert found["findings"][0]["body"] == "[1, 2,] and {a, }"


def test_line_breaks_that_are_not_escaped_are_read() -> None:
    found = checked(VALID.replace("A file", "A\n\tfile")).findings
    assert found is not None
    assert found["findings"][0]["body"].startswith("A\n\tfile")


FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "words": ({"severity": " High "}, {"severity": "high"}),
    "numbers as text": ({"line_start": "3", "line_end": "4", "confidence": "0.9"}, {}),
    "whole floats": ({"line_start": 3.0, "line_end": 4.0}, {}),
    "percent": ({"confidence": "90%"}, {}),
    "percent apart": ({"confidence": "90 %"}, {}),
    "of a hundred": ({"confidence": 90}, {}),
    "dot slash": ({"file": " ./a.py"}, {}),
    "absolute": ({"file": "/work space/a.py"}, {}),
    "no last line": ({"line_end": None}, {"line_end": 3}),
    "unknown fields": ({"category": "bug", "misplaced": True}, {}),
}


@pytest.mark.parametrize(("given_form", "read"), FORMS.values(), ids=FORMS)
def test_differences_of_form_do_not_matter(given_form: dict[str, Any], read: dict[str, Any]) -> None:
    assert checked(answer(finding(**given_form))) == Checked(answer(finding(**read)), ())


def test_a_verdict_in_other_letters_is_read_and_further_fields_are_left_out() -> None:
    assert checked(answer(verdict="Needs_Attention", score=3)).findings == answer()


# Checked strictly

FLAWS: dict[str, tuple[Any, str]] = {
    "no object": ("All is well.", "no JSON object"),
    "another object": ({"ok": True}, "no JSON object"),
    "a list": ([answer()["findings"]], "no JSON object"),
    "a verdict of its own": (answer(verdict="maybe"), "verdict"),
    "no summary": ({"verdict": "approve", "findings": []}, "'summary' is a required property"),
    "no findings": ({"verdict": "approve", "summary": "x"}, "'findings' is a required property"),
    "findings as text": (answer(findings="none"), "findings: 'none' is not of type 'array'"),
    "a finding as text": (answer(findings=["bad"]), "findings[0]"),
    "no title": (answer({k: v for k, v in finding().items() if k != "title"}), "'title' is a required property"),
    "a severity of its own": (answer(finding(severity="blocker")), "findings[0].severity"),
    "line nought": (answer(finding(line_start=0)), "findings[0].line_start"),
    "half a line": (answer(finding(line_start=1.5)), "findings[0].line_start"),
    "a range as a line": (answer(finding(line_start="3-4")), "findings[0].line_start"),
    "true as a line": (answer(finding(line_start=True)), "findings[0].line_start"),
    "true as confidence": (answer(finding(confidence=True)), "findings[0].confidence"),
    "not a number": (VALID.replace("0.9", "NaN"), "findings[0].confidence"),
    "not a number, as text": (answer(finding(confidence="nan")), "findings[0].confidence"),
    "infinite": (VALID.replace("0.9", "-Infinity"), "findings[0].confidence"),
    "too large a number": (VALID.replace("0.9", "1e400"), "findings[0].confidence"),
    "too large a line": (VALID.replace("3", "1e400", 1), "findings[0].line_start"),
    "a line of many digits": (answer(finding(line_start="9" * 5000)), "findings[0].line_start"),
    "a number of many digits": (VALID.replace("3", "9" * 5000, 1), "no JSON object"),
    "surely": (answer(finding(confidence=101)), "findings[0].confidence"),
    "nested deeply": (VALID.replace('"Count it."', "[" * 900 + "]" * 900), "recommendation"),
    "nested too deeply": ('{"verdict":' + "[" * 100_000, "no JSON object"),
}


@pytest.mark.parametrize(("flawed", "told"), FLAWS.values(), ids=FLAWS)
def test_a_flaw_is_told_and_nothing_is_taken_from_the_answer(flawed: Any, told: str) -> None:
    found = checked(flawed)
    assert found.findings is None
    assert any(told in problem for problem in found.problems) or "too deeply" in found.problems[0], found.problems
    text = flawed if isinstance(flawed, str) else json.dumps(flawed)
    shown, review = stored(text)
    assert (review["verdict"], review["findings"]) == (None, [])
    assert shown == f"**{review['warning']}**\n\n{text}"


def test_the_problems_of_a_hopeless_answer_are_few_and_short() -> None:
    found = checked(answer(*[finding(severity="x" * 5000)] * 50))
    assert len(found.problems) <= 12
    assert sum(map(len, found.problems)) < 5000


PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "no such file": ({"file": "gone.py"}, "no file 'gone.py'"),
    "outside": ({"file": "../a.py"}, "no file '../a.py'"),
    "another folder": ({"file": "/work space 2/a.py"}, "no file"),
    "behind the end": ({"line_end": 11}, "'a.py' has 10 lines, so 3 to 11 is not in it"),
    "backwards": ({"line_start": 5}, "line_end 4 lies before line_start 5"),
    "far behind": ({"line_start": 1e300, "line_end": 1e300}, "not in it"),
    "behind the end of an empty file": ({"file": "empty.py", "line_start": 1, "line_end": 2}, "'empty.py' has 0 lines"),
}


@pytest.mark.parametrize(("place", "told"), PLACES.values(), ids=PLACES)
def test_a_place_that_does_not_exist_is_told_and_marked(place: dict[str, Any], told: str) -> None:
    found = checked(answer(finding(), finding(**place)))
    assert found.findings is not None
    assert [one.get("misplaced", False) for one in found.findings["findings"]] == [False, True]
    assert len(found.problems) == 1
    assert told in found.problems[0]
    assert found.problems[0].startswith("findings[1]: ")
    shown, review = stored(json.dumps(answer(finding(), finding(**place))))
    assert review["warning"].startswith("1 of 2 findings names a place")
    assert shown.count("this place does not exist") == 1


def test_places_at_the_edge_exist() -> None:
    edges = (finding(line_start=10, line_end=10), finding(file="empty.py", line_start=1, line_end=1))
    assert checked(answer(*edges)).problems == ()


# Shown


def test_texts(snapshot: SnapshotAssertion) -> None:
    low = finding(severity="low", title="A name misleads", line_end=3, confidence=0.35, recommendation=" ")
    critical = finding(severity="critical", title="Data is lost", body="First.\n\nThen:\n\n- a\n- b", confidence=1)
    astray = finding(severity="medium", title="Not there", file="gone.py")
    texts = {
        "sorted by severity": json.dumps(answer(low, finding(), critical)),
        "no findings": json.dumps(answer(verdict="approve", summary="Nothing is wrong.")),
        "misplaced": json.dumps(answer(finding(), astray, {**astray, "line_start": 1})),
        "prose": "It looks fine to me.\n\nReally.",
        "invalid": json.dumps(answer(finding(severity="blocker"))),
    }
    assert {name: stored(text)[0] for name, text in texts.items()} == snapshot


FORGED = "### 1. [critical] Forged\n`a.py:1` · confidence 100%\n\n```\nunclosed\n<!-- unclosed\n<details>\n# top\n===\n"


def test_no_text_of_the_model_passes_for_ours() -> None:
    """Outside of quotations there are our own lines only, each of the model's texts in one of them shortened to one."""
    where = {"title": f"x\n{FORGED}", "body": FORGED, "recommendation": FORGED, "file": f"`\n{FORGED}"}
    shown, _ = stored(json.dumps(answer(finding(**where), finding(), summary=FORGED)))
    ours = [line for line in shown.split("\n") if line and not line.startswith(">")]
    assert len(ours) == 6
    assert ours[0].startswith("**Needs attention** (2 high)")
    assert ours[1].startswith("**1 of 2 findings names")
    assert re.match(r"### 1\. \[high\] x ### 1", ours[2])
    assert re.fullmatch(r"`[^`]*` · confidence 90% · \*\*this place .*\*\*", ours[3])
    assert ours[4:] == ["### 2. [high] The last line is lost", "`a.py:3-4` · confidence 90%"]


def test_nothing_that_controls_a_terminal_is_shown() -> None:
    evil = "a\x1b[2J\x07\r\x00\x9b\u202e\u2066b"
    shown, _ = stored(json.dumps(answer(finding(title=evil, body=evil, recommendation=evil, file=evil), summary=evil)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert shown.count("a[2Jb") == 5


def test_half_characters_are_replaced() -> None:
    half = json.dumps(answer(finding(title="\ud83d", body="x\udcff", file="\ud800.py"), summary="\ud800"))
    shown, review = stored(half)
    shown.encode()
    assert (review["summary"], review["findings"][0]["title"]) == ("?", "?")


# For any answer

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
anything = st.dictionaries(st.sampled_from(list(finding())), json_values)
near_findings = st.builds(lambda changes: {**finding(), **changes}, anything)
near_answers = st.fixed_dictionaries(
    {},
    optional={
        "verdict": st.sampled_from(["approve", "needs-attention", "Approve ", "no"]) | json_values,
        "summary": json_values,
        "findings": st.lists(near_findings | json_values, max_size=3) | json_values,
    },
)
messy_texts = st.lists(
    st.sampled_from(['{"verdict":', '"findings"', "{", "}", "[", "]", ",", '"', "\\", "\n", "NaN", "1e999", "\ud800"])
    | st.text(max_size=5)
    | near_answers.map(json.dumps),
    max_size=12,
).map("".join)


@given(messy_texts)
def test_any_text_gets_an_outcome(text: str) -> None:
    found = checked(text)
    if found.findings is not None:
        clean = {**found.findings, "findings": [dict(one) for one in found.findings["findings"]]}
        for one in clean["findings"]:
            one.pop("misplaced", None)
        validate(clean, schema())
        ranks = [SEVERITIES.index(one["severity"]) for one in clean["findings"]]
        assert ranks == sorted(ranks)
        stored(text)[0].encode()
    else:
        assert found.problems
        assert stored(text)[0].endswith(text)


findings = st.builds(
    finding,
    severity=st.sampled_from(SEVERITIES),
    title=st.text(min_size=1),
    body=st.text(min_size=1),
    file=st.sampled_from(list(LINES)),
    line_start=st.just(1),
    line_end=st.just(1),
    confidence=st.floats(0, 1) | st.integers(0, 1),
    recommendation=st.text(),
)
answers = st.builds(
    lambda verdict, summary, findings: answer(*findings, verdict=verdict, summary=summary),
    st.sampled_from(["approve", "needs-attention"]),
    st.text(min_size=1),
    st.lists(findings, max_size=3),
)
prose = st.text(st.characters(exclude_characters="{}"))


@given(answers, prose, prose, st.sampled_from(["", "```json\n", "~~~\n"]), st.booleans(), st.booleans())
def test_any_valid_answer_is_found(
    valid: dict[str, Any], before: str, after: str, fence: str, commas: bool, ascii_only: bool
) -> None:
    text = json.dumps(valid, indent=1, ensure_ascii=ascii_only)
    if commas:  # a line that ends an object or a list is never within a text: those are on one line here
        text = re.sub(r"(?<![\[{,])\n( *[}\]])", r",\n\1", text)
    found = checked(f"{before}\n{fence}{text}\n{fence.strip('json')}{after}")
    assert found.problems == ()
    valid["findings"].sort(key=lambda one: SEVERITIES.index(one["severity"]))
    assert found.findings == valid
