"""Checks the answers of one review job, for the supervisor."""

from __future__ import annotations

import shutil

from companion.jobs import Job
from companion.review.answer import Checked, check, outcome
from companion.review.prompt import correction_prompt
from companion.review.target import Target, loaded
from companion.store import Store


class Checker:
    """The answers of one job, against what it looks at. `correction`: what to tell the model about the last one."""

    def __init__(self, target: Target, workspace: str) -> None:
        self._target = target
        self._workspace = workspace
        self._seen = ("", Checked(None, ()))
        self.correction = ""

    @classmethod
    def of(cls, job: Job, store: Store) -> Checker | None:
        """The checker of a job, None where its answers have no form to check."""
        target = store.review_target(job.id)
        return cls(loaded(target), job.workspace) if target is not None else None

    @property
    def folder(self) -> str | None:
        """The folder with the patches of a large change."""
        return self._target.folder

    def look(self, text: str) -> None:
        """Check an answer, an empty one being none; sets `correction`."""
        problems = self._check(text).problems if text.strip() else ()
        self.correction = correction_prompt(problems) if problems else ""

    def outcome(self, text: str) -> tuple[str, dict[str, object]]:
        """What is stored of the final answer: its text for people, and the object for programs."""
        return outcome(text, self._check(text), self._target)

    def close(self) -> None:
        """The job has ended: nobody reads the patches any more."""
        if self._target.folder is not None:
            shutil.rmtree(self._target.folder, ignore_errors=True)

    def _check(self, text: str) -> Checked:
        if text != self._seen[0]:
            checked = check(text, lambda path: self._target.lines_of(path, self._workspace), self._workspace)
            self._seen = (text, checked)
        return self._seen[1]
