"""Which Python has the program's locked packages: the running one, or a private environment made once.

The command line needs none of them, so finding the answer must cost next to nothing; making the environment
(`environment_builder`) is loaded only when there is none.

<data dir>/env/<tag>-<key>   a finished environment; the key names the lock file and the Python below it
<data dir>/env/build-…       one being made, or left behind by a kill
<data dir>/env/lock          held by whoever makes one
<data dir>/env/failed        why the newest attempt failed, for those who waited for it
"""

from __future__ import annotations

import os
import sys
from binascii import crc32

from .interpreters import base_python, packages_of, python_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PLUGIN_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNTIME_LOCK = os.path.join(PLUGIN_ROOT, "requirements.lock")
RUNTIME_MODULES = ("httpx", "jsonschema", "platformdirs", "psutil", "pydantic", "rich")

# A used environment's folder gets a new modification time when its last one is older than this.
USE_MARK_S = 24 * 3600
# Longest wait for another start that makes the environment; a slow network may take minutes.
WAIT_LIMIT_S = 20 * 60


def environment_python(data_dir: str, lock_file: str = RUNTIME_LOCK) -> str | None:
    """The Python to run the supervisor with, or None if it has to be made first. Costs about a millisecond.

    The running interpreter if it has every locked distribution itself, else the private environment's.
    """
    locked = _read(lock_file)
    wanted = locked_packages(locked)
    if sys.executable and _are_installed(wanted, _own_folders()):
        return sys.executable
    folder = environment_folder(data_dir, locked)
    python = python_of(folder)
    # exists() follows the link: a base Python that is gone makes the environment unusable.
    if not os.path.exists(python) or not _are_installed(wanted, [packages_of(folder)]):
        return None
    _mark_used(folder)
    return python


def ensure_environment(
    data_dir: str,
    progress: Callable[[str], None] | None = None,
    lock_file: str = RUNTIME_LOCK,
    modules: Iterable[str] = RUNTIME_MODULES,
) -> str:
    """Like environment_python, but makes the environment where there is none; about 20 s with a warm network.

    Of several starts at once one makes it; the others wait and then use it. `progress` gets a line for each
    stage; `modules` are imported in the new environment before it counts. CompanionError says what is amiss.
    """
    python = environment_python(data_dir, lock_file)
    if python:
        return python

    import time

    from . import filelock
    from .datadir import ensure_private_dir
    from .environment_builder import build_environment, earlier_failure
    from .progress import ticking

    tell = progress or (lambda line: None)
    started = time.time()
    for folder in (data_dir, os.path.join(data_dir, "env"), os.path.join(data_dir, "logs")):
        ensure_private_dir(folder)
    lock_path = os.path.join(data_dir, "env", "lock")
    fd = filelock.try_lock(lock_path)
    waited = fd is None
    if fd is None:
        tell("Waiting for another start that is preparing the Python environment…")
        with ticking("waiting"):
            fd = filelock.lock(lock_path, WAIT_LIMIT_S)
    try:
        python = environment_python(data_dir, lock_file)
        if python:
            return python
        if waited:
            failure = earlier_failure(data_dir, since=started)
            if failure:
                raise failure
        folder = environment_folder(data_dir, _read(lock_file))
        build_environment(data_dir, folder, lock_file, modules, tell)
        return python_of(folder)
    finally:
        filelock.unlock(fd)


def use_environment(data_dir: str, lock_file: str = RUNTIME_LOCK) -> bool:
    """Makes the locked packages importable in this process; False where there is no environment yet."""
    python = environment_python(data_dir, lock_file)
    if python is None:
        return False
    packages = packages_of(environment_folder(data_dir, _read(lock_file)))
    if python != sys.executable and packages not in sys.path:
        # The environment's folder is named after the Python below this one, so its packages fit.
        sys.path.insert(0, packages)
    return True


def stderr_progress(line: str) -> None:
    """The usual `progress`: a person, or Claude, sees why the first start takes long."""
    print(line, file=sys.stderr, flush=True)


def locked_packages(locked: str) -> dict[str, str]:
    """Normalised name to version of every distribution that the lock file asks for on this platform."""
    packages = {}
    for line in locked.splitlines():
        requirement, _, marker = line.rstrip("\\ ").partition(";")
        name, pinned, version = requirement.strip().partition("==")
        if pinned and name[0].isalnum() and (not marker or marker_applies(marker)):
            packages[_normalised(name)] = version
    return packages


def marker_applies(marker: str) -> bool:
    """Evaluates a marker as universal lock files hold them: comparisons, `and`, `or`, no brackets."""
    return any(
        all(_comparison_holds(part) for part in alternative.split(" and ")) for alternative in marker.split(" or ")
    )


def _comparison_holds(comparison: str) -> bool:
    name, operator, quoted = comparison.split()
    value = quoted.strip("'\"")
    if name == "python_full_version":
        mine: object = sys.version_info[: value.count(".") + 1]
        theirs: object = tuple(int(part) for part in value.split("."))
    else:
        mine, theirs = _platform_facts()[name], value
    if operator == "==":
        return mine == theirs
    if operator == "!=":
        return mine != theirs
    if not isinstance(mine, tuple) or not isinstance(theirs, tuple):
        raise ValueError(f"no order is defined for {comparison!r}")
    return {"<": mine < theirs, ">=": mine >= theirs}[operator]


def _platform_facts() -> dict[str, str]:
    implementation = {"cpython": "CPython", "pypy": "PyPy"}
    return {
        "sys_platform": sys.platform,
        "os_name": os.name,
        "platform_python_implementation": implementation.get(sys.implementation.name, sys.implementation.name),
    }


def environment_folder(data_dir: str, locked: str) -> str:
    """The final name of the environment for this lock file's text and the Python below this interpreter.

    Base Pythons don't share one: an upgrade in place, or a container with the same home, gets its own.
    """
    base = base_python()
    details = os.stat(base)
    key = crc32(f"{locked}\0{base}\0{details.st_mtime_ns}\0{details.st_size}".encode("utf-8", "surrogateescape"))
    return os.path.join(data_dir, "env", f"{sys.implementation.cache_tag}-{key:08x}")


def _own_folders() -> list[str]:
    """Where this interpreter's own packages are; not PYTHONPATH, which may be another one next time."""
    foreign = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in sys.path if path.startswith(sys.prefix + os.sep) and path not in foreign]


def _are_installed(wanted: dict[str, str], folders: Iterable[str]) -> bool:
    found = set()
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:  # a zip file, or a folder that is not there
            continue
        for name in names:
            if name.endswith(".dist-info"):
                package, _, version = name[: -len(".dist-info")].rpartition("-")
                found.add((_normalised(package), version))
    return found.issuperset(wanted.items())


def _normalised(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _mark_used(folder: str) -> None:
    import time

    try:
        if time.time() - os.stat(folder).st_mtime > USE_MARK_S:
            os.utime(folder)
    except OSError:
        pass  # a read-only data dir: nothing is removed from it either


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
