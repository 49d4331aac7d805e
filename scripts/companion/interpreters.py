"""Where interpreters and their packages are: the one that runs this, and that of a private environment."""

from __future__ import annotations

import os
import sys


def base_python() -> str:
    """The interpreter below the running one, which may be that of some project's virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def python_of(environment: str) -> str:
    """The interpreter inside an environment's folder."""
    if sys.platform == "win32":
        return os.path.join(environment, "Scripts", "python.exe")
    return os.path.join(environment, "bin", "python")


def packages_of(environment: str) -> str:
    """The folder inside an environment that its packages are installed to."""
    if sys.platform == "win32":
        return os.path.join(environment, "Lib", "site-packages")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
    return os.path.join(environment, "lib", version, "site-packages")
