"""The benchmark: what users wait and pay for, side by side in one run, on the real opencode.

    python3 tests/bench.py                                figures on stdout; about 8 minutes
    python3 tests/bench.py --quick                        the same figures from few rounds, to see that all work
    python3 tests/bench.py --only commands                hooks and commands alone; `--only jobs`: the others
    python3 tests/bench.py --json FILE                    also as JSON, `-` for stdout
    python3 tests/bench.py --markdown docs/benchmarks.md  also into the tables of that page

It makes its environment and takes opencode from npm as the test command does. docs/benchmarks.md describes the JSON,
and says what would make each number lie.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from typing import Any

# The test command: makes the environment, and says where the real programs are.
from run import development_python, real_programs, say

from companion.errors import CompanionError


def main() -> int:
    """Measures in the development environment; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that all works, not how fast")
    parser.add_argument("--only", choices=("commands", "jobs"), help="measure only these")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too, - for stdout instead of text")
    parser.add_argument("--markdown", metavar="FILE", help="replace the tables of this page by this run's")
    options = parser.parse_args()
    python = development_python()
    if python != sys.executable:
        return subprocess.call([python, os.path.abspath(__file__), *sys.argv[1:]])
    with contextlib.redirect_stdout(sys.stderr):
        if not os.environ.get("OPENCODE_TEST_BIN"):
            os.environ.update(real_programs())
        run = measure(options)
    show(run, options)
    return 0


def measure(options: argparse.Namespace) -> "dict[str, Any]":
    """What the options ask for, as benchmarks.figures.document gives it."""
    import tempfile
    import time
    from pathlib import Path

    from benchmarks import commands, facts, figures, jobs
    from conftest import leave_callers_settings

    leave_callers_settings()
    described = facts.facts(os.environ["OPENCODE_TEST_BIN"], commands.SYSTEM_PYTHON)
    taken_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    found: figures.Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "jobs":
            say("hooks and commands")
            found.update(commands.measure(Path(folder), rounds=2 if options.quick else 20))
        if options.only != "commands":
            say("jobs on the real opencode")
            found.update(jobs.measure(Path(folder), jobs.QUICK if options.quick else jobs.FULL))
    return figures.document(found, described, options.quick, taken_at)


def show(run: "dict[str, Any]", options: argparse.Namespace) -> None:
    """Writes the run where the options say."""
    import json
    from pathlib import Path

    from benchmarks import figures

    as_json = json.dumps(run, indent=2)
    print(as_json if options.json == "-" else figures.text(run))
    if options.json not in (None, "-"):
        Path(options.json).write_text(as_json + "\n", encoding="utf-8")
    if options.markdown:
        page = Path(options.markdown)
        page.write_text(figures.page(page.read_text(encoding="utf-8"), run), encoding="utf-8")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CompanionError as error:
        sys.exit(f"tests/bench.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
