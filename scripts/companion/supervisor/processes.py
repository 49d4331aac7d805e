"""Processes of ours: told apart from others by pid and start time, or by a marker in their environment."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

from companion.settings import JOB_MARKER

MARKER = JOB_MARKER
TERM_GRACE_S = 3.0


def create_time(pid: int) -> float | None:
    """When a process started (s since the epoch), None if it is gone. With the pid this names it for good."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, started: float) -> bool:
    """Whether the very process with this pid and start time lives; a reused pid does not count."""
    now = create_time(pid)
    return now is not None and abs(now - started) < 0.5


def began_at_ms(process: psutil.Process) -> int:
    """When a process began, ms since the epoch on the clock that `time.time` shows.

    Linux tells it in ticks since boot, and psutil adds a boot time that is rounded to whole seconds.
    """
    began = process.create_time()
    if hasattr(time, "CLOCK_BOOTTIME"):
        began += time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - psutil.boot_time()
    return round(began * 1000)


def marked(prefix: str) -> list[psutil.Process]:
    """Every process whose marker begins with `prefix`: also those that left their group or lost their parent."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(prefix):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone, or not ours to look at
    return found


def end(processes: Iterable[psutil.Process], grace_s: float = TERM_GRACE_S) -> None:
    """SIGTERM, then SIGKILL for those that ignore it. Blocks for up to `grace_s` seconds and a little."""
    waiting = list(processes)
    for process in waiting:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(waiting, timeout=grace_s)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=1.0)


def end_marked(prefix: str, grace_s: float = TERM_GRACE_S) -> None:
    """End everything that carries a marker with this prefix, also what is started meanwhile."""
    deadline = time.monotonic() + grace_s + 2
    while time.monotonic() < deadline:
        found = marked(prefix)
        if not found:
            return
        end(found, grace_s)


def _signal(process: psutil.Process, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.Error:
        pass
