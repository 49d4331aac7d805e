"""What developers are told agrees with what is there: the map of the house, the version, the pinned programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from machine import ROOT

from companion import __version__
from companion.opencode import binary

PACKAGE = ROOT / "scripts" / "companion"
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TOOLS = ROOT / "tests" / "tools"


def mapped() -> dict[str, list[Path]]:
    """Every path in the map's right column, and what it stands for."""
    table = GUIDE.partition("## The map")[2].partition("\n## ")[0]
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][2:]
    names = [name for cell in cells for name in re.findall(r"`([^`\s]+)`", cell) if "/" in name or "." in name]
    return {name: find(name.replace("NAME", "*")) for name in names}


def find(pattern: str) -> list[Path]:
    """The files that a path of the map stands for: below the repository, else below the package; a folder's are all."""
    for folder in (ROOT, PACKAGE):
        found = sorted(folder.glob(pattern.rstrip("/")))
        if found:
            return [file for path in found for file in (path.rglob("*") if path.is_dir() else [path])]
    return []


def modules() -> list[Path]:
    program = [path for path in PACKAGE.rglob("*.py") if path.read_text(encoding="utf-8").count("\n") > 1]
    return [*program, *(ROOT / "hooks").glob("*.*"), ROOT / "hooks" / "run", ROOT / "scripts" / "opencode_companion.py"]


def test_every_path_of_the_map_is_there() -> None:
    assert len(mapped()) > 50
    assert [name for name, files in mapped().items() if not files] == []


def test_every_module_and_hook_is_on_the_map() -> None:
    known = {file for files in mapped().values() for file in files}
    unknown = {str(path.relative_to(ROOT)) for path in modules() if path not in known}
    assert unknown - {"scripts/companion/__init__.py", "scripts/companion/hooks/__init__.py"} == set()


def test_every_file_that_the_guide_names_is_there() -> None:
    rest = GUIDE.partition("\n## Tests")[2]
    named = set(re.findall(r"(?:tests|scripts|docs|hooks)/[\w./*-]+\w", rest)) - {"tests/test_"}
    assert len(named) > 15
    assert [name for name in named if not list(ROOT.glob(name.replace("VERSION", "*")))] == []


@pytest.mark.parametrize("option", re.findall(r"tests/run\.py (--[a-z]+)", GUIDE))
def test_the_test_command_has_every_option_that_the_guide_names(option: str) -> None:
    assert f'"{option}"' in (ROOT / "tests" / "run.py").read_text(encoding="utf-8")


def test_one_version() -> None:
    plugin = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text(encoding="utf-8"))
    market = json.loads((ROOT / ".claude-plugin" / "marketplace.json").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert {plugin["version"], newest[1]} == {__version__}
    # Where an entry of the marketplace says a version, Claude Code takes it for the plugin's.
    assert [entry for entry in market["plugins"] if "version" in entry] == []


def test_the_package_takes_its_version_from_the_program() -> None:
    tomllib = pytest.importorskip("tomllib", reason="came with Python 3.11")
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in package["project"]["dynamic"]
    assert package["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "companion.__version__"}


def test_the_opencode_that_is_installed_is_the_one_that_is_tested() -> None:
    pinned = json.loads((TOOLS / "package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((TOOLS / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert pinned["opencode-ai"] == binary.NPM_VERSION
    assert locked[""]["dependencies"] == pinned


def test_there_are_fixtures_of_every_pinned_claude_code() -> None:
    pinned = json.loads((TOOLS / "package.json").read_text(encoding="utf-8"))["dependencies"]
    versions = {spec.rpartition("@")[2] for name, spec in pinned.items() if "claude-code" in name}
    stored = {folder.name for folder in (ROOT / "tests" / "fixtures" / "payloads").iterdir()}
    assert versions <= stored


def test_the_workflow_uses_official_actions_and_asks_for_no_rights() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)", workflow)
    assert uses and all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in uses)
    assert re.findall(r"^permissions:\n((?:  .*\n)+)", workflow, re.MULTILINE) == ["  contents: read\n"]
    assert "secrets." not in workflow
    assert workflow.count("timeout-minutes:") == workflow.count("runs-on:")
