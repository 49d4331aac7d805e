"""Every environment variable the companion recognises: name, default, unit and meaning, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from companion.errors import SettingError

MINUTE_MS = 60_000
# In the environment of a managed server and so of everything its jobs start. The companion refuses to run under it.
JOB_MARKER = "OPENCODE_COMPANION_JOB"


class Variable(NamedTuple):
    """One recognised variable. A numeric default makes it a number; `choices` restricts a text."""

    name: str
    default: str | int | None
    description: str
    choices: tuple[str, ...] = ()
    secret: bool = False

    def read(self, env: Mapping[str, str]) -> str | int | None:
        """The value in force; SettingError when it is unusable."""
        raw = env.get(self.name, "")
        if raw == "":
            return self.default
        if isinstance(self.default, int):
            if not raw.isascii() or not raw.isdigit():
                raise SettingError(
                    f"{self.name}={raw!r} is not a whole number of 0 or more; "
                    f"set a number or unset it (default {self.default})"
                )
            return int(raw)
        if self.choices and raw not in self.choices:
            raise SettingError(f"{self.name}={raw!r} is unknown; use one of: {', '.join(self.choices)}")
        return raw


VARIABLES: tuple[Variable, ...] = (
    Variable("OPENCODE_COMPANION_DATA", None, "Data folder: job store, logs, environment, own opencode."),
    Variable("OPENCODE_BIN", None, "The opencode program to use (else PATH, else the data folder's own)."),
    Variable("OPENCODE_SERVER_URL", None, "Use this opencode server; it is never started or stopped."),
    Variable("OPENCODE_SERVER_USERNAME", "opencode", "User name for that server."),
    Variable("OPENCODE_SERVER_PASSWORD", None, "Password for that server.", secret=True),
    Variable("OPENCODE_REQUEST_TIMEOUT_MS", 30 * MINUTE_MS, "Longest a single request to the server may take."),
    Variable("OPENCODE_PROMPT_TIMEOUT_MS", 240 * MINUTE_MS, "Safety cap: a job older than this is ended."),
    Variable(
        "OPENCODE_IDLE_TIMEOUT_MS",
        60 * MINUTE_MS,
        "A job is ended when nothing happens for this long: no part, no output, no live child process.",
    ),
    Variable("OPENCODE_COMPLETION_POLL_MS", 5_000, "How often a job is reconciled beside the event stream."),
    Variable("OPENCODE_BASH_STUCK_POLLS", 3, "Reconciles after which a tool whose process is gone counts as stuck."),
    Variable("OPENCODE_STRICT_TERMINAL", 1, "1: a message counts as ended only with a finish; 0: a time is enough."),
    Variable("OPENCODE_MONITOR_RESULT_CHARS", 1_500, "How much of a result is shown inline when it is announced."),
    Variable("OPENCODE_MONITOR_HEARTBEAT_POLLS", 10, "`monitor` prints a heartbeat after this many quiet polls."),
    Variable("OPENCODE_MONITOR_MAX_POLLS", 120, "`monitor` gives up after this many polls of 5 s."),
    Variable(
        "OPENCODE_COMPANION_PERMISSIONS",
        "auto",
        "auto: jobs may run commands and edit; relay: what your config asks about waits for an answer.",
        choices=("auto", "relay"),
    ),
    Variable(
        "OPENCODE_SERVER_IDLE_EXIT_MS", 10 * MINUTE_MS, "A managed server without an active job stops after this."
    ),
)


class Limits(NamedTuple):
    """What bounds one job, taken from the environment of the command that dispatched it. Times in ms."""

    request_timeout: int
    prompt_timeout: int
    idle_timeout: int
    poll: int
    stuck_polls: int
    strict_terminal: bool


class Settings(NamedTuple):
    """All variables, checked once. `values` is keyed by variable name."""

    values: dict[str, str | int | None]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read and check every variable; SettingError names the first unusable one."""
        return cls({variable.name: variable.read(env) for variable in VARIABLES})

    def number(self, name: str) -> int:
        """The value of a numeric variable."""
        value = self.values[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is not numeric")
        return value

    def text(self, name: str) -> str:
        """The value of a text variable, empty when unset."""
        return str(self.values[name] or "")

    @property
    def limits(self) -> Limits:
        """The bounds a job dispatched now gets."""
        return Limits(
            request_timeout=self.number("OPENCODE_REQUEST_TIMEOUT_MS"),
            prompt_timeout=self.number("OPENCODE_PROMPT_TIMEOUT_MS"),
            idle_timeout=self.number("OPENCODE_IDLE_TIMEOUT_MS"),
            poll=max(50, self.number("OPENCODE_COMPLETION_POLL_MS")),
            stuck_polls=max(1, self.number("OPENCODE_BASH_STUCK_POLLS")),
            strict_terminal=bool(self.number("OPENCODE_STRICT_TERMINAL")),
        )
