"""Processes of ours: told apart from others by pid and start time, or by a marker in their environment."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

from companion.settings import JOB_MARKER

MARKER = JOB_MARKER
TERM_GRACE_S = 3.0
KILL_GRACE_S = 1.0
GONE_POLL_S = 0.01


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
    alive = wait_gone(waiting, grace_s)
    for process in alive:
        _signal(process, kill=True)
    wait_gone(alive, KILL_GRACE_S)


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until the processes have ended; those that have not within `timeout_s` seconds.

    A zombie has ended: what nobody waits for is the init process's to clear away, and in a container that may do so
    late, or never.
    """
    deadline = time.monotonic() + timeout_s
    alive = list(processes)
    while alive := [process for process in alive if _lives(process)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(GONE_POLL_S)
    return alive


def end_marked(prefix: str, grace_s: float = TERM_GRACE_S) -> None:
    """End everything that carries a marker with this prefix, also what is started meanwhile."""
    deadline = time.monotonic() + grace_s + 2
    while time.monotonic() < deadline:
        found = marked(prefix)
        if not found:
            return
        end(found, grace_s)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.Error:
        pass
