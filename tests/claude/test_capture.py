"""The capture script's judgement of shapes, and the strategies that spoil payloads: no claude needed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from . import capture_payloads, mutations
from .capture_payloads import FIXTURES, Normaliser, compare, shape, stored
from .runner import Claude

NEWEST = max(FIXTURES.iterdir(), key=lambda folder: [int(part) for part in folder.name.split(".")])
STORED = stored(NEWEST)
NEUTRAL = "00000000-0000-4000-8000-000000000001"
AGENT = STORED["PostToolUse.Agent.agent-sync"]


SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


def changed(name: str, **keys: Any) -> dict[str, Any]:
    return {**STORED, name: {**STORED[name], **keys}}


def test_same_shapes_are_no_change() -> None:
    assert compare(STORED, changed("Stop.bash-ok", session_id="another", stop_hook_active=True)) == []


def test_change_is_told_with_its_event_and_place() -> None:
    response = {**AGENT["tool_response"], "agentId": 7, "brandNew": [1]}
    del response["status"]
    lines = compare(STORED, changed("PostToolUse.Agent.agent-sync", tool_response=response))
    assert lines == [
        'PostToolUse.Agent.agent-sync: tool_response.agentId: "string" -> "number"',
        'PostToolUse.Agent.agent-sync: tool_response.brandNew: new (["number"])',
        'PostToolUse.Agent.agent-sync: tool_response.status: gone (was "string")',
    ]


def test_change_within_a_list_is_told() -> None:
    response = {**AGENT["tool_response"], "content": [{"type": "text", "body": "renamed"}]}
    lines = compare(STORED, changed("PostToolUse.Agent.agent-sync", tool_response=response))
    assert [line.split(": ")[1] for line in lines] == [
        "tool_response.content[].body",
        "tool_response.content[].text",
    ]


def test_event_that_fires_no_more_or_newly_is_told() -> None:
    fewer = {name: payload for name, payload in STORED.items() if name != "Stop.bash-ok"}
    assert compare(STORED, fewer) == ["Stop.bash-ok: no longer fired"]
    assert compare(fewer, STORED) == ["Stop.bash-ok: fired, but is not stored"]


def test_shape_of_a_list_is_the_set_of_its_members() -> None:
    assert shape([1, 2.5, "a", {"k": None}, {"k": None}, True]) == [
        "boolean",
        "number",
        "string",
        {"k": "null"},
    ]


def check(monkeypatch: pytest.MonkeyPatch, fresh: dict[str, Any], folder: Path, version: str = NEWEST.name) -> int:
    monkeypatch.setattr(Claude, "at", staticmethod(lambda path: Claude(Path(path), version)))
    monkeypatch.setattr(capture_payloads, "capture", lambda claude, say: fresh)
    return capture_payloads.main(["--claude", "some-claude", "--check", "--out", str(folder)])


def test_check_says_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(monkeypatch, dict(STORED), FIXTURES) == 0
    assert "the same shapes" in capsys.readouterr().out


def test_check_of_an_unknown_newer_version_takes_the_newest_stored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = changed("Stop.bash-ok", stop_hook_active="yes")
    assert check(monkeypatch, fresh, FIXTURES, version="9.9.9") == 1
    told = capsys.readouterr().out
    assert 'Stop.bash-ok: stop_hook_active: "boolean" -> "string"' in told
    assert f"9.9.9 against the stored {NEWEST.name}: 1 changes" in told


def test_it_starts_by_its_path(tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(capture_payloads.__file__), "--help"]
    assert "--check" in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout


def test_check_with_nothing_stored_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert check(monkeypatch, dict(STORED), tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_normalising_hides_the_machine_and_keeps_identity(tmp_path: Path) -> None:
    session, agent = "5e5d8dc7-3352-4e69-a149-0466453d0290", "a1df5cce4adfaef16"
    slug = "".join(char if char.isalnum() else "-" for char in str(tmp_path))
    payloads: list[dict[str, Any]] = [
        {
            "session_id": session,
            "transcript_path": f"{tmp_path}/home/.claude/projects/{slug}-project/{session}.jsonl",
            "cwd": f"{tmp_path}/project",
            "agent_id": agent,
            "duration_ms": 731,
        },
        {
            "background_tasks": [{"id": "b0g1hduq4", "type": "shell"}],
            "text": f"b0g1hduq4 of {agent}, {tmp_path}/tmp/x",
        },
    ]
    first, second = Normaliser(tmp_path).all(payloads)
    assert first == {
        "session_id": NEUTRAL,
        "transcript_path": f"/home/user/.claude/projects/-home-user-project/{NEUTRAL}.jsonl",
        "cwd": "/home/user/project",
        "agent_id": "a0000000000000001",
        "duration_ms": 100,
    }
    assert second["background_tasks"][0]["id"] == "b00000001"
    assert second["text"] == "b00000001 of a0000000000000001, /tmp/x"
    assert [shape(payload) for payload in payloads] == [shape(first), shape(second)]


@settings(SETTINGS, max_examples=60)
@given(st.data())
def test_mutation_leaves_the_original_alone(data: st.DataObject) -> None:
    before = json.dumps(AGENT, sort_keys=True)
    assert isinstance(data.draw(mutations.spoiled(AGENT)), bytes)
    assert json.dumps(AGENT, sort_keys=True) == before


@pytest.mark.parametrize(
    "damaged",
    [
        lambda value: not isinstance(value, dict),
        lambda value: isinstance(value, dict) and "tool_response" not in value,
        lambda value: isinstance(value, dict) and not isinstance(value.get("tool_response", {}), dict),
        lambda value: isinstance(value, dict) and value.keys() > AGENT.keys(),
    ],
    ids=["no-dict", "key-dropped", "type-changed", "key-added"],
)
def test_mutations_reach_every_kind_of_damage(damaged: Callable[[Any], bool]) -> None:
    patient = settings(SETTINGS, max_examples=5_000)
    find(mutations.mutated(AGENT), damaged, settings=patient)
