"""The machine that a run was made on, without the name of the machine or of its user."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from companion import __version__


def facts(opencode: str, hook_python: str) -> dict[str, str | int]:
    """Processor, memory, system, and the versions of what was run."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memoryMB": round(psutil.virtual_memory().total / 1e6),
        "load": f"{psutil.getloadavg()[0]:.1f} before the run",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "hookPython": _said([hook_python, "--version"]),
        "node": _said(["node", "--version"]) if shutil.which("node") else "none",
        "opencode": _said([opencode, "--version"]),
        "companion": __version__,
        "memoryMeasure": MEMORY_MEASURE,
    }


# Proportional set size: memory that processes share is divided among them. Only Linux tells it.
MEMORY_MEASURE = "PSS" if sys.platform == "linux" else "RSS"


def memory_mb(process: psutil.Process) -> float:
    """What a process holds, in MB of MEMORY_MEASURE."""
    if MEMORY_MEASURE == "PSS":
        return float(process.memory_full_info().pss) / 1e6
    return float(process.memory_info().rss) / 1e6


def _cpu() -> str:
    if sys.platform == "darwin":
        return _said(["sysctl", "-n", "machdep.cpu.brand_string"])
    listing = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", listing.read_text() if listing.exists() else "", re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()
