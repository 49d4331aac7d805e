"""The test command: lint, types and tests, in an environment that it makes itself below .cache/.

    python3 tests/run.py            everything; the real opencode and Claude Code come from npm, pinned
    python3 tests/run.py --fast     without the tests that need the real programs, the network or much time
    python3 tests/run.py --lint     ruff and mypy alone
    python3 tests/run.py --python   prints the path of the Python in that environment
    python3 tests/run.py --relock   makes both requirements.lock files anew from their requirements.in

Other arguments go to pytest. The last line is pytest's summary; the exit code is not 0 when anything failed.
"""

import os
import shutil
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(ROOT, ".cache")
sys.pycache_prefix = os.path.join(CACHE, "pycache")
sys.path.insert(0, os.path.join(ROOT, "scripts"))

import opencode_companion  # noqa: E402

if sys.version_info < opencode_companion.OLDEST_PYTHON:
    opencode_companion.replace_old_python(os.path.abspath(sys.argv[0]))

from companion import bootstrap, filelock  # noqa: E402
from companion.errors import CompanionError  # noqa: E402

DEV_LOCK = os.path.join(ROOT, "tests", "requirements.lock")
DEV_MODULES = (*bootstrap.RUNTIME_MODULES, "hypothesis", "mypy", "pytest", "ruff", "syrupy", "uv")
NPM_TOOLS = os.path.join(ROOT, "tests", "tools")
# npm's folder, the program in it, and the script that puts that program in its place
OPENCODE = ("opencode-ai", "bin/opencode.exe", "postinstall.mjs")
CLAUDES = (
    ("@anthropic-ai/claude-code-197", "bin/claude.exe", "install.cjs"),
    ("@anthropic-ai/claude-code-latest", "bin/claude.exe", "install.cjs"),
)
TYPED = ("scripts", "hooks", "tests")
NPM_WAIT_S = 20 * 60
PROBE_S = 120


def main(arguments: list[str]) -> int:
    """Runs what the arguments ask for; the exit code."""
    own = {"--fast", "--lint", "--python", "--relock"}
    chosen = own.intersection(arguments)
    for_pytest = [argument for argument in arguments if argument not in own]
    python = development_python()
    if "--python" in chosen:
        print(python)
        return 0
    if "--relock" in chosen:
        return relock(python)

    failed = lint(python)
    if "--lint" in chosen:
        return 1 if failed else 0
    # Started in the background of a script, we and all below us would be deaf to Ctrl-C, which tests try.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = dict(os.environ)
    if not any(argument.startswith(("-n", "--dist")) for argument in for_pytest):
        # With the real programs much of the time is waiting. In the order of the folders, those come first.
        workers = "2" if "--fast" in chosen else "3"
        for_pytest += ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    if "--fast" in chosen:
        for_pytest += ["-m", "not slow and not claude"]
    else:
        environment.update(real_programs())
    # -X and not PYTHONPYCACHEPREFIX: what the tests start must decide for itself where its byte code goes.
    byte_code = f"pycache_prefix={sys.pycache_prefix}"
    code = run([python, "-X", byte_code, "-m", "pytest", *for_pytest], environment)
    return code or (1 if failed else 0)


def development_python() -> str:
    """The Python with everything that tests and benchmarks import, made below .cache/ where there is none."""
    return bootstrap.ensure_environment(CACHE, bootstrap.stderr_progress, DEV_LOCK, DEV_MODULES)


def lint(python: str) -> list[str]:
    """The names of the checks that failed. All of them run."""
    typed = [folder for folder in TYPED if holds_python(os.path.join(ROOT, folder))]
    checks = {
        "ruff check": [python, "-m", "ruff", "check", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "mypy": [python, "-m", "mypy", *typed],
    }
    failed = []
    for name, command in checks.items():
        say(name)
        if run(command) != 0:
            failed.append(name)
    if failed:
        say("FAILED: " + ", ".join(failed))
    return failed


def real_programs() -> dict[str, str]:
    """Installs the pinned npm tools, once for each lock file; the variables that say where they are."""
    from zlib import crc32

    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        raise CompanionError(
            "npm was not found, and with it the real opencode and Claude Code that the tests drive. "
            "Install Node.js 20 or newer, or run the other tests: python3 tests/run.py --fast"
        )
    with open(os.path.join(NPM_TOOLS, "package-lock.json"), "rb") as file:
        home = os.path.join(CACHE, "npm", f"{crc32(file.read()):08x}")
    os.makedirs(os.path.dirname(home), exist_ok=True)
    with filelock.held(os.path.join(CACHE, "npm", "lock"), NPM_WAIT_S):
        if not os.path.isdir(home):
            install_npm_tools(npm, node, home)
    modules = os.path.join(home, "node_modules")
    return {
        "OPENCODE_TEST_BIN": program_in(modules, OPENCODE),
        "CLAUDE_TEST_BINS": os.pathsep.join(program_in(modules, claude) for claude in CLAUDES),
    }


def install_npm_tools(npm: str, node: str, home: str) -> None:
    """`npm ci` in a folder that is renamed to `home` when every program in it has said its version."""
    say("npm ci: the real opencode and Claude Code, about 1 GB (once)")
    for name in os.listdir(os.path.dirname(home)):
        if name.startswith("build-"):  # left behind by a kill; we hold the lock
            shutil.rmtree(os.path.join(os.path.dirname(home), name), ignore_errors=True)
    build = os.path.join(os.path.dirname(home), f"build-{os.getpid()}")
    shutil.copytree(NPM_TOOLS, build)
    try:
        if run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=build) != 0:
            raise CompanionError(
                "npm could not install the test tools; its message is above. Check the network and npm's "
                "registry setting, or run the other tests: python3 tests/run.py --fast"
            )
        for tool in (OPENCODE, *CLAUDES):
            make_runnable(node, os.path.join(build, "node_modules"), tool)
        os.rename(build, home)
    finally:
        shutil.rmtree(build, ignore_errors=True)


def make_runnable(node: str, modules: str, tool: tuple[str, str, str]) -> None:
    """npm may have been told to run no install scripts; then the program is not in its place yet."""
    if says_version(program_in(modules, tool)):
        return
    folder = os.path.join(modules, tool[0])
    run([node, tool[2]], cwd=folder)
    if not says_version(program_in(modules, tool)):
        raise CompanionError(f"{tool[0]} was installed from npm, but does not run on this machine.")


def program_in(modules: str, tool: tuple[str, str, str]) -> str:
    """The path of a tool's program."""
    return os.path.join(modules, *tool[0].split("/"), *tool[1].split("/"))


def says_version(program: str) -> bool:
    """Whether the program runs at all. It may write to its HOME, so it gets one that goes."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        environment = {**os.environ, "HOME": scratch, "XDG_DATA_HOME": scratch, "DISABLE_AUTOUPDATER": "1"}
        try:
            done = subprocess.run(
                [program, "--version"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=PROBE_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def relock(python: str) -> int:
    """Resolves both requirements files for every platform and supported Python, with hashes."""
    options = "--universal --generate-hashes --python-version 3.10 --only-binary :all: --upgrade"
    neutral = "--no-header --no-annotate --no-emit-index-url --quiet"
    for folder in (ROOT, os.path.join(ROOT, "tests")):
        command = [python, "-m", "uv", "pip", "compile", *options.split(), *neutral.split()]
        code = run([*command, "-o", "requirements.lock", "requirements.in"], cwd=folder)
        if code:
            return code
    return 0


def holds_python(folder: str) -> bool:
    """Whether there is a Python file below the folder; mypy ends with an error where there is none."""
    return any(name.endswith(".py") for _, _, names in os.walk(folder) for name in names)


def run(command: list[str], environment: "dict[str, str] | None" = None, cwd: str = ROOT) -> int:
    """Runs a command with our own input and output; its exit code."""
    return subprocess.call(command, env=environment, cwd=cwd, stdout=sys.stdout)


def say(line: str) -> None:
    """A line about what comes next, in its place between the tools' own lines."""
    print(f"== {line}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CompanionError as error:
        sys.exit(f"tests/run.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
