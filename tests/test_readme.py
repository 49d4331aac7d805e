"""README is in step with the program: its table of variables, its commands, its links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from companion.commands import SUMMARIES
from companion.settings import VARIABLES, Variable

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BEGIN, END = "<!-- variables: made from scripts/companion/settings.py -->\n", "<!-- end of variables -->"


def variables_table() -> str:
    """The table of variables as README must have it."""
    rows = [f"| `{one.name}` | {_default(one)} | {one.description} |" for one in VARIABLES]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows, ""])


def _default(variable: Variable) -> str:
    if variable.default is None:
        return ""
    ms = variable.default if variable.name.endswith("_MS") and isinstance(variable.default, int) else 0
    amounts = ((3_600_000, "h"), (60_000, "min"), (1_000, "s"))
    shown = next((f" ({ms // size} {unit})" for size, unit in amounts if ms and ms % size == 0), "")
    return f"`{variable.default}`{shown}"


def test_the_table_of_variables_is_that_of_the_program() -> None:
    found = README[README.index(BEGIN) + len(BEGIN) : README.index(END)]
    assert found == variables_table()


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README) + re.findall(r"`(docs/[\w.-]+|CONTRIBUTING\.md)`", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"(?:opencode-companion|opencode_companion\.py) ([a-z][a-z-]+)", README))
    assert named
    assert named <= set(SUMMARIES)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"/opencode:([a-z-]+)", README))))
def test_every_slash_command_that_it_names_exists(command: str) -> None:
    assert (ROOT / "commands" / f"{command}.md").exists()
