"""A first look at the store, before anything of the program is loaded: is there something to do for a session at all?

Costs about 5 ms, nearly all of it for loading SQLite; nothing while the store stays as it was at the last look. Answers
yes wherever it cannot tell, and leaves the rest to the hook.
"""

import os
import time

# A question's name, and its SQL. It depends on the store and the session alone.
ACTIVE = ("active", "SELECT 1 FROM jobs WHERE claude_session = ? AND status IN ('queued', 'running') LIMIT 1")
DISPATCHES = ("dispatches", "SELECT 1 FROM dispatches WHERE claude_session = ? LIMIT 1")
# As in companion.store, which takes too long to load here.
PRINTING = "('task', 'review', 'adversarial-review', 'wait-and-result', 'result')"
# An ended job without a delivery that the main model has certainly read.
UNREAD = (
    "unread",
    f"""
    SELECT 1 FROM jobs LEFT JOIN deliveries d ON d.job = jobs.id AND d.claude_session = jobs.claude_session
    LEFT JOIN dispatches o ON o.job = jobs.id
    WHERE jobs.claude_session = ? AND jobs.status NOT IN ('queued', 'running') AND
    (d.confirmed_at IS NULL OR (o.heard = 0 AND d.channel IN {PRINTING})) LIMIT 1
""",
)
_KEY = b'"session_id":'
BUSY_S = 1.0
# Two changes within a file system's coarsest clock bear the same time. After this long, another one cannot.
SETTLED_S = 3.0


def finds(question: "tuple[str, str]", payload: bytes, data_dir: str) -> bool:
    """Whether the store answers this for the payload's session, or cannot be asked so simply."""
    path = os.path.join(data_dir, "jobs.db")
    if not os.path.exists(path):
        return False
    name, sql = question
    session = session_of(payload)
    note = os.path.join(data_dir, f"nothing-{name}")
    try:
        stamp = _stamp(path)
        nothing = f"{session}\n{stamp}\n{sql}" if session and stamp else ""
        if nothing and _read(note) == nothing:
            return False
        # The package around it would take longer to load than all the rest.
        from _sqlite3 import connect

        db = connect(path, timeout=BUSY_S)
        try:
            found = not session or db.execute(sql, (session,)).fetchone() is not None
        finally:
            db.close()
        if nothing and not found:
            _write(note, nothing)
        return found
    except Exception:
        return True


def session_of(payload: bytes) -> str:
    """The session's id in a payload as Claude Code writes it; empty if it is written in another way."""
    _, found, rest = payload.partition(_KEY)
    value = rest.lstrip()[:80].split(b'"')
    return value[1].decode("ascii", "replace") if found and len(value) > 2 and value[0] == b"" else ""


def _stamp(path: str) -> str:
    """What every later write to the store changes; empty if one may just have happened."""
    told = []
    for file in (path, path + "-wal"):
        try:
            facts = os.stat(file)
        except FileNotFoundError:
            told.append("none")
            continue
        if time.time() - facts.st_mtime <= SETTLED_S:
            return ""
        told.append(f"{facts.st_ino} {facts.st_size} {facts.st_mtime_ns}")
    return ", ".join(told)


def _read(note: str) -> str:
    try:
        with open(note, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _write(note: str, text: str) -> None:
    """Half a note, after a kill or beside another writer, is none: it equals nothing."""
    try:
        fd = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return
