"""A first look at the store, before anything of the program is loaded: is there something to do for a session at all?

Costs about 5 ms. Answers yes wherever it cannot tell, and leaves the rest to the hook.
"""

import os

ACTIVE = "SELECT 1 FROM jobs WHERE claude_session = ? AND status IN ('queued', 'running') LIMIT 1"
DISPATCHES = "SELECT 1 FROM dispatches WHERE claude_session = ? LIMIT 1"
# As in companion.store, which takes too long to load here.
PRINTING = "('task', 'review', 'adversarial-review', 'wait-and-result', 'result')"
# An ended job without a delivery that the main model has certainly read.
UNREAD = f"""
    SELECT 1 FROM jobs LEFT JOIN deliveries d ON d.job = jobs.id AND d.claude_session = jobs.claude_session
    LEFT JOIN dispatches o ON o.job = jobs.id
    WHERE jobs.claude_session = ? AND jobs.status NOT IN ('queued', 'running') AND
    (d.confirmed_at IS NULL OR (o.heard = 0 AND d.channel IN {PRINTING})) LIMIT 1
"""
_KEY = b'"session_id":'
BUSY_S = 1.0


def finds(question: str, payload: bytes, data_dir: str) -> bool:
    """Whether the store answers this for the payload's session, or cannot be asked so simply."""
    path = os.path.join(data_dir, "jobs.db")
    if not os.path.exists(path):
        return False
    session = session_of(payload)
    try:
        # The package around it would take longer to load than all the rest.
        from _sqlite3 import connect

        db = connect(path, timeout=BUSY_S)
        try:
            return not session or db.execute(question, (session,)).fetchone() is not None
        finally:
            db.close()
    except Exception:
        return True


def session_of(payload: bytes) -> str:
    """The session's id in a payload as Claude Code writes it; empty if it is written in another way."""
    _, found, rest = payload.partition(_KEY)
    value = rest.lstrip()[:80].split(b'"')
    return value[1].decode("ascii", "replace") if found and len(value) > 2 and value[0] == b"" else ""
