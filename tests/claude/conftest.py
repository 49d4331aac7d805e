"""Fixtures for tests that run the real Claude Code."""

from __future__ import annotations

import pytest

from .runner import BINS_VARIABLE, binaries


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked `newest_claude` to the newest binary."""
    older = {claude.version for claude in binaries()[:-1]}
    superfluous = [item for item in items if item.get_closest_marker("newest_claude") and _version(item) in older]
    if superfluous:
        config.hook.pytest_deselected(items=superfluous)
        items[:] = [item for item in items if item not in superfluous]


def _version(item: pytest.Item) -> str:
    """The version of Claude Code that a test runs on."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return str(parameters.get("claude") or parameters.get("shared_desk"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives every test that asks for `claude` each of the binaries in turn."""
    if "claude" in metafunc.fixturenames:
        absent = pytest.param(None, marks=pytest.mark.skip(f"{BINS_VARIABLE} names no claude binary"), id="none")
        metafunc.parametrize("claude", [pytest.param(one, id=one.version) for one in binaries()] or [absent])
