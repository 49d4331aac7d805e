"""One thing that was looked at: how it stands, and what mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from companion.errors import CompanionError, StoreError
from companion.failures import one_line

OK, WARN, FAIL = "ok", "warn", "fail"
_WORST = (OK, WARN, FAIL)


class Check(NamedTuple):
    """`status` is `ok`, `warn` or `fail`; `fix` is the command, or the step, that mends it; empty where none is due."""

    name: str
    status: str
    detail: str
    fix: str = ""


class Finding(NamedTuple):
    """A part of what one check found."""

    status: str
    detail: str
    fix: str = ""


def ok(detail: str) -> Finding:
    """Nothing is wrong with it."""
    return Finding(OK, detail)


def warn(detail: str, fix: str = "") -> Finding:
    """It works, but not as one would wish."""
    return Finding(WARN, detail, fix)


def fail(detail: str, fix: str = "") -> Finding:
    """It does not work."""
    return Finding(FAIL, detail, fix)


def run(name: str, look: Callable[[], list[Finding]]) -> Check:
    """The check's result. A fault of the check itself is a failure of that check, and of nothing else."""
    try:
        findings = look()
    except StoreError:  # the store's own check fails, and says what helps
        findings = [warn("That cannot be told as long as the job store cannot be read.")]
    except CompanionError as error:
        findings = [fail(str(error))]
    except Exception as error:
        findings = [fail(f"This check met a fault ({type(error).__name__}: {error}).")]
    status = max((finding.status for finding in findings), key=_WORST.index, default=OK)
    if status != OK:  # what is well is not worth a word beside what is not
        findings = [finding for finding in findings if finding.status != OK]
    detail = " ".join(finding.detail for finding in findings)
    # In the order of weight, each once.
    fixes = [f.fix for weight in (FAIL, WARN) for f in findings if f.status == weight and f.fix]
    return Check(name, status, one_line(detail, 1_500), one_line("; ".join(dict.fromkeys(fixes)), 600))
