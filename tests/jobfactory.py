"""Jobs for tests of what stores, judges or shows them."""

from __future__ import annotations

import sqlite3
from typing import Any

from companion.jobs import Job, new_job_id, now_ms
from companion.settings import Settings
from companion.states import Status
from companion.store import Store


def make_job(**changes: Any) -> Job:
    """A queued job of the workspace `/work space`."""
    now = now_ms()
    values: dict[str, Any] = {
        "id": new_job_id("task"),
        "type": "task",
        "workspace": "/work space",
        "server": "",
        "claude_session": None,
        "status": Status.QUEUED,
        "phase": "queued",
        "prompt": "mend it",
        "title": "mend it",
        "limits": Settings.from_env({}).limits,
        "permissions": "auto",
        "read_only": False,
        "created_at": now,
        "updated_at": now,
    }
    return Job(**{**values, **changes})


def add_ended(store: Store, status: Status = Status.COMPLETED, **changes: Any) -> Job:
    """A job that has ended, in the store. `completed_at` may be set."""
    completed_at = changes.pop("completed_at", None)
    result = changes.pop("result", "the answer")
    known = make_job(**changes)
    store.add(known)
    assert store.finish(known.id, status, None, result=result)
    if completed_at is not None:
        with sqlite3.connect(store.path) as db:
            db.execute("UPDATE jobs SET completed_at = ? WHERE id = ?", (completed_at, known.id))
    ended = store.get(known.id)
    assert ended is not None
    return ended
