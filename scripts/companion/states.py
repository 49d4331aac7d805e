"""The states of a job, and the groups of states the program asks about. Imports nothing of ours."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """The state of a job. Exactly one terminal state is ever written, once."""

    QUEUED = "queued"  # durable, not yet handed to opencode
    RUNNING = "running"  # a supervisor drives it, or will again after a crash
    COMPLETED = "completed"  # there is an answer
    INCOMPLETE = "incomplete"  # ended without an answer, or with one cut short
    FAILED = "failed"  # could not be done; the reason says why
    CANCELLED = "cancelled"  # stopped by request


ACTIVE: tuple[Status, ...] = (Status.QUEUED, Status.RUNNING)
TERMINAL: tuple[Status, ...] = (Status.COMPLETED, Status.INCOMPLETE, Status.FAILED, Status.CANCELLED)


class Phase(str, Enum):
    """What a job that has not ended is doing."""

    QUEUED = "queued"  # waiting for a supervisor
    STARTING = "starting"  # the server boots, the turn is being sent
    INVESTIGATING = "investigating"  # the model thinks or reads
    WORKING = "working"  # a tool runs
    ANSWERING = "answering"  # text is coming in
    RETRYING = "retrying"  # the provider failed, opencode tries again
    WAITING = "waiting"  # blocked on an answer from outside
    RECOVERING = "recovering"  # re-attached or sent again after a crash
    FINALIZING = "finalizing"  # the turn is over, the answer is being read
    CANCELLING = "cancelling"  # asked to stop
    ENDED = "ended"
