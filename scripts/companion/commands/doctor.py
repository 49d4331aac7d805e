"""Check the installation: each part with what is wrong and the command that mends it. Exit 1 when a check fails.

--fix makes the data folder private again, makes the Python environment, heals jobs, and lets the global opencode
config allow what unattended work needs (bash, edit, webfetch, external_directory), with a backup; a deny stays.
--self-test runs a real job with the scripted model that ships with the plugin: it tells a fault of the installation
from one of your provider.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from companion.commands.options import add_json
from companion.context import Context
from companion.health import check, hooks, installation, opencode, repair, work
from companion.health.check import Check, Finding
from companion.output import EXIT_DONE, EXIT_ERROR, show, show_json, tell
from companion.progress import ticking

CHECKS: tuple[tuple[str, Callable[[Context], list[Finding]]], ...] = (
    ("python", installation.python),
    ("variables", installation.variables),
    ("data-dir", installation.data_folder),
    ("store", installation.job_store),
    ("opencode", opencode.program),
    ("config", opencode.config),
    ("provider", opencode.provider),
    ("server", opencode.server),
    ("jobs", work.jobs),
    ("hooks", hooks.hooks),
    ("plugin", installation.plugin),
)
MARKS = {check.OK: "ok  ", check.WARN: "warn", check.FAIL: "FAIL"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--fix", action="store_true", help="mend what can be mended, then check")
    parser.add_argument("--self-test", action="store_true", help="also run a real job with the scripted model")
    parser.add_argument("--verbose", action="store_true", help="tell the details of what is well, too")
    add_json(parser)


def run(context: Context, options: argparse.Namespace) -> int:
    """Mend if asked to, check, and show."""
    repairs = repair.repair_all(context) if options.fix else []
    with ticking("checking"):
        checks = [check.run(name, lambda look=look: look(context)) for name, look in CHECKS]  # type: ignore[misc]
    if options.self_test:
        checks.append(check.run("self-test", lambda: self_test(context)))
    healthy = all(result.status != check.FAIL for result in checks)
    if options.json:
        answer: dict[str, object] = {
            "ok": healthy,
            "checks": [{**result._asdict(), "fix": result.fix or None} for result in checks],
        }
        if options.fix:
            answer["repairs"] = [done._asdict() for done in repairs]
        show_json(answer)
    else:
        lines = [f"{done.outcome}: {done.detail or done.name}" for done in repairs if done.outcome != "nothing"]
        if options.fix:
            lines = [*(lines or ["There was nothing to mend."]), ""]
        for result in checks:
            lines += _lines(result, options.verbose)
        lines += ["", _sum(checks)]
        show("\n".join(lines))
    return EXIT_DONE if healthy else EXIT_ERROR


def _lines(result: Check, verbose: bool) -> list[str]:
    mark = MARKS[result.status]
    if result.status == check.OK and not verbose:
        return [f"{mark}  {result.name}"]
    lines = [f"{mark}  {result.name:<9}  {result.detail}"]
    return [*lines, f"{'':6}{'':9}  Mend it: {result.fix}"] if result.fix else lines


def _sum(checks: list[Check]) -> str:
    bad, odd = (sum(result.status == status for result in checks) for status in (check.FAIL, check.WARN))
    if not bad and not odd:
        return f"All {len(checks)} checks passed."
    warnings = f", {odd} warned" if odd else ""
    return (f"{bad} of {len(checks)} checks failed" if bad else "No check failed") + f"{warnings}."


def self_test(context: Context) -> list[Finding]:
    """A real job on the real opencode; only the model is played."""
    from companion.demo.tour import take_tour
    from companion.states import Status

    path = opencode.find_program(context).path
    tell("The self-test runs a job with a scripted model; this takes some seconds.")
    outcome = take_tour(context, path, lambda line: None)
    job = outcome.job
    if job.status is Status.COMPLETED and outcome.diff:
        return [check.ok(f"A job went through opencode and mended a file, in {job.elapsed_ms / 1000:.1f} s.")]
    said = f"The job ended {job.status.value} ({job.reason or 'without its change'}): {job.error_message or ''}"
    return [check.fail(said, f"look into the logs in {context.data_dir}/logs")]
