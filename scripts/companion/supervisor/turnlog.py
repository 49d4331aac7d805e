"""A turn as it unfolds: events and reconciles go in, steps come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from companion.jobs import Activity, Tokens
from companion.observation import Step, ToolCall
from companion.opencode.adapter import Files, Part, TurnRecord


class TurnLog:
    """The steps of one turn, by what was seen last of each."""

    def __init__(self, ours: Iterable[str] = ()) -> None:
        self.members = frozenset(ours)
        self.user_message = False
        self.superseded = False
        self._heads: dict[str, Step] = {}
        self._parts: dict[str, dict[str, Part]] = {}

    def take(self, record: TurnRecord) -> None:
        """Merge what the server has stored."""
        self.members |= record.members
        self.user_message |= record.user_message
        self.superseded |= record.superseded
        for step in record.steps:
            self._heads[step.head.id] = step.head
            self._parts[step.head.id] = dict(step.parts)

    def head(self, head: Step) -> None:
        """A step began or changed."""
        self._heads[head.id] = head

    def part(self, step_id: str, part_id: str, part: Part) -> bool:
        """A part of a step began or changed. False if it says nothing new: a text is repeated when it is whole."""
        parts = self._parts.setdefault(step_id, {})
        new = parts.get(part_id) != part
        parts[part_id] = part
        return new

    def grow(self, step_id: str, part_id: str, text: str) -> None:
        """Text was added to a part."""
        parts = self._parts.get(step_id, {})
        known = parts.get(part_id)
        if isinstance(known, str):
            parts[part_id] = known + text

    def steps(self) -> tuple[Step, ...]:
        """The steps, oldest first, with their text and tool calls."""
        ordered = sorted(self._heads.values(), key=lambda head: (head.created_at, head.id))
        return tuple(_with_parts(head, self._parts.get(head.id, {}).values()) for head in ordered)

    def tools(self, sent_at: int) -> Iterator[tuple[str, ToolCall]]:
        """Every tool call with its part's id.

        What a killed server leaves counts as running for ever in its record; only the newest step runs, and only if it
        began since the message was sent (`sent_at`, ms).
        """
        newest = max(self._heads.values(), key=lambda head: (head.created_at, head.id), default=None)
        for step_id, parts in self._parts.items():
            runs = newest is not None and step_id == newest.id and newest.created_at >= sent_at
            for part_id, part in parts.items():
                if isinstance(part, ToolCall):
                    yield part_id, replace(part, running=part.running and runs)

    def files(self) -> tuple[str, ...]:
        """Paths of the files that the turn changed, as far as opencode tells."""
        paths: dict[str, None] = {}
        for parts in self._parts.values():
            for part in parts.values():
                if isinstance(part, Files):
                    paths.update(dict.fromkeys(part.paths))
                elif isinstance(part, ToolCall) and part.wrote:
                    paths[part.wrote] = None
        return tuple(paths)

    def usage(self) -> tuple[Tokens, float]:
        """Tokens and cost of all steps."""
        tokens, cost = Tokens(), 0.0
        for head in self._heads.values():
            tokens, cost = tokens.plus(head.tokens), cost + head.cost
        return tokens, cost


def activity_of(part: Part, at: int) -> Activity | None:
    """What a part says about what opencode does right now."""
    if isinstance(part, ToolCall):
        if part.running and part.started_at is None:
            return None  # the model still writes the call
        return Activity(part.tool, part.detail, at)
    if isinstance(part, str) and part.strip():
        return Activity("answer", "writing", at)
    return None


def _with_parts(head: Step, parts: Iterable[Part]) -> Step:
    parts = list(parts)
    text = "\n\n".join(part for part in parts if isinstance(part, str) and part)
    return replace(head, text=text, tools=tuple(part for part in parts if isinstance(part, ToolCall)))
