"""Is a job's answer in a text? A model that hands a report on may indent, quote, re-wrap or emphasise it."""

from __future__ import annotations

import json
import re
import unicodedata

from companion.jobs import JOB_ID, Job
from companion.states import Status

# A report that lost a little of its answer is still the report.
ENOUGH = 0.9
# Shorter answers ("42", "done") may stand in any text by chance, so they must stand there as words of their own.
SHORT_CHARS = 24
_EMPHASIS = re.compile(r"[*_`~]+")
_DRESS = re.compile(r"[#>|\"'“”‘’«»\\-]+|^\s*(?:\d+[.)]|[-+•])\s+", re.MULTILINE)


def plain(text: str) -> str:
    """The text without case, markdown and spacing."""
    bare = _EMPHASIS.sub("", unicodedata.normalize("NFKC", text).replace("&lt;", "<"))
    bare = _DRESS.sub(" ", bare)
    return " ".join(bare.casefold().split())


def contains(text: str, answer: str) -> bool:
    """Whether the answer, or nearly all of it, stands in the text."""
    wanted = plain(answer)
    if not wanted:
        return not answer.strip() or answer.strip() in text
    found = plain(text)
    if len(wanted) < SHORT_CHARS:
        return bool(re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", plain(JOB_ID.sub(" ", text))))
    if wanted in found:
        return True
    lines = [line for line in map(plain, answer.splitlines()) if line]
    there = sum(len(line) for line in lines if line in found)
    return there >= ENOUGH * sum(map(len, lines))


def reported(text: str, job: Job) -> bool:
    """Whether the text tells how an ended job came out: its answer, or for one without, what became of it."""
    if job.status is Status.COMPLETED:
        return contains(text, job.result or "")
    told = plain(text)
    signs = [job.reason or "", job.error_message or "", "OPENCODE_RESCUE_FAILED"]
    if job.status is Status.CANCELLED:
        signs.append(job.status.value)
    return job.id in text and any(plain(sign) in told for sign in signs if sign)


def printed(output: str, job: Job) -> bool:
    """Whether a command's output is, or holds, the report of an ended job, as text or as JSON."""
    if job.id not in output:
        return False
    if reported(output, job):
        return True
    return bool(job.result) and json.dumps(job.result, ensure_ascii=False)[1:-1] in output
