"""The private Python environment: made once, complete or not at all, or a clear line why it cannot be made.

Most tests install one package of their own from a folder, so they need no network, and with uv, because it is
fast. The data dir of all of them has a space and an umlaut in its name.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from companion import bootstrap, environment_builder, interpreters
from companion.errors import CompanionError

# Starts many processes.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
BASE = interpreters.base_python()
PACKAGE = "tiny_package"
LIMIT_S = 120

DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from companion import bootstrap
from companion.errors import CompanionError
data, lock, modules = sys.argv[2:5]
try:
    print(bootstrap.ensure_environment(data, bootstrap.stderr_progress, lock, modules.split(",")))
except CompanionError as error:
    sys.exit("ERROR " + str(error))
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and modes")


@dataclass
class Start:
    """First starts of the program in processes of their own, as a bare interpreter would make them."""

    data: Path
    lock: Path
    env: dict[str, str]
    python: str = BASE
    modules: str = PACKAGE
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def begin(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [self.python, "-c", DRIVER, str(SCRIPTS), str(self.data), str(self.lock), self.modules],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def succeed(self) -> str:
        """A start that must work; the environment's Python, seen to import what was asked for."""
        python, told = self.finish(self.begin())
        assert python, told
        imports = f"import {self.modules}"
        done = subprocess.run([python, "-I", "-c", imports], capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
        return python

    def fail(self) -> str:
        """A start that must not work; its one line."""
        python, told = self.finish(self.begin())
        assert not python
        return error_in(told)

    def finish(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        out, err = process.communicate(timeout=LIMIT_S)
        return out.strip(), err

    def environments(self) -> list[str]:
        return sorted(name for name in os.listdir(self.data / "env") if name.startswith("cpython-"))

    def leftovers(self) -> list[str]:
        return [name for name in os.listdir(self.data / "env") if name.startswith("build-")]


def error_in(told: str) -> str:
    lines = [line for line in told.splitlines() if not line.endswith("…")]
    assert len(lines) == 1 and lines[0].startswith("ERROR "), told
    return lines[0]


@pytest.fixture
def pip_start(tmp_path: Path, data_dir: Path) -> Iterator[Start]:
    """Starts with pip alone (no uv on PATH) that find the tiny package in a folder."""
    lock = tiny_lock(tmp_path / "wheels")
    foreign = ("PIP_", "UV_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
        "HOME": str(tmp_path / "home"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(tmp_path / "wheels"),
    }
    (tmp_path / "home").mkdir()
    start = Start(data_dir, lock, env)
    yield start
    for process in start.running:
        end_group(process)


@pytest.fixture
def start(pip_start: Start) -> Start:
    """The same with the uv of the test environment; without one, pip does it more slowly."""
    pip_start.env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + pip_start.env["PATH"]
    return pip_start


def end_group(process: subprocess.Popen[str]) -> None:
    """Ends a start and whatever tool it left running, and waits until they are gone."""
    if sys.platform == "win32":
        process.kill()
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.communicate(timeout=LIMIT_S)


def tiny_lock(wheels: Path, *, wrong_hash: bool = False) -> Path:
    """A package in a folder and the lock file that names it."""
    wheels.mkdir(exist_ok=True)
    wheel = wheels / f"{PACKAGE}-1.0-py3-none-any.whl"
    info = f"{PACKAGE}-1.0.dist-info"
    files = {
        f"{PACKAGE}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={urlsafe_digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    digest = "0" * 64 if wrong_hash else hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = wheels.parent / "requirements.lock"
    lock.write_text(f"tiny-package==1.0 \\\n    --hash=sha256:{digest}\n")
    return lock


def urlsafe_digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def await_that(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.002)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- finding it ---------------------------------------------------------------------------------------------


def test_nothing_is_found_and_nothing_made_before_the_first_start(start: Start) -> None:
    assert bootstrap.environment_python(str(start.data), str(start.lock)) is None
    assert not start.data.exists()


def test_the_running_interpreter_is_used_when_it_has_the_locked_packages(data_dir: Path) -> None:
    assert bootstrap.environment_python(str(data_dir)) == sys.executable
    assert bootstrap.ensure_environment(str(data_dir)) == sys.executable
    assert not data_dir.exists()


def test_one_version_that_differs_rules_the_running_interpreter_out(data_dir: Path, tmp_path: Path) -> None:
    locked = Path(bootstrap.RUNTIME_LOCK).read_text()
    other = tmp_path / "other.lock"
    other.write_text(re.sub(r"^(httpx==.*?) ", r"\g<1>.1 ", locked, flags=re.MULTILINE))
    assert other.read_text() != locked
    assert bootstrap.environment_python(str(data_dir), str(other)) is None


def test_packages_on_pythonpath_do_not_count(start: Start, tmp_path: Path) -> None:
    # They may be gone at the next start, while a supervisor still runs.
    (tmp_path / "foreign" / f"{PACKAGE}-1.0.dist-info").mkdir(parents=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from companion import bootstrap; "
        "print(bootstrap.environment_python(sys.argv[2], sys.argv[3]))"
    )
    done = subprocess.run(
        [BASE, "-c", code, SCRIPTS, start.data, start.lock],
        env={**start.env, "PYTHONPATH": str(tmp_path / "foreign")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.stdout.strip() == "None", done.stderr


def test_finding_it_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); "
        "from companion import bootstrap; bootstrap.environment_python('/nowhere'); "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([BASE, "-I", "-c", code, SCRIPTS], capture_output=True, text=True, timeout=LIMIT_S)
    assert set(done.stdout.split()) <= {
        "companion",
        "companion.bootstrap",
        "companion.interpreters",
        "binascii",
        "__future__",
    }


def test_every_marker_in_the_lock_is_understood() -> None:
    locked = Path(bootstrap.RUNTIME_LOCK).read_text()
    here = bootstrap.locked_packages(locked)
    assert {bootstrap._normalised(name) for name in bootstrap.RUNTIME_MODULES} <= set(here)
    assert ("exceptiongroup" in here) == (sys.version_info < (3, 11))


@pytest.mark.parametrize(
    ("marker", "applies"),
    [
        (f"sys_platform == '{sys.platform}'", True),
        (f"sys_platform != '{sys.platform}'", False),
        ("python_full_version >= '3.10'", True),
        ("python_full_version < '3.10'", False),
        (f"python_full_version < '3.10' or os_name == '{os.name}'", True),
        (f"python_full_version >= '3.10' and os_name != '{os.name}'", False),
        (f"python_full_version >= '3.{sys.version_info[1]}'", True),
        (f"python_full_version < '3.{sys.version_info[1] + 1}'", True),
    ],
)
def test_markers(marker: str, applies: bool) -> None:
    assert bootstrap.marker_applies(marker) is applies


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock"])
def test_the_lock_names_a_hash_for_each_package_and_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.findall(r"^[a-z0-9-]+==.*?(?=^[a-z]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(entries) == text.count("==") - text.count("' == '") - text.count(" == '")
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


# --- making it ----------------------------------------------------------------------------------------------


def test_a_first_start_makes_it_and_the_second_finds_it(start: Start) -> None:
    python, told = start.finish(start.begin())
    assert told.splitlines()[0].startswith("Preparing the Python environment")
    assert python.startswith(str(start.data))
    assert start.finish(start.begin()) == (python, "")
    assert not start.leftovers()


@posix
def test_all_of_it_is_private(start: Start) -> None:
    start.succeed()
    for path in (
        start.data,
        start.data / "env",
        start.data / "logs",
        start.data / "logs" / "environment.log",
    ):
        assert path.stat().st_mode & 0o077 == 0, path


def test_ten_first_starts_at_once_make_one(start: Start) -> None:
    ended = [start.finish(process) for process in [start.begin() for _ in range(10)]]
    assert len({python for python, _ in ended} - {""}) == 1, ended
    assert all(python for python, _ in ended), ended
    assert sum("Preparing" in told for _, told in ended) == 1
    assert len(start.environments()) == 1
    assert not start.leftovers()


def test_each_lock_file_has_its_own(start: Start) -> None:
    first = start.succeed()
    start.lock.write_text("# another one\n" + start.lock.read_text())
    assert start.succeed() != first
    assert len(start.environments()) == 2


@pytest.mark.parametrize("missing", ["bin/python", f"lib/*/site-packages/{PACKAGE}-1.0.dist-info"])
@posix
def test_a_broken_one_is_made_again(start: Start, missing: str) -> None:
    python = start.succeed()
    (broken,) = Path(python).parent.parent.glob(missing)
    if broken.is_dir():
        shutil.rmtree(broken)
    else:
        broken.unlink()
        broken.symlink_to(start.data / "a-python-that-is-gone")
    assert start.succeed() == python
    assert not start.leftovers()


def test_those_unused_for_long_are_removed(start: Start) -> None:
    for name, days in (("cpython-old", 40), ("cpython-recent", 20)):
        (start.data / "env" / name / "lib").mkdir(parents=True)
        used = time.time() - days * 24 * 3600
        os.utime(start.data / "env" / name, (used, used))
    start.succeed()
    assert "cpython-recent" in start.environments()
    assert "cpython-old" not in start.environments()


def test_using_one_keeps_it_from_being_removed(start: Start) -> None:
    folder = Path(start.succeed()).parent.parent
    os.utime(folder, (1, 1))
    start.succeed()
    assert time.time() - folder.stat().st_mtime < LIMIT_S


@pytest.mark.slow
def test_a_uv_that_fails_is_no_obstacle(pip_start: Start, tmp_path: Path) -> None:
    start = pip_start
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin" / "uv"
    uv.write_text("#!/bin/sh\necho this uv is broken\nexit 1\n")
    uv.chmod(0o755)
    start.env["PATH"] = f"{uv.parent}:{start.env['PATH']}"
    start.succeed()
    assert "this uv is broken" in (start.data / "logs" / "environment.log").read_text()


@pytest.mark.slow
def test_settings_that_would_install_elsewhere_are_not_obeyed(pip_start: Start, tmp_path: Path) -> None:
    pip_start.env |= {"PIP_TARGET": str(tmp_path / "target"), "PIP_USER": "1", "PIP_DRY_RUN": "1"}
    pip_start.succeed()
    assert not (tmp_path / "target").exists()


# --- killed half-way ----------------------------------------------------------------------------------------

STAGES = {
    "the folder is there": "build-*",
    "its Python is there": "build-*/environment/bin/python",
    "the package is there": f"build-*/environment/lib/*/site-packages/{PACKAGE}*",
    "it has its name": "cpython-*",
}


@posix
@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the start alone", "its tools too"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_start_after_a_kill_works(start: Start, stage: str, whom: str) -> None:
    kill_at(start, STAGES[stage], whom)
    start.succeed()
    assert len(start.environments()) == 1
    if whom == "its tools too":
        assert not list((start.data / "env").glob("build-*/environment"))


@posix
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["its Python is there", "the package is there"])
def test_a_start_after_a_kill_works_with_pip_too(pip_start: Start, stage: str) -> None:
    kill_at(pip_start, STAGES[stage], "the start alone")
    pip_start.succeed()
    assert len(pip_start.environments()) == 1


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("tool", "within_s"), [("start", 0.3), ("pip_start", 2.0)])
def test_a_start_after_kills_at_random_moments_works(
    request: pytest.FixtureRequest, tool: str, within_s: float
) -> None:
    starts: Start = request.getfixturevalue(tool)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for attempt in range(6):
        starts.lock.write_text(f"# attempt {attempt}\n" + starts.lock.read_text())
        killed = starts.begin()
        try:
            killed.wait(chance.uniform(0.0, within_s))
        except subprocess.TimeoutExpired:
            pass
        kill(killed, chance.choice(["the start alone", "its tools too"]))
    starts.succeed()


def kill_at(start: Start, seen: str, whom: str) -> None:
    """Kills a start at the moment that `seen` exists below its `env` folder."""
    killed = start.begin()
    await_that(lambda: any((start.data / "env").glob(seen)) or killed.poll() is not None, seen)
    assert killed.poll() in (None, 0), killed.communicate()
    kill(killed, whom)


def kill(process: subprocess.Popen[str], whom: str) -> None:
    if whom == "the start alone":
        process.kill()
        process.wait(LIMIT_S)
    else:
        end_group(process)


@posix
def test_an_interrupted_start_leaves_nothing_behind(pip_start: Start, tmp_path: Path) -> None:
    start = pip_start
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin" / "uv"
    uv.write_text(f"#!/bin/sh\ntouch '{tmp_path}/runs'\nexec sleep 600\n")
    uv.chmod(0o755)
    start.env["PATH"] = f"{uv.parent}:{start.env['PATH']}"
    process = start.begin()
    await_that((tmp_path / "runs").exists, "a tool runs")
    assert start.leftovers()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=LIMIT_S)
    assert not start.leftovers()
    assert not start.environments()


# --- when it cannot be made ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["start", "pip_start"])
def test_no_network(request: pytest.FixtureRequest, tool: str) -> None:
    start: Start = request.getfixturevalue(tool)
    secret = "s3cr3t"
    index = f"http://user:{secret}@127.0.0.1:{closed_port()}/simple"
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "UV_NO_INDEX", "UV_FIND_LINKS"):
        del start.env[name]
    start.env |= {"PIP_INDEX_URL": index, "PIP_RETRIES": "0", "no_proxy": "*"}
    start.env |= {"UV_DEFAULT_INDEX": index, "UV_HTTP_RETRIES": "0"}
    error = start.fail()
    assert "the package index cannot be reached" in error
    assert str(start.data / "logs" / "environment.log") in error
    assert secret not in error
    log = (start.data / "logs" / "environment.log").read_text()
    assert "127.0.0.1" in log
    assert secret not in log
    assert not start.leftovers()
    assert not start.environments()


def test_those_who_waited_for_a_failure_do_not_repeat_it(start: Start, tmp_path: Path) -> None:
    tiny_lock(tmp_path / "wheels", wrong_hash=True)
    ended = [start.finish(process) for process in [start.begin() for _ in range(5)]]
    assert len({error_in(told) for _, told in ended}) == 1
    assert sum("Preparing" in told for _, told in ended) == 1


def test_a_package_that_is_not_the_locked_one(start: Start, tmp_path: Path) -> None:
    tiny_lock(tmp_path / "wheels", wrong_hash=True)
    assert "hash mismatch" in start.fail()
    assert not start.environments()
    # Nothing sticks: with the right lock file the next start works.
    tiny_lock(tmp_path / "wheels")
    start.succeed()


@posix
@pytest.mark.parametrize(
    ("without", "said"),
    [(("venv", "ensurepip"), "no venv module"), (("ensurepip", "site-packages"), "no usable pip")],
)
def test_a_python_without_its_tools(pip_start: Start, tmp_path: Path, without: tuple[str, ...], said: str) -> None:
    start = pip_start
    start.python = crippled_python(tmp_path / "python", without)
    error = start.fail()
    assert said in error
    assert "apt install python3-venv" in error
    assert not start.leftovers()


@posix
@pytest.mark.slow
def test_a_python_without_ensurepip_uses_the_pip_it_has(pip_start: Start, tmp_path: Path) -> None:
    start = pip_start
    start.python = crippled_python(tmp_path / "python", ("ensurepip",))
    has_pip = subprocess.run([start.python, "-I", "-m", "pip", "--version"], capture_output=True, timeout=LIMIT_S)
    if has_pip.returncode:
        pytest.skip("the Python below this one has no pip")
    start.succeed()


@posix
@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True], ids=["no pip", "a broken pip"])
def test_a_python_without_a_usable_pip_unpacks_its_own(pip_start: Start, tmp_path: Path, broken: bool) -> None:
    start = pip_start
    start.python = crippled_python(tmp_path / "python", ("site-packages",))
    if broken:
        (library,) = (tmp_path / "python" / "lib").iterdir()
        (library / "site-packages" / "pip").mkdir(parents=True)
        (library / "site-packages" / "pip" / "__main__.py").write_text("raise AttributeError('as an old one says')\n")
    start.succeed()
    assert "-m ensurepip" in (start.data / "logs" / "environment.log").read_text()


def crippled_python(home: Path, without: tuple[str, ...]) -> str:
    """A Python whose standard library is this one's, but for the named parts."""
    version = f"python3.{sys.version_info[1]}"
    library, own = Path(os.__file__).parent, home / "lib" / version
    own.mkdir(parents=True)
    for entry in library.iterdir():
        if entry.name not in without:
            (own / entry.name).symlink_to(entry)
    (home / "bin").mkdir()
    python = home / "bin" / version
    shutil.copy(BASE, python)
    check = "import os, sys; print(os.__file__)"
    done = subprocess.run([python, "-I", "-c", check], capture_output=True, text=True, timeout=LIMIT_S)
    if not done.stdout.startswith(str(home)):
        pytest.skip(f"this Python cannot be copied: {done.stderr or done.stdout}")
    return str(python)


@posix
def test_a_data_dir_that_cannot_be_written_to() -> None:
    # Root may write anywhere, so root becomes somebody else first, and that one has to get at Python.
    root = os.geteuid() == 0
    python = "/usr/bin/python3" if root else BASE
    if not (os.access(python, os.X_OK) and is_new_enough(python)):
        pytest.skip("no Python that everybody can run")
    imports = "from companion import datadir, environment_builder, filelock"
    drop = f"import os; {root} and os.setuid(65534)"
    code = DRIVER.replace("data, lock", f"{imports}\n{drop}\ndata, lock", 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(bootstrap.RUNTIME_LOCK, folder / "lock")
        folder.chmod(0o555)
        done = subprocess.run(
            [python, "-B", "-c", code, SCRIPTS, folder / "data", folder / "lock", "httpx"],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        folder.chmod(0o700)
    error = error_in(done.stderr)
    assert str(folder / "data") in error
    assert "not yours to write to" in error
    assert "OPENCODE_COMPANION_DATA" in error


def is_new_enough(python: str) -> bool:
    probe = "import sys; sys.exit(sys.version_info < (3, 10))"
    return subprocess.run([python, "-c", probe], timeout=LIMIT_S).returncode == 0


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "the disk is full",
        ),
        ("error: failed to write to file: No space left on device (os error 28)", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "hash mismatch"),
        ("error: Hash mismatch for `httpx==0.28.1`", "hash mismatch"),
        (
            "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError(...)'\n"
            "ERROR: No matching distribution found for httpx==0.28.1",
            "cannot be reached",
        ),
        (
            "error: Failed to fetch: `…`\n  Caused by: dns error: failed to lookup address",
            "cannot be reached",
        ),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "TLS certificate"),
        ("client error (Connect): invalid peer certificate: UnknownIssuer", "TLS certificate"),
        ("ERROR: HTTP error 403 while getting …\n403 Client Error: Forbidden for url", "refuses the login"),
        ("ProxyError('Tunnel connection failed: 407 Proxy Authentication Required')", "refuses the login"),
        ("ERROR: No matching distribution found for rpds-py==0.30.0", "no ready-made build"),
        ("something nobody has seen", "failed. Look at its output"),
    ],
)
def test_each_cause_has_its_sentence(output: str, cause: str) -> None:
    said = environment_builder.explain(output)
    assert cause in said
    assert "\n" not in said


def test_a_full_disk_is_said_even_where_no_note_can_be_written(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(environment_builder, "_build", full)
    monkeypatch.setattr(environment_builder, "_write_quietly", lambda *_: None)
    with pytest.raises(CompanionError, match="the disk is full"):
        bootstrap.ensure_environment(str(start.data), None, str(start.lock), [PACKAGE])


# --- the real packages --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_locked_packages_install_and_import(start: Start, tool: str) -> None:
    start.env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    start.env["PATH"] = "/usr/bin:/bin"
    if tool == "uv":
        start.env["PATH"] = os.path.dirname(sys.executable) + ":" + start.env["PATH"]
    start.lock = Path(bootstrap.RUNTIME_LOCK)
    start.modules = ",".join(bootstrap.RUNTIME_MODULES)
    start.succeed()
    assert (tool == "uv") == ("uv venv" in (start.data / "logs" / "environment.log").read_text())


# --- an old Python ------------------------------------------------------------------------------------------


def old_python() -> str | None:
    folders = [Path(part) for part in os.environ["PATH"].split(os.pathsep)]
    folders += sorted(Path.home().glob(".pyenv/versions/3.[6-9].*/bin"))
    for folder in folders:
        for name in ("python3.9", "python3.8", "python3.7", "python3.6"):
            if (folder / name).is_file() and works(folder / name):
                return str(folder / name)
    return None


def works(python: Path) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, timeout=LIMIT_S).returncode == 0


@dataclass
class OldPython:
    """The real entry file under a Python that is too old for the program."""

    python: str
    plugin: Path
    path: Path

    def run(self) -> subprocess.CompletedProcess[str]:
        # Only the folder on PATH counts: a newer Python in the machine's usual places would always be found.
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); import opencode_companion as entry; "
            "sys.argv = [sys.argv[1] + '/opencode_companion.py', 'task', 'a b']; "
            "entry.USUAL_FOLDERS = (); entry.run()"
        )
        return subprocess.run(
            [self.python, "-c", code, self.plugin],
            env={"PATH": str(self.path), "HOME": str(self.path)},
            input="task text",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )


@pytest.fixture
def old(tmp_path: Path) -> OldPython:
    python = old_python()
    if python is None:
        pytest.skip("no Python older than 3.10 on this machine")
    plugin, path = tmp_path / "plugin", tmp_path / "path"
    (plugin / "companion").mkdir(parents=True)
    path.mkdir()
    shutil.copy(SCRIPTS / "opencode_companion.py", plugin)
    for name in ("__init__.py", "datadir.py", "errors.py"):
        shutil.copy(SCRIPTS / "companion" / name, plugin / "companion")
    (plugin / "companion" / "cli.py").write_text(
        "import sys\ndef main(argv):\n    print(sys.version_info[:2] >= (3, 10), argv, sys.stdin.read())\n"
    )
    return OldPython(python, plugin, path)


@posix
def test_an_old_python_alone_says_so(old: OldPython) -> None:
    done = old.run()
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"opencode-companion: this is Python 3\.[6-9], .*3\.10 or newer.*\n", done.stderr)


@posix
def test_an_old_python_hands_over_to_a_newer_one(old: OldPython) -> None:
    shim = old.path / "python3.14"
    shim.write_text("#!/bin/sh\necho 'python3.14: command not found in this version' >&2\nexit 127\n")
    shim.chmod(0o755)
    (old.path / "python3.12").symlink_to(old.python)
    (old.path / "python3").symlink_to(BASE)
    done = old.run()
    assert done.stdout == "True ['task', 'a b'] task text\n", done.stderr
    assert done.stderr == ""
