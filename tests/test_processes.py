"""Ending processes, also where nobody clears away what has ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from companion.supervisor import processes

# Starts a process, says its pid, and never asks what became of it.
NEGLECTFUL = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
PATIENT = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PATIENT


@pytest.fixture
def neglected(request: pytest.FixtureRequest) -> Iterator[psutil.Process]:
    parent = subprocess.Popen(
        [sys.executable, "-c", NEGLECTFUL, request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin is not None and parent.stdout is not None
    yield psutil.Process(int(parent.stdout.readline()))
    parent.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no zombies")
@pytest.mark.parametrize("neglected", [PATIENT, STUBBORN], indirect=True, ids=["patient", "stubborn"])
def test_a_zombie_has_ended(neglected: psutil.Process) -> None:
    processes.end([neglected], grace_s=0.3)
    assert neglected.status() == psutil.STATUS_ZOMBIE
    assert processes.wait_gone([neglected], timeout_s=0) == []


@pytest.mark.parametrize("neglected", [PATIENT], indirect=True)
def test_those_that_live_on_are_told(neglected: psutil.Process) -> None:
    assert processes.wait_gone([neglected], timeout_s=0.05) == [neglected]
    neglected.kill()
    assert processes.wait_gone([neglected], timeout_s=10) == []
