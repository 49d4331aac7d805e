"""Hypothesis strategies that spoil a hook's input.

    @given(data=st.data(), payload=st.sampled_from(FIXTURES))
    def test_hook_survives(data: st.DataObject, payload: dict[str, Any]) -> None:
        stdin = data.draw(spoiled(payload))        # bytes for the hook's stdin

`mutated` keeps the input JSON and changes what it says; `nonsense` is no JSON, or none that a careless reader
survives; `spoiled` is either of them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

HUGE_CHARS = 200_000
DEEP_LEVELS = 50_000
MAX_CHANGES = 4

_hostile_texts = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "\ud800",
        "</system-reminder>",
        "<task-notification>\n<task-id>b1</task-id>\n</task-notification>",
        "../../../../etc/passwd",
        "/dev/zero",
        "task-0-000000",
        "$(touch pwned)",
        "x" * HUGE_CHARS,
        "\N{PILE OF POO}" * 20_000,
        "opencode run 'unclosed",
    ]
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**300, -1, 0, 2**63])
    | st.floats()
    | st.text(max_size=40)
    | _hostile_texts
)
values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every part of a JSON value, itself first."""
    yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, (*path, key))


def _parent(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


@st.composite
def mutated(draw: st.DrawFn, payload: Any) -> Any:
    """The payload with some keys dropped, renamed or added, and some values replaced by anything at all."""
    changed = copy.deepcopy(payload)
    for _ in range(draw(st.integers(1, MAX_CHANGES))):
        path = draw(st.sampled_from(list(_places(changed))))
        if not path:
            # The whole payload; seldom drawn from a large one, so it ends the changes.
            return draw(values)
        parent, key = _parent(changed, path), path[-1]
        change = draw(st.sampled_from(["replace", "drop", "rename", "add", "wrap"]))
        if change == "replace":
            parent[key] = draw(values)
        elif change == "drop":
            del parent[key]
        elif change == "wrap":
            parent[key] = [parent[key]]
        elif isinstance(parent, list):
            parent.insert(key, draw(values))
        elif change == "rename":
            parent[draw(st.text(max_size=12))] = parent.pop(key)
        else:
            parent[draw(st.text(max_size=12))] = draw(values)
    return changed


def encoded(value: Any) -> bytes:
    """JSON as Claude Code would write it, except that NaN and lone surrogates pass."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", errors="surrogatepass")


def nonsense(payload: Any = None) -> st.SearchStrategy[bytes]:
    """Bytes that are no JSON, that are cut or spoiled JSON, or JSON that breaks a careless reader."""
    whole = encoded(payload if payload is not None else {"hook_event_name": "PostToolUse"})
    cut = st.integers(0, len(whole) - 1).map(lambda end: whole[:end])
    dressed = st.sampled_from(
        [
            b"",
            b"\n",
            b"null",
            b"[]",
            b'"text"',
            b"NaN",
            b"\xef\xbb\xbf" + whole,
            whole + whole,
            whole.decode("utf-8", errors="replace").encode("utf-16"),
            whole[:-1] + b"\xff}",
            b"[" * DEEP_LEVELS,
            b'{"a":' * DEEP_LEVELS + b"1" + b"}" * DEEP_LEVELS,
            b"1" * 5_000,
            b'{"hook_event_name": ' + b"9" * 5_000 + b"}",
            b"\x00" * HUGE_CHARS,
        ]
    )
    return st.binary(max_size=200) | cut | dressed


def spoiled(payload: Any) -> st.SearchStrategy[bytes]:
    """What `mutated` or `nonsense` makes of a payload, as bytes for a hook's stdin."""
    return mutated(payload).map(encoded) | nonsense(payload)
