"""The job store: one SQLite file in WAL mode, the one truth about every job.

Everything else — CLI, supervisor, hooks — can be killed at any instruction and is rebuilt from here. Three rules:
a job row is durable before its id is shown; a job ends once, in one statement together with its answer; a row that
has not ended is never removed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from companion import filelock
from companion.errors import JobNotFound, StoreError
from companion.jobs import Job, column_value, job_from_row, now_ms
from companion.states import ACTIVE, Phase, Status

FILE_NAME = "jobs.db"
BUSY_TIMEOUT_S = 15.0
RETENTION_MS = 30 * 24 * 3_600_000
RETENTION_PER_WORKSPACE = 500
# A delivery that was claimed but never confirmed may be claimed again after this long: its claimant is gone.
CLAIM_LEASE_MS = 60_000
# What commands print: it reaches the main model only where its own foreground call ran the command.
PRINTING_CHANNELS = ("task", "review", "adversarial-review", "wait-and-result", "result")
# Claude's hooks need a moment to see where a printed report went.
PRINT_SETTLE_MS = 5_000
# How far a job's row may lie before or after the time at which its call is known to have run.
ADOPTION_MS = 10_000

# Each entry brings the schema from version N to N+1; `PRAGMA user_version` says where a file stands.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, type TEXT NOT NULL, workspace TEXT NOT NULL, server TEXT NOT NULL,
        claude_session TEXT, status TEXT NOT NULL, phase TEXT NOT NULL, prompt TEXT NOT NULL, title TEXT NOT NULL,
        limits TEXT NOT NULL, permissions TEXT NOT NULL, read_only INTEGER NOT NULL,
        created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
        agent TEXT, model TEXT, variant TEXT, resume_of TEXT,
        opencode_session TEXT, message_id TEXT, part_id TEXT,
        reason TEXT, blocked TEXT, started_at INTEGER, completed_at INTEGER, alive_at INTEGER,
        activity TEXT, progress TEXT, tokens TEXT, cost REAL NOT NULL DEFAULT 0,
        result TEXT, error_message TEXT, files TEXT,
        recovered INTEGER NOT NULL DEFAULT 0, resends INTEGER NOT NULL DEFAULT 0,
        followup TEXT, cancel_requested_at INTEGER, ending TEXT, delivered_via TEXT
    );
    CREATE INDEX jobs_by_workspace ON jobs (workspace, created_at);
    CREATE INDEX jobs_by_session ON jobs (claude_session, created_at);
    CREATE INDEX jobs_active ON jobs (workspace, server) WHERE status IN ('queued', 'running');

    CREATE TABLE deliveries (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, claude_session TEXT NOT NULL, channel TEXT NOT NULL,
        pid INTEGER NOT NULL, claimed_at INTEGER NOT NULL, confirmed_at INTEGER,
        PRIMARY KEY (job, claude_session)
    );

    CREATE TABLE replies (
        request_id TEXT PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        reply TEXT NOT NULL, message TEXT, created_at INTEGER NOT NULL
    );

    CREATE TABLE credentials (server TEXT PRIMARY KEY, username TEXT NOT NULL, password TEXT NOT NULL);

    CREATE TABLE programs (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, version TEXT NOT NULL);

    CREATE TABLE servers (
        workspace TEXT PRIMARY KEY, url TEXT NOT NULL, password TEXT NOT NULL, marker TEXT NOT NULL,
        pid INTEGER NOT NULL, create_time REAL NOT NULL, version TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE dispatches (
        id INTEGER PRIMARY KEY, job TEXT UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
        claude_session TEXT NOT NULL, claude_pid INTEGER NOT NULL, agent_id TEXT, agent_type TEXT,
        tool_use_id TEXT NOT NULL, command TEXT, heard INTEGER NOT NULL, sent_back INTEGER NOT NULL DEFAULT 0,
        began_at INTEGER NOT NULL, at INTEGER NOT NULL, agent_ended_at INTEGER
    );
    CREATE INDEX dispatches_by_agent ON dispatches (agent_id);
    """,
    """
    ALTER TABLE jobs ADD COLUMN review TEXT;

    CREATE TABLE review_targets (job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE, target TEXT NOT NULL);

    CREATE TABLE gate_turns (
        claude_session TEXT PRIMARY KEY, base TEXT NOT NULL, at INTEGER NOT NULL,
        rounds INTEGER NOT NULL DEFAULT 0, reviewed TEXT
    );

    CREATE TABLE asks_told (
        request_id TEXT PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE
    );

    CREATE INDEX dispatches_by_session ON dispatches (claude_session);
    CREATE INDEX jobs_by_end ON jobs (workspace, completed_at, created_at);
    DROP INDEX jobs_active;
    CREATE INDEX jobs_active ON jobs (workspace, created_at) WHERE status IN ('queued', 'running');
    """,
)

_COLUMNS = Job._fields
_ACTIVE = "status IN ('" + "', '".join(status.value for status in ACTIVE) + "')"
T = TypeVar("T")


def store_path(data_dir: str) -> str:
    """Where the store lies in a data dir."""
    return os.path.join(data_dir, FILE_NAME)


class Store:
    """An open job store. Not for sharing between threads; close it with `close` or use it as a context manager.

    Raises StoreError where the file cannot be used. A damaged file is set aside under a new name, never deleted.
    With `repair=False`, for the hooks, nothing is made, migrated or set aside: that is left to the commands.
    """

    def __init__(self, data_dir: str, busy_timeout_s: float = BUSY_TIMEOUT_S, repair: bool = True) -> None:
        self.path = store_path(data_dir)
        self._busy_timeout_s = busy_timeout_s
        self._repair = repair
        self._db = self._guard(self._open)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._db.close()

    # Jobs

    def add(self, job: Job, review_target: str | None = None) -> None:
        """Insert a new job, for a review with what it looks at; it is on disk when this returns."""
        marks = ", ".join("?" for _ in _COLUMNS)
        values = [column_value(getattr(job, name)) for name in _COLUMNS]
        with self._transaction() as db:
            db.execute(f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({marks})", values)
            if review_target is not None:
                db.execute("INSERT INTO review_targets VALUES (?, ?)", (job.id, review_target))

    def review_target(self, job_id: str) -> str | None:
        """What a review job looks at, None for other jobs."""
        rows = self._read("SELECT target FROM review_targets WHERE job = ?", (job_id,))
        return rows[0]["target"] if rows else None

    def get(self, job_id: str) -> Job | None:
        """The job with exactly this id."""
        rows = self._read("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return job_from_row(rows[0]) if rows else None

    def find(self, reference: str) -> Job:
        """The job whose id is `reference`, or begins with it. JobNotFound, with the candidates, if not exactly one."""
        exact = self.get(reference)
        if exact is not None:
            return exact
        rows = self._read(
            "SELECT * FROM jobs WHERE substr(id, 1, ?) = ? ORDER BY created_at DESC LIMIT 6",
            (len(reference), reference),
        )
        if len(rows) == 1:
            return job_from_row(rows[0])
        if rows:
            names = ", ".join(row["id"] for row in rows[:5]) + (", …" if len(rows) > 5 else "")
            raise JobNotFound(f"Several jobs begin with {reference!r}: {names}. Give more of the id.")
        recent = [row["id"] for row in self._read("SELECT id FROM jobs ORDER BY created_at DESC LIMIT 3", ())]
        hint = f"The newest are: {', '.join(recent)}." if recent else "There are no jobs yet."
        raise JobNotFound(f"No job {reference!r}. {hint}")

    def jobs(
        self,
        workspace: str | None = None,
        claude_session: str | None = None,
        active: bool | None = None,
        server: str | None = None,
        limit: int = -1,
    ) -> list[Job]:
        """Jobs that match every condition given, newest first."""
        conditions, values = ["1"], []
        for column, value in (("workspace", workspace), ("claude_session", claude_session), ("server", server)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if active is not None:
            conditions.append(_ACTIVE if active else f"NOT {_ACTIVE}")
        order = "completed_at DESC, created_at DESC" if active is False else "created_at DESC"
        rows = self._read(
            f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT {int(limit)}", values
        )
        return [job_from_row(row) for row in rows]

    def update(self, job_id: str, **changes: Any) -> bool:
        """Change fields of a job that has not ended. False, and nothing written, if it has."""
        if "status" in changes and Status(changes["status"]) not in ACTIVE:
            raise ValueError("a job ends through finish()")
        changes.setdefault("updated_at", now_ms())
        assignments = ", ".join(f"{name} = ?" for name in changes)
        values = [column_value(value) for value in changes.values()]
        return self._write(f"UPDATE jobs SET {assignments} WHERE id = ? AND {_ACTIVE}", [*values, job_id]) == 1

    def start(self, job_id: str) -> bool:
        """Take a queued job into work. False if it was cancelled meanwhile or is already running."""
        now = now_ms()
        return (
            self._write(
                "UPDATE jobs SET status = ?, phase = ?, started_at = ?, updated_at = ? WHERE id = ? AND status = ?",
                (Status.RUNNING.value, Phase.STARTING.value, now, now, job_id, Status.QUEUED.value),
            )
            == 1
        )

    def finish(
        self,
        job_id: str,
        status: Status,
        reason: str | None = None,
        only_from: Sequence[Status] = ACTIVE,
        **final: Any,
    ) -> bool:
        """End a job, its answer in the same statement. False, and nothing written, if it had ended before."""
        if status in ACTIVE:
            raise ValueError(f"{status.value} is no end")
        now = now_ms()
        changes: dict[str, Any] = {
            **final,
            "status": status,
            "reason": reason,
            "phase": Phase.ENDED.value,
            "blocked": None,
            "updated_at": now,
            "completed_at": now,
        }
        assignments = ", ".join(f"{name} = ?" for name in changes)
        marks = ", ".join("?" for _ in only_from)
        values = [column_value(value) for value in changes.values()]
        statement = f"UPDATE jobs SET {assignments} WHERE id = ? AND status IN ({marks})"
        return self._write(statement, [*values, job_id, *(status.value for status in only_from)]) == 1

    def request_cancel(self, job_id: str) -> None:
        """Ask the supervisor to stop a job. A job that no supervisor has taken yet ends here and now."""
        if not self.finish(job_id, Status.CANCELLED, "cancelled", only_from=(Status.QUEUED,)):
            self.update(job_id, cancel_requested_at=now_ms(), phase=Phase.CANCELLING.value)

    def prune(self) -> int:
        """Remove ended jobs older than 30 days and beyond the newest 500 of a workspace. Returns how many."""
        self._write("DELETE FROM gate_turns WHERE at < ?", (now_ms() - RETENTION_MS,))
        return self._write(
            f"""
            DELETE FROM jobs WHERE NOT {_ACTIVE} AND (completed_at < ? OR id IN (
                SELECT id FROM (
                    SELECT id, row_number() OVER (PARTITION BY workspace ORDER BY completed_at DESC) AS place
                    FROM jobs WHERE NOT {_ACTIVE}
                ) WHERE place > ?
            ))
            """,
            (now_ms() - RETENTION_MS, RETENTION_PER_WORKSPACE),
        )

    # Deliveries: one a job and Claude session

    def claim_delivery(self, job_id: str, claude_session: str, channel: str) -> bool:
        """Claim the right to hand a job's answer to a Claude session. False if another channel has it.

        A claim that was not confirmed in CLAIM_LEASE_MS is void: whoever made it died with the answer in hand.
        """
        now = now_ms()
        return (
            self._write(
                """
                INSERT INTO deliveries (job, claude_session, channel, pid, claimed_at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (job, claude_session) DO UPDATE
                SET channel = excluded.channel, pid = excluded.pid, claimed_at = excluded.claimed_at
                WHERE confirmed_at IS NULL AND deliveries.claimed_at < excluded.claimed_at - ?
                """,
                (job_id, claude_session, channel, os.getpid(), now, CLAIM_LEASE_MS),
            )
            == 1
        )

    def confirm_delivery(self, job_id: str, claude_session: str, channel: str) -> None:
        """Record that the answer was handed over, by a claim or on explicit request."""
        now = now_ms()
        with self._transaction() as db:
            db.execute(
                """
                INSERT INTO deliveries (job, claude_session, channel, pid, claimed_at, confirmed_at)
                VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (job, claude_session) DO UPDATE
                SET channel = excluded.channel, confirmed_at = excluded.confirmed_at WHERE confirmed_at IS NULL
                """,
                (job_id, claude_session, channel, os.getpid(), now, now),
            )
            db.execute("UPDATE jobs SET delivered_via = coalesce(delivered_via, ?) WHERE id = ?", (channel, job_id))

    def release_delivery(self, job_id: str, claude_session: str) -> None:
        """Give an unconfirmed claim of this process back: the answer could not be handed over."""
        self._write(
            "DELETE FROM deliveries WHERE job = ? AND claude_session = ? AND pid = ? AND confirmed_at IS NULL",
            (job_id, claude_session, os.getpid()),
        )

    def delivered_by(self, job_id: str, claude_session: str) -> tuple[str, bool] | None:
        """The channel that hands or handed a job's answer to a Claude session, and whether it did; None if none.

        A claim that has lapsed, and a report that was printed where the main model does not read, count as none.
        """
        rows = self._read(
            """
            SELECT channel, confirmed_at, claimed_at, coalesce(heard, 1) AS heard
            FROM deliveries LEFT JOIN dispatches USING (job)
            WHERE deliveries.job = ? AND deliveries.claude_session = ?
            """,
            (job_id, claude_session),
        )
        if not rows:
            return None
        row, now = rows[0], now_ms()
        if row["confirmed_at"] is None:
            return (row["channel"], False) if row["claimed_at"] >= now - CLAIM_LEASE_MS else None
        if row["channel"] in PRINTING_CHANNELS and not row["heard"]:
            return (row["channel"], False) if row["confirmed_at"] > now - PRINT_SETTLE_MS else None
        return row["channel"], True

    def void_unheard_print(self, job_id: str, claude_session: str) -> None:
        """Forget a delivery by printing that did not reach the main model."""
        marks = ", ".join("?" for _ in PRINTING_CHANNELS)
        self._write(
            f"DELETE FROM deliveries WHERE job = ? AND claude_session = ? AND channel IN ({marks})",
            (job_id, claude_session, *PRINTING_CHANNELS),
        )

    def heard(self, job_id: str, claude_session: str) -> None:
        """Record that the main model has read the report in the output of its own command."""
        now = now_ms()
        self._write(
            """
            INSERT INTO deliveries (job, claude_session, channel, pid, claimed_at, confirmed_at)
            VALUES (?, ?, 'read', ?, ?, ?)
            ON CONFLICT (job, claude_session) DO UPDATE
            SET channel = 'read', confirmed_at = coalesce(confirmed_at, excluded.confirmed_at)
            """,
            (job_id, claude_session, os.getpid(), now, now),
        )

    # Dispatches: which call of which agent started a job, as the hooks saw it

    def record_dispatch(
        self,
        job_id: str | None,
        claude_session: str,
        tool_use_id: str,
        agent_id: str | None,
        agent_type: str | None,
        heard: bool,
        took_ms: int = 0,
        command: str | None = None,
    ) -> None:
        """Record who dispatched a job; the first record stays. `heard`: its output goes to the main model.

        Without an id, `command` is kept, and `adopt_jobs` finds the job later. `took_ms`: how long the call has run.
        """
        now = now_ms()
        self._write(
            """
            INSERT OR IGNORE INTO dispatches
                (job, claude_session, claude_pid, agent_id, agent_type, tool_use_id, command, heard, began_at, at)
            SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE ? IS NOT NULL OR NOT EXISTS
                (SELECT 1 FROM dispatches WHERE tool_use_id = ?)
            """,
            (
                *(job_id, claude_session, os.getppid(), agent_id, agent_type, tool_use_id, command),
                *(int(heard), now - took_ms, now, job_id, tool_use_id),
            ),
        )

    def adopt_jobs(self, claude_session: str) -> None:
        """Give the dispatches of this session whose output did not show it their jobs.

        It is a job of the session that nobody owns and that is no older than the call: one whose text stands in the
        command, else the oldest that came while the call ran or shortly after it went to the background.
        """
        open_ones = self._read(
            "SELECT id, began_at, at, command FROM dispatches WHERE job IS NULL AND claude_session = ? ORDER BY at",
            (claude_session,),
        )
        for dispatch in open_ones:
            orphans = self._read(
                """
                SELECT id, prompt, created_at FROM jobs WHERE claude_session = ? AND created_at >= ?
                AND id NOT IN (SELECT job FROM dispatches WHERE job IS NOT NULL) ORDER BY created_at
                """,
                (claude_session, dispatch["began_at"] - ADOPTION_MS),
            )
            named = [row["id"] for row in orphans if row["prompt"].strip() in (dispatch["command"] or "")]
            timely = [row["id"] for row in orphans if row["created_at"] <= dispatch["at"] + ADOPTION_MS]
            for job_id in (named or timely)[:1]:
                self._write("UPDATE OR IGNORE dispatches SET job = ? WHERE id = ?", (job_id, dispatch["id"]))

    def dispatch_of(self, job_id: str) -> sqlite3.Row | None:
        """The record of a job's dispatch: claude_session, agent_id, agent_type, heard, sent_back, agent_ended_at…"""
        rows = self._read("SELECT * FROM dispatches WHERE job = ?", (job_id,))
        return rows[0] if rows else None

    def jobs_of_agent(self, claude_session: str, agent_id: str) -> list[Job]:
        """The jobs that a subagent dispatched, oldest first."""
        rows = self._read(
            """
            SELECT jobs.* FROM jobs JOIN dispatches ON dispatches.job = jobs.id
            WHERE dispatches.claude_session = ? AND agent_id = ? ORDER BY created_at
            """,
            (claude_session, agent_id),
        )
        return [job_from_row(row) for row in rows]

    def jobs_of_call(self, tool_use_id: str) -> list[Job]:
        """The jobs that one tool call dispatched."""
        rows = self._read(
            "SELECT jobs.* FROM jobs JOIN dispatches ON dispatches.job = jobs.id WHERE tool_use_id = ?", (tool_use_id,)
        )
        return [job_from_row(row) for row in rows]

    def note_unheard(self, job_id: str) -> None:
        """What commands print of this job goes where the main model does not read: a subagent, the background."""
        self._write("UPDATE dispatches SET heard = 0 WHERE job = ?", (job_id,))

    def note_sent_back(self, agent_id: str) -> None:
        """A subagent that wanted to stop was told to go on."""
        self._write("UPDATE dispatches SET sent_back = sent_back + 1 WHERE agent_id = ?", (agent_id,))

    def note_agent_ended(self, agent_id: str) -> None:
        """A subagent has ended: nothing more comes from it about its jobs."""
        self._write("UPDATE dispatches SET agent_ended_at = ? WHERE agent_id = ?", (now_ms(), agent_id))

    def follow_claude(self, workspace: str, claude_session: str) -> None:
        """After /clear, the unread answers of the session before belong to the new one.

        `claude_session` is the new one; it runs in the process that is our parent, as did the one before.
        """
        with self._transaction() as db:
            rows = db.execute(
                """
                SELECT job FROM dispatches JOIN jobs ON jobs.id = job
                WHERE claude_pid = ? AND dispatches.claude_session != ? AND workspace = ?
                AND job NOT IN (SELECT job FROM deliveries WHERE confirmed_at IS NOT NULL OR claimed_at > ?)
                """,
                (os.getppid(), claude_session, workspace, now_ms() - CLAIM_LEASE_MS),
            ).fetchall()
            for row in rows:
                db.execute("UPDATE jobs SET claude_session = ? WHERE id = ?", (claude_session, row["job"]))
                db.execute("UPDATE dispatches SET claude_session = ? WHERE job = ?", (claude_session, row["job"]))

    # Answers to what jobs ask

    def reply(self, request_id: str, job_id: str, reply: str, message: str | None) -> bool:
        """Leave an answer for the supervisor to pass on. False if there is one already."""
        return (
            self._write(
                "INSERT OR IGNORE INTO replies (request_id, job, reply, message, created_at) VALUES (?, ?, ?, ?, ?)",
                (request_id, job_id, reply, message, now_ms()),
            )
            == 1
        )

    def replies(self, job_id: str) -> dict[str, tuple[str, str | None]]:
        """Answers left for a job: request id to (reply, message)."""
        rows = self._read("SELECT * FROM replies WHERE job = ?", (job_id,))
        return {row["request_id"]: (row["reply"], row["message"]) for row in rows}

    def tell_ask(self, request_id: str, job_id: str) -> bool:
        """Record that Claude is told what a job waits for. False if it was told before."""
        return self._write("INSERT OR IGNORE INTO asks_told VALUES (?, ?)", (request_id, job_id)) == 1

    # The review gate: how a session's turn began, and what of it was reviewed

    def begin_gate_turn(self, claude_session: str, base: str) -> None:
        """A person's prompt begins a turn; `base` is the working tree at that moment, as a git tree's id."""
        self._write(
            "INSERT OR REPLACE INTO gate_turns (claude_session, base, at) VALUES (?, ?, ?)",
            (claude_session, base, now_ms()),
        )

    def forget_gate_turn(self, claude_session: str) -> None:
        """How the turn began is not known."""
        self._write("DELETE FROM gate_turns WHERE claude_session = ?", (claude_session,))

    def gate_turn(self, claude_session: str) -> sqlite3.Row | None:
        """base, rounds (BLOCKs so far), reviewed (hash of the patches seen last) of a session's turn."""
        rows = self._read("SELECT * FROM gate_turns WHERE claude_session = ?", (claude_session,))
        return rows[0] if rows else None

    def note_gate_round(self, claude_session: str, base: str, reviewed: str, blocked: bool) -> None:
        """The gate has reviewed the patches with this hash."""
        self._write(
            """
            INSERT INTO gate_turns (claude_session, base, at, rounds, reviewed) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (claude_session) DO UPDATE SET rounds = rounds + excluded.rounds, reviewed = excluded.reviewed
            """,
            (claude_session, base, now_ms(), int(blocked), reviewed),
        )

    # Servers

    def save_credentials(self, server: str, username: str, password: str) -> None:
        """Remember how to log in to a server that the user named."""
        self._write("INSERT OR REPLACE INTO credentials VALUES (?, ?, ?)", (server, username, password))

    def credentials(self, server: str) -> tuple[str, str]:
        """(user name, password) for a server that the user named."""
        rows = self._read("SELECT username, password FROM credentials WHERE server = ?", (server,))
        return (rows[0]["username"], rows[0]["password"]) if rows else ("opencode", "")

    def save_server(self, workspace: str, **values: Any) -> None:
        """Record the managed server of a workspace, for a later supervisor to find."""
        names = ("url", "password", "marker", "pid", "create_time", "version")
        self._write(
            "INSERT OR REPLACE INTO servers VALUES (?, ?, ?, ?, ?, ?, ?)",
            (workspace, *(values[name] for name in names)),
        )

    def server(self, workspace: str) -> dict[str, Any] | None:
        """The recorded managed server of a workspace: url, password, marker, pid, create_time, version."""
        rows = self._read("SELECT * FROM servers WHERE workspace = ?", (workspace,))
        return dict(rows[0]) if rows else None

    def forget_server(self, workspace: str) -> None:
        """The managed server of a workspace is gone."""
        self._write("DELETE FROM servers WHERE workspace = ?", (workspace,))

    # Programs

    def program_version(self, path: str, stamp: str) -> str | None:
        """What `PATH --version` said when the file was as `stamp` tells; None if it has changed or was never asked."""
        rows = self._read("SELECT version FROM programs WHERE path = ? AND stamp = ?", (path, stamp))
        return rows[0]["version"] if rows else None

    def save_program_version(self, path: str, stamp: str, version: str) -> None:
        """Remember what `PATH --version` said."""
        self._write("INSERT OR REPLACE INTO programs VALUES (?, ?, ?)", (path, stamp, version))

    # Watching

    def version(self) -> int:
        """A number that changes when another process has written. Costs microseconds: made for polling."""
        return int(self._read("PRAGMA data_version", ())[0][0])

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Nobody else writes while this is held."""
        with self._transaction():
            yield

    # Plumbing

    def _open(self) -> sqlite3.Connection:
        try:
            if not self._repair and not os.path.exists(self.path):
                raise StoreError(f"There is no job store {self.path} yet.")
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            if not os.path.exists(self.path) or os.path.isdir(self.path):
                raise StoreError(f"The job store {self.path} cannot be made: {error.strerror}.") from error
            return self._open_read_only()
        db = sqlite3.connect(self.path, timeout=self._busy_timeout_s, isolation_level=None)
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA foreign_keys = ON")
            # FULL: a job that was acknowledged survives a power cut, not only a kill.
            db.execute("PRAGMA synchronous = FULL")
            if db.execute("PRAGMA user_version").fetchone()[0] != len(MIGRATIONS):
                self._migrate(db)
        except BaseException:
            db.close()
            raise
        return db

    def _open_read_only(self) -> sqlite3.Connection:
        """On a disk that cannot be written to: what is stored can still be read, and nobody can change it meanwhile."""
        from urllib.request import pathname2url

        address = f"file:{pathname2url(self.path)}?mode=ro&immutable=1"
        db = sqlite3.connect(address, uri=True, isolation_level=None)
        db.row_factory = sqlite3.Row
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        if not self._repair:
            raise StoreError(f"The job store {self.path} has another version's schema; run a command to bring it up.")
        enable_wal(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found > len(MIGRATIONS):
                raise StoreError(
                    f"The job store {self.path} was written by a newer version of this plugin "
                    f"(schema {found}, known here {len(MIGRATIONS)}); update the plugin."
                )
            for script in MIGRATIONS[found:]:
                for statement in script.split(";"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._db.in_transaction:  # part of an `exclusive` one
            yield self._db
            return
        self._guard(lambda: self._db.execute("BEGIN IMMEDIATE"))
        try:
            yield self._db
            self._guard(lambda: self._db.execute("COMMIT"))
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"The job store {self.path} cannot be used: {explain(error)}") from error
            raise

    def _read(self, sql: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        return self._guard(lambda: self._db.execute(sql, values).fetchall())

    def _write(self, sql: str, values: Sequence[Any]) -> int:
        return self._guard(lambda: self._db.execute(sql, values).rowcount)

    def _guard(self, action: Callable[[], T]) -> T:
        """Run `action`, turning what SQLite raises into a StoreError that a person can act on."""
        try:
            return action()
        except sqlite3.OperationalError as error:
            raise StoreError(f"The job store {self.path} cannot be used: {explain(error)}") from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
                raise
            if not self._repair:
                raise StoreError(f"The job store {self.path} is damaged ({error}).") from error
            raise StoreError(self._set_aside(error)) from error

    def _set_aside(self, error: Exception) -> str:
        """Move a damaged file out of the way, once, and say where it is."""
        with filelock.held(self.path + ".lock", BUSY_TIMEOUT_S):
            if not is_damaged(self.path):
                return f"The job store {self.path} was damaged and has been replaced ({error}); run the command again."
            aside = f"{self.path}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(self.path + suffix):
                    os.rename(self.path + suffix, aside + suffix)
        return (
            f"The job store {self.path} is damaged ({error}); it was set aside as {aside}. "
            "Run the command again to begin a new one."
        )


def enable_wal(db: sqlite3.Connection) -> None:
    """Switch the file to WAL. SQLite does not wait here when another process switches too, so this tries again."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def is_damaged(path: str) -> bool:
    """Whether SQLite cannot read the file as a database."""
    try:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
        try:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        finally:
            db.close()
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True


def explain(error: sqlite3.OperationalError) -> str:
    """Why SQLite could not, and what helps."""
    text = str(error)
    if "full" in text:
        return "the disk is full. Free some space and try again; nothing that was acknowledged is lost."
    if "locked" in text or "busy" in text:
        return f"another process has locked it for more than {BUSY_TIMEOUT_S:g} s. Try again in a moment."
    if "readonly" in text:
        return "it is read-only. Make the folder writable or set OPENCODE_COMPANION_DATA to another one."
    if "unable to open" in text:
        return "it cannot be opened. Check the folder's permissions, or set OPENCODE_COMPANION_DATA."
    if "I/O error" in text:
        return "the disk reported an I/O error. Check the disk; set OPENCODE_COMPANION_DATA to a folder on another one."
    return f"{text}."
