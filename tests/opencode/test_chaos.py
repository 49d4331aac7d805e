"""A small seeded run of tests/chaos.py."""

from __future__ import annotations

from chaos import rampage
from machine import Machine

SEED = 20


def test_no_job_is_lost_whatever_is_killed(own_machine: Machine) -> None:
    tally = rampage(own_machine, jobs=8, seed=SEED)
    assert tally.wrong == [], own_machine.logs()
    assert sum(tally.ends.values()) == 8
