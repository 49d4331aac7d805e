"""Tests on the real opencode, with a scripted model. One machine serves a module, so that one server start does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Machine, machine_in

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("slow")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine shared by the tests of a module."""
    with machine_in(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture
def own_machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine for one test alone, with nothing running yet."""
    with machine_in(tmp_path) as machine:
        yield machine
