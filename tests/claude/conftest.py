"""Fixtures for tests that run the real Claude Code."""

from __future__ import annotations

import pytest

from .runner import BINS_VARIABLE, binaries


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives every test that asks for `claude` each of the binaries in turn."""
    if "claude" in metafunc.fixturenames:
        absent = pytest.param(None, marks=pytest.mark.skip(f"{BINS_VARIABLE} names no claude binary"), id="none")
        metafunc.parametrize("claude", [pytest.param(one, id=one.version) for one in binaries()] or [absent])
