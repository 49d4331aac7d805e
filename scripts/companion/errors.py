"""What can go wrong, and what a person is told.

CompanionError          a mistake or a missing thing; exit code 1
├── UsageError          the command line is not understood
├── SettingError        an environment variable holds an unusable value
├── StoreError          the job store cannot be read or written
└── JobNotFound         no job has this id, or several begin with it

Every message is one line: what happened, why most likely, what to do.
"""

from __future__ import annotations


class CompanionError(Exception):
    """Shown as one line on stderr; the process ends with exit code 1."""


class UsageError(CompanionError):
    """The command line is not understood."""


class SettingError(CompanionError):
    """An environment variable holds an unusable value."""


class StoreError(CompanionError):
    """The job store cannot be read or written."""


class JobNotFound(CompanionError):
    """No job has this id, or several begin with it."""
