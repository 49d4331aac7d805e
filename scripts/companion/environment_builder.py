"""Makes the private Python environment, in a folder that gets its final name only when it works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from .errors import CompanionError
from .interpreters import base_python, python_of
from .progress import ticking

# One run of uv, venv or pip; a network that hangs must not hang the start for ever.
TOOL_LIMIT_S = 10 * 60
# Environments of other lock files and other Pythons go when nobody has used them for this long.
KEEP_UNUSED_S = 30 * 24 * 3600

# Settings that would send the packages elsewhere or change which ones are installed. Index, proxy and
# certificate settings stay: behind a company's proxy they are the only way in.
DROPPED_SETTINGS = re.compile(
    r"PYTHON(PATH|HOME|USERBASE|STARTUP|PLATLIBDIR)|VIRTUAL_ENV|__PYVENV_LAUNCHER__"
    r"|(PIP|UV)_(TARGET|PREFIX|ROOT|CONSTRAINT|OVERRIDE|REQUIREMENT|EDITABLE|NO_BINARY|BUILD_CONSTRAINT|DRY_RUN|LOG"
    r"|PYTHON|SYSTEM_PYTHON|PROJECT|PROJECT_ENVIRONMENT|WORKING_DIRECTORY|MANAGED_PYTHON|EXCLUDE_NEWER|REQUIRE_VIRTUALENV)"
)

NO_SPACE = "the disk is full. Free some space (about 100 MB are needed)"
WRONG_HASH = (
    "a downloaded package is not the one that the lock file names (hash mismatch), so it was not installed. "
    "Check the package index or proxy in use"
)
NO_NETWORK = "the package index cannot be reached. Check the network, or the proxy and index settings of pip and uv"
NO_PIP = "this Python has no usable pip. Install it (Debian and Ubuntu: sudo apt install python3-venv), or install uv"
UNKNOWN = "the tool that installs its packages failed. Look at its output and run the command again"
# First match wins: the more certain cause stands above the one that often comes with it.
CAUSES = (
    (
        r"no space left|os error 28\b|errno 28\b|disk quota exceeded|os error 122\b|not enough space",
        NO_SPACE,
    ),
    (r"do not match the hashes|hash mismatch|hashes? .*mismatch", WRONG_HASH),
    (
        r"certificate[ _]verify[ _]failed|invalid peer certificate|unknownissuer|self[- ]signed certificate",
        "the package index's TLS certificate is not trusted. Point SSL_CERT_FILE and PIP_CERT to the right authorities",
    ),
    (
        r"\b(401|403|407)\b.{0,40}(unauthorized|forbidden|client error)|proxy authentication required",
        "the package index or the proxy refuses the login. Correct the user and password in its settings",
    ),
    (
        r"new(http\w*)?connectionerror|connection (refused|reset|broken)|name or service not known|getaddrinfo"
        r"|name resolution|network is unreachable|no route to host|tcp connect error|dns error|proxyerror"
        r"|error sending request|could not connect|connecttimeout|read timed out|operation timed out"
        r"|failed to fetch|max retries exceeded|remotedisconnected|network connectivity is disabled",
        NO_NETWORK,
    ),
    (
        r"no module named '?venv",
        "this Python has no venv module. Install it (Debian and Ubuntu: sudo apt install python3-venv), or install uv",
    ),
    (
        r"no module named '?pip|ensurepip|no such option: --python",
        NO_PIP,
    ),
    (
        r"no matching distribution|no wheels with a matching|no solution found|not a supported wheel",
        "a package has no ready-made build for this Python and platform at this index. "
        "Use CPython 3.10 to 3.14, or another index",
    ),
    (
        r"permission denied|read-only file system",
        "the data folder cannot be written to. Correct its owner and mode",
    ),
)


class ToolFailed(Exception):
    """A tool that makes the environment ended with an error; the message is its output."""


def build_environment(
    data_dir: str, folder: str, lock_file: str, modules: Iterable[str], tell: Callable[[str], None]
) -> None:
    """Makes the environment `folder`, complete or not at all. The caller holds the lock.

    CompanionError in one line; the tools' full output is then in `logs/environment.log`.
    """
    started = time.monotonic()
    home = os.path.dirname(folder)
    log = os.path.join(data_dir, "logs", "environment.log")
    tell("Preparing the Python environment (first start, about 20 s)…")
    try:
        with ticking("downloading and installing packages"):
            # Once more at the end: a killed builder's pip goes on for some seconds in its own folder.
            _sweep(home, keep=folder)
            _build(home, folder, lock_file, tuple(modules), log)
            _sweep(home, keep=folder)
    except (ToolFailed, OSError) as error:
        failure = f"Cannot prepare the Python environment: {explain(str(error))}. The full output is in {log}."
        _write_quietly(os.path.join(home, "failed"), failure)
        raise CompanionError(failure) from error
    tell(f"The Python environment is ready ({time.monotonic() - started:.0f} s).")


def earlier_failure(data_dir: str, since: float) -> CompanionError | None:
    """What went wrong for the start that this one waited for. Ten starts must not try one by one."""
    note = os.path.join(data_dir, "env", "failed")
    try:
        if os.stat(note).st_mtime < since:
            return None
        with open(note, encoding="utf-8") as file:
            return CompanionError(file.read())
    except OSError:
        return None


def explain(output: str) -> str:
    """Why the environment could not be made and what to do about it, from a tool's or the system's words."""
    for pattern, cause in CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return cause
    return UNKNOWN


def _build(home: str, folder: str, lock_file: str, modules: tuple[str, ...], log: str) -> None:
    work = os.path.join(home, f"build-{os.getpid()}-{os.urandom(4).hex()}")
    new = os.path.join(work, "environment")
    os.makedirs(os.path.join(work, "tmp"), mode=0o700)
    os.chmod(work, 0o700)
    run = Tools(work, log)
    try:
        _install(run, new, lock_file)
        run(python_of(new), "-I", "-c", "import " + ", ".join(modules))
        if os.path.lexists(folder):  # it is broken, or it would have been used
            os.rename(folder, os.path.join(home, f"build-{os.urandom(4).hex()}"))
        os.rename(new, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _install(run: Tools, new: str, lock_file: str) -> None:
    """Makes the environment and installs the locked packages: with uv, or where that fails with venv and pip.

    No dependency is resolved (the lock is complete) and no source is built: nothing without a hash ever runs.
    """
    locked = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", lock_file)
    uv = shutil.which("uv")
    if uv:
        try:
            run(uv, "venv", "--no-python-downloads", "--python", base_python(), new)
            run(uv, "pip", "install", "--python", python_of(new), "--compile-bytecode", *locked)
            return
        except ToolFailed as error:
            if explain(str(error)) in (NO_SPACE, WRONG_HASH):
                raise
            shutil.rmtree(new, ignore_errors=True)

    run(base_python(), "-I", "-m", "venv", "--without-pip", new)
    install = ("install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", *locked)
    try:
        # The pip outside fills it: unpacking another one inside would take longer than the packages do.
        run(base_python(), "-I", "-m", "pip", "--python", python_of(new), *install)
    except ToolFailed as error:
        if explain(str(error)) not in (NO_PIP, UNKNOWN):
            raise
        # There is none, one from before 22.3, or a broken one.
        run(python_of(new), "-I", "-m", "ensurepip", "--default-pip")
        run(python_of(new), "-I", "-m", "pip", *install)


class Tools:
    """Runs the tools of one build: nothing on stdin, private files, temporary ones inside its folder."""

    def __init__(self, work: str, log: str) -> None:
        self._work = work
        self._log = log
        self._env = {name: value for name, value in os.environ.items() if not DROPPED_SETTINGS.fullmatch(name)}
        for name in ("TMPDIR", "TMP", "TEMP"):
            self._env[name] = os.path.join(work, "tmp")
        self._env["PIP_USER"] = "0"
        if self._env.get("PIP_RETRIES", "0") == "0":
            self._env["PIP_RETRIES"] = "2"  # pip names the network as the cause only where it tries again
        _write_quietly(log, "")

    def __call__(self, *command: str) -> None:
        """Runs one command to its end; ToolFailed with its output where it is not 0."""
        output = os.path.join(self._work, "output.txt")
        code: int | None = None
        try:
            with open(output, "wb", opener=_private) as file, self._start(command, file.fileno()) as process:
                try:
                    code = process.wait(TOOL_LIMIT_S)
                except subprocess.TimeoutExpired:
                    file.write(b"read timed out: ended after %d s\n" % TOOL_LIMIT_S)
                finally:
                    if code is None:
                        process.kill()
        finally:
            said = self._keep(command, output)
        if code != 0:
            raise ToolFailed(said)

    def _start(self, command: tuple[str, ...], output: int) -> subprocess.Popen[bytes]:
        umask = -1 if sys.platform == "win32" else 0o077
        return subprocess.Popen(
            command,
            cwd=self._work,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            umask=umask,
        )

    def _keep(self, command: tuple[str, ...], output: str) -> str:
        """Adds the command and its output, with passwords in addresses masked, to the log; the output."""
        try:
            with open(output, encoding="utf-8", errors="replace") as file:
                said = re.sub(r"(?<=://)[^/@\s]+@", "***@", file.read())
        except OSError:
            return ""
        _write_quietly(self._log, f"$ {' '.join(command)}\n{said}\n", "a")
        return said


def _sweep(home: str, keep: str) -> None:
    """Removes environments long unused and what dead builders left; only the lock's holder is alive."""
    for entry in os.scandir(home):
        if not entry.is_dir(follow_symlinks=False) or entry.path == keep:
            continue
        unused_s = time.time() - entry.stat().st_mtime
        if entry.name.startswith("build-") or unused_s > KEEP_UNUSED_S:
            shutil.rmtree(entry.path, ignore_errors=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_quietly(path: str, text: str, mode: str = "w") -> None:
    """Notes for people: a full disk must not hide the error that they are about."""
    try:
        with open(path, mode, encoding="utf-8", errors="replace", opener=_private) as file:
            file.write(text)
    except OSError:
        pass
