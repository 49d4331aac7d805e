"""The benchmark's forms, without measuring: what it measures is shown by tests/opencode/test_benchmark.py."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.figures import GROUPS, NODE, PYTHON, Figure, document, page, text
from machine import ROOT

PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def a_run() -> dict[str, Any]:
    figures = {f"{group}.one": Figure(group, f"one of {group}", "ms", (3.0, 1.0, 8.0)) for group in GROUPS}
    figures[NODE] = Figure("baseline", "node", "ms", (30.0,))
    figures[PYTHON] = Figure("baseline", "python", "ms", (6.0,))
    return document(figures, {"cpu": "a processor"}, False, "2026-01-02T03:04:05Z")


def test_a_figure_says_median_and_range_and_its_share_of_bare_interpreters() -> None:
    assert a_run()["figures"]["hookIdle.one"] == {
        "group": "hookIdle",
        "label": "one of hookIdle",
        "unit": "ms",
        "n": 3,
        "median": 3.0,
        "min": 1.0,
        "max": 8.0,
        "toNode": 0.1,
        "toPython": 0.5,
    }


def test_the_text_shows_every_figure() -> None:
    shown = text(a_run())
    assert all(figure["label"] in shown for figure in a_run()["figures"].values())


def test_the_page_has_a_place_for_every_table_and_keeps_what_people_wrote() -> None:
    written = page(PAGE, a_run())
    assert written.count("| 3 | 1 | 8 | ms | 3 |") == len(GROUPS)
    assert "| cpu | a processor |" in written
    assert page(written, a_run()) == written
    assert [line for line in written.splitlines() if not line.startswith("|")] == [
        line for line in PAGE.splitlines() if not line.startswith("|")
    ]


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="waiting"):
        page(PAGE.replace("<!-- waiting -->", ""), a_run())


def test_the_page_describes_the_json() -> None:
    described = {key for key in [*a_run(), *a_run()["figures"][NODE]] if f"`{key}`" in PAGE or f"{key}," in PAGE}
    assert described >= {"format", "takenAt", "quick", "machine", "figures", "median", "toNode"}
