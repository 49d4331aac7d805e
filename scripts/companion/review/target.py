"""What is kept of a change while its review runs: enough to check the places that findings name."""

from __future__ import annotations

import json
from typing import NamedTuple

from companion.review.change import Change, lines_at_base


class Target(NamedTuple):
    """What a review job looks at. `lines`: the lines of every text file of the change, as it was at submission.

    `folder` holds the patches of a change that is too large for the prompt.
    """

    label: str
    summary: str
    base: str
    lines: dict[str, int]
    folder: str | None

    def lines_of(self, path: str, workspace: str) -> int | None:
        """The lines of a file as it was reviewed; a file that has not changed, or is deleted, is read at the base."""
        known = self.lines.get(path)
        return known if known is not None else lines_at_base(workspace, self.base, path)


def target_of(change: Change, folder: str | None) -> Target:
    """The target of a change whose patches lie in `folder`, if they do."""
    # What has no lines (a binary, a submodule) can only be named as a whole.
    lines = {_readable(file.path): 1 if file.lines is None else file.lines for file in change.files if file.kind != "D"}
    return Target(change.label, change.summary, change.base, lines, folder)


def _readable(path: str) -> str:
    """A path as the model sees it: what is no UTF-8 is a question mark there."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def dumped(target: Target) -> str:
    """The target as the store keeps it."""
    return json.dumps(target._asdict())


def loaded(text: str) -> Target:
    """The target from what the store keeps."""
    return Target(**json.loads(text))
