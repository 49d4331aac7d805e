"""Which processes belong to which job.

opencode gives every command a session of its own and tells nobody whose it is; all that its server starts carries our
marker. So a process is a job's if it began while one of the job's commands ran, and no other job's did. What began
under two jobs' commands at once is nobody's here: it is left alone until the server stops.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from companion.jobs import now_ms
from companion.observation import ToolCall
from companion.supervisor import processes

# A process begins up to this long after opencode has called the command running (a loaded machine), and its start
# time is known to a hundredth of a second.
SPAWN_SLACK_MS = 3_000
CLOCK_SLACK_MS = 50
SCAN_EVERY_MS = 1_500


@dataclass
class Command:
    """A command that opencode runs, or has run, for a job. Times are ms since the epoch.

    `due_at` is when its shell was to begin: at its start, or when the last ask about it was answered.
    """

    text: str
    started_at: int
    due_at: int
    ended_at: int | None = None

    def covers(self, at: int) -> bool:
        """Whether a process that began at `at` may come from this command."""
        end = self.ended_at if self.ended_at is not None else now_ms()
        return self.started_at - CLOCK_SLACK_MS <= at <= end + CLOCK_SLACK_MS


@dataclass(frozen=True)
class Child:
    """A live process of the server. `leader`: it leads a session of its own, as the shell of every command does."""

    process: psutil.Process
    parent: int
    leader: bool
    began_at: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Sight:
    """What a look at the processes of a job shows. `shell_gone`: a running command has no shell any more."""

    live: int
    shell_gone: bool
    holders: tuple[Child, ...]


class ProcessWatch:
    """The commands of all jobs of one server, and the processes that belong to them."""

    def __init__(self, marker_prefix: str) -> None:
        self._prefix = marker_prefix
        self._commands: dict[str, dict[str, Command]] = {}
        self._found: tuple[Child, ...] | None = ()
        self._scanned_at = 0.0

    def saw(self, job_id: str, part_id: str, tool: ToolCall) -> None:
        """Take note of a tool call; only commands matter here."""
        if tool.command and tool.started_at is not None:
            commands = self._commands.setdefault(job_id, {})
            known = commands.setdefault(part_id, Command(tool.command, tool.started_at, tool.started_at))
            known.ended_at = None if tool.running else tool.ended_at or known.ended_at or now_ms()

    def answered(self, job_id: str) -> None:
        """An ask of the job was answered: the command that waited for it begins now."""
        for command in self._commands.get(job_id, {}).values():
            if command.ended_at is None:
                command.due_at = now_ms()

    def forget(self, job_id: str) -> None:
        """The job has ended."""
        self._commands.pop(job_id, None)

    def look(self, job_id: str, server_pid: int) -> Sight | None:
        """What lives of a job, or None where the platform does not let one look."""
        children = self._children(server_pid)
        if children is None:
            return None
        mine = list(self._commands.get(job_id, {}).values())
        belonging = self._belonging(job_id, children)
        running = [command for command in mine if command.ended_at is None]
        shells = [shell_of(command, children, server_pid) for command in running]
        orphaned = [
            command
            for command, shell in zip(running, shells, strict=True)
            if shell is None and now_ms() - command.due_at > SPAWN_SLACK_MS
        ]
        holders = tuple(child for child in belonging if any(command.covers(child.began_at) for command in orphaned))
        live = {child.process.pid for child in (*belonging, *filter(None, shells))}
        return Sight(len(live), bool(orphaned), holders)

    def leftovers(self, job_id: str, server_pid: int) -> list[Child]:
        """Every live process of a job."""
        self._scanned_at = 0.0
        return self._belonging(job_id, self._children(server_pid) or ())

    def end(self, children: Iterable[Child], grace_s: float) -> None:
        """End these processes. Blocks for up to `grace_s` seconds and a little."""
        processes.end([child.process for child in children], grace_s)
        self._scanned_at = 0.0

    def _belonging(self, job_id: str, children: Iterable[Child]) -> list[Child]:
        mine = list(self._commands.get(job_id, {}).values())
        others = [c for known, commands in self._commands.items() if known != job_id for c in commands.values()]
        return [
            child
            for child in children
            if any(command.covers(child.began_at) for command in mine)
            and not any(command.covers(child.began_at) for command in others)
        ]

    def _children(self, server_pid: int) -> tuple[Child, ...] | None:
        if (time.monotonic() - self._scanned_at) * 1000 >= SCAN_EVERY_MS:
            self._found = _scan(self._prefix, server_pid)
            self._scanned_at = time.monotonic()
        return self._found


def shell_of(command: Command, children: Iterable[Child], server_pid: int) -> Child | None:
    """The process in which opencode runs this command, if it lives. The server is its parent."""
    later = [
        child
        for child in children
        if child.leader and child.parent == server_pid and child.began_at >= command.started_at - CLOCK_SLACK_MS
    ]
    for child in later:
        if command.text in child.words or command.text == " ".join(child.words):
            return child
    return next((child for child in later if child.began_at <= command.due_at + SPAWN_SLACK_MS), None)


def _scan(prefix: str, server_pid: int) -> tuple[Child, ...] | None:
    marked = processes.marked(prefix)
    if not any(process.pid == server_pid for process in marked):
        return None  # not even the server's own environment can be read here
    children = []
    for process in marked:
        if process.pid == server_pid:
            continue
        try:
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                began_at = processes.began_at_ms(process)
                words = tuple(process.cmdline())
                children.append(Child(process, process.ppid(), _leads(process.pid), began_at, words))
        except psutil.Error:
            continue
    return tuple(children)


def _leads(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except (OSError, AttributeError):
        return True
