"""The figures of a run and their three forms: text, JSON, and the tables of docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# Raised when a key is removed or means something else; keys may be added.
FORMAT = 1
# Group to its heading in the text form; docs/benchmarks.md has a table for each, and says how its numbers can lie.
GROUPS: dict[str, str] = {
    "baseline": "Bare interpreters",
    "hookIdle": "Hooks that find nothing to do in their payload",
    "hookStore": "Hooks that ask the store and find nothing to do",
    "hookStart": "The hook at a session's start, which always has something to do",
    "command": "Commands that read the store, no job running",
    "dispatch": "From the start of a command to the model's first request",
    "return": "From the model's last byte to the end of the waiting command",
    "waiting": "While jobs run a command that says nothing",
}
NODE, PYTHON = "baseline.node", "baseline.python"


class Figure(NamedTuple):
    """Measured values of one thing, in `unit`. `label` says what it is; `group` is a key of GROUPS."""

    group: str
    label: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)


Figures = dict[str, Figure]


def document(figures: Mapping[str, Figure], facts: Mapping[str, Any], quick: bool, taken_at: str) -> dict[str, Any]:
    """The run as JSON; docs/benchmarks.md describes the shape."""
    return {
        "format": FORMAT,
        "takenAt": taken_at,
        "quick": quick,
        "machine": dict(facts),
        "figures": {name: _figure_json(figure, figures) for name, figure in figures.items()},
    }


def _figure_json(figure: Figure, figures: Mapping[str, Figure]) -> dict[str, Any]:
    to_node = to_python = None
    if figure.unit == "ms" and figure.group not in ("dispatch", "return"):
        to_node, to_python = (
            round(figure.median / figures[name].median, 2) if name in figures else None for name in (NODE, PYTHON)
        )
    return {
        "group": figure.group,
        "label": figure.label,
        "unit": figure.unit,
        "n": len(figure.values),
        "median": round(figure.median, 2),
        "min": round(min(figure.values), 2),
        "max": round(max(figure.values), 2),
        "toNode": to_node,
        "toPython": to_python,
    }


def text(run: Mapping[str, Any]) -> str:
    """The run for a terminal."""
    lines = [f"{name}: {value}" for name, value in run["machine"].items()]
    for group, title in GROUPS.items():
        rows = list(_rows(run, group))
        if rows:
            lines += ["", title, f"  {'median':>10} {'min':>9} {'max':>9} {'unit':<5} {'n':>3}  of node, of python"]
        for row in rows:
            ratios = "".join(f"{row[key]:6.2f}" if row[key] is not None else " " * 6 for key in ("toNode", "toPython"))
            numbers = f"{row['median']:>10.2f} {row['min']:>9.2f} {row['max']:>9.2f} {row['unit']:<5} {row['n']:>3}"
            lines.append(f"  {numbers} {ratios}  {row['label']}")
    return "\n".join(lines)


def page(old: str, run: Mapping[str, Any]) -> str:
    """A page with the tables of this run's groups replaced. Each stands between `<!-- GROUP -->` and `<!-- end -->`.

    Raises ValueError if a group, or `machine`, has no place in the page.
    """
    measured = {figure["group"] for figure in run["figures"].values()}
    tables = {group: _table(run, group) for group in GROUPS if group in measured}
    for name, table in {"machine": _machine_table(run), **tables}.items():
        before, begin, rest = old.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"the page has no place for {name}")
        old = before + begin + table + end + after
    return old


def _table(run: Mapping[str, Any], group: str) -> str:
    rows = list(_rows(run, group))
    ratios = any(row["toNode"] is not None for row in rows)
    heads = ["", "median", "min", "max", "unit", "n", *(["of node", "of python"] if ratios else [])]
    lines = [_line(heads), _line(["---", *["---:"] * 3, "---", *["---:"] * (len(heads) - 5)])]
    for row in rows:
        cells = [row["label"], *(_short(row[key]) for key in ("median", "min", "max")), row["unit"], str(row["n"])]
        lines.append(_line([*cells, *(_short(row[key]) for key in ("toNode", "toPython") if ratios)]))
    return "".join(lines)


def _machine_table(run: Mapping[str, Any]) -> str:
    facts = {"taken": run["takenAt"], **run["machine"]}
    rows = [["", ""], ["---", "---"], *([name, str(fact)] for name, fact in facts.items())]
    return "".join(map(_line, rows))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _short(value: float | None) -> str:
    """Three digits are more than any of these numbers is good for."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rows(run: Mapping[str, Any], group: str) -> Iterator[dict[str, Any]]:
    return (row for row in run["figures"].values() if row["group"] == group)
