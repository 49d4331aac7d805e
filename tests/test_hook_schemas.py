"""The hooks' JSON Schemas: they are the models', real payloads pass them, wrong ones don't."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from companion import hook_payloads

REPO = Path(__file__).resolve().parents[1]
SCHEMAS = REPO / "hooks" / "schemas"
FIXTURES = sorted((REPO / "tests" / "fixtures" / "payloads").glob("*/*.json"))
VERSIONS = sorted({path.parent.name for path in FIXTURES})


def load(path: Path) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return payload


def fixture(name: str, version: str = VERSIONS[-1]) -> dict[str, Any]:
    return load(REPO / "tests" / "fixtures" / "payloads" / version / f"{name}.json")


def validator(event: str, kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{event}.{kind}.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def payload_is_valid(event: str, payload: Any) -> bool:
    """Both judges must agree."""
    by_schema = validator(event, "payload").is_valid(payload)
    try:
        hook_payloads.PAYLOADS[event].validate_python(payload)
    except ValidationError:
        assert not by_schema, f"the schema takes what the model refuses: {payload}"
        return False
    assert by_schema, f"the model takes what the schema refuses: {payload}"
    return True


def output_is_valid(event: str, output: Any) -> bool:
    by_schema = validator(event, "output").is_valid(output)
    try:
        hook_payloads.check_output(event, output)
    except ValidationError:
        assert not by_schema, f"the schema takes what the model refuses: {output}"
        return False
    assert by_schema, f"the model takes what the schema refuses: {output}"
    return True


def test_stored_schemas_are_the_generated_ones() -> None:
    stored = {path.name: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*")}
    assert stored == hook_payloads.schemas(), "run: python -m companion.hook_payloads --write hooks/schemas"


@pytest.mark.parametrize("name", sorted(hook_payloads.schemas()))
def test_schema_is_a_valid_schema(name: str) -> None:
    schema = json.loads(hook_payloads.schemas()[name])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_write_replaces_the_folder(tmp_path: Path) -> None:
    (tmp_path / "Gone.payload.schema.json").write_text("{}")
    hook_payloads.main(["--write", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == set(hook_payloads.schemas())


def test_both_versions_have_fixtures_of_every_event_we_read() -> None:
    assert len(VERSIONS) >= 2
    for version in VERSIONS:
        events = {path.name.partition(".")[0] for path in FIXTURES if path.parent.name == version}
        assert events >= set(hook_payloads.PAYLOADS), version


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_real_payload_is_valid(path: Path) -> None:
    payload = load(path)
    event = payload["hook_event_name"]
    if event in hook_payloads.PAYLOADS:
        assert payload_is_valid(event, payload)
    else:
        hook_payloads.Payload.model_validate(payload)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_real_payload_is_neutral(path: Path) -> None:
    """No path and no id of the machine on which it was captured."""
    text = path.read_text(encoding="utf-8")
    assert "/root" not in text and "capture-" not in text
    assert load(path)["cwd"] == "/home/user/project"


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_payload_without_a_needed_key_is_not_valid(path: Path) -> None:
    payload = load(path)
    event = payload["hook_event_name"]
    if event not in hook_payloads.PAYLOADS:
        return
    needed = {"session_id", "cwd", "hook_event_name"} | ({"tool_name", "tool_input"} & payload.keys())
    for key in needed:
        assert not payload_is_valid(event, {name: value for name, value in payload.items() if name != key})
        assert not payload_is_valid(event, {**payload, key: 7})


@pytest.mark.parametrize("event", sorted(hook_payloads.PAYLOADS))
@pytest.mark.parametrize("payload", [None, [], {}, "text", 3, {"hook_event_name": "Other"}], ids=repr)
def test_nonsense_is_no_payload(event: str, payload: Any) -> None:
    assert not payload_is_valid(event, payload)


def test_payload_of_another_event_is_not_valid() -> None:
    assert not payload_is_valid("Stop", fixture("SubagentStop.agent-sync"))
    assert not payload_is_valid("PostToolUse", fixture("PreToolUse.Bash.bash-ok"))


def test_unknown_keys_are_kept() -> None:
    payload = {**fixture("PostToolUse.Agent.agent-sync"), "somethingNew": {"deep": 1}}
    payload["tool_response"]["alsoNew"] = 1
    assert payload_is_valid("PostToolUse", payload)


def wrong_bash_response(response: Any) -> dict[str, Any]:
    return {**fixture("PostToolUse.Bash.bash-ok"), "tool_response": response}


@pytest.mark.parametrize(
    "response", [None, "hello", {"stdout": "x"}, {"stdout": 1, "stderr": "", "interrupted": False}]
)
def test_wrong_bash_response_is_not_valid(response: Any) -> None:
    assert not payload_is_valid("PostToolUse", wrong_bash_response(response))


def test_wrong_agent_response_is_not_valid() -> None:
    payload = fixture("PostToolUse.Agent.agent-sync")
    for change in (
        {"content": "text"},
        {"content": [{"text": "typeless"}]},
        {"status": 1},
        {"agentId": None},
    ):
        changed = {**payload, "tool_response": {**payload["tool_response"], **change}}
        assert not payload_is_valid("PostToolUse", changed), change


def test_agent_started_in_a_way_we_do_not_know_is_valid() -> None:
    response = {"status": "remote_launched", "taskId": "r1"}
    payload = {**fixture("PostToolUse.Agent.agent-sync"), "tool_response": response}
    assert payload_is_valid("PostToolUse", payload)


def specific(event: str, **keys: Any) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": event, **keys}}


def agent_output() -> dict[str, Any]:
    response: dict[str, Any] = fixture("PostToolUse.Agent.agent-sync")["tool_response"]
    return {**response, "content": [{"type": "text", "text": "The real report."}]}


@pytest.mark.parametrize(
    ("event", "output"),
    [
        ("PreToolUse", specific("PreToolUse", updatedInput={"command": "ls", "timeout": 5})),
        ("PreToolUse", specific("PreToolUse", updatedInput={"prompt": "p"}, additionalContext="c")),
        ("PostToolUse", specific("PostToolUse", additionalContext="c")),
        ("PostToolUse", specific("PostToolUse", additionalContext="c" * 9_999)),
        ("PostToolUse", specific("PostToolUse", updatedToolOutput=agent_output())),
        (
            "PostToolUse",
            specific("PostToolUse", updatedToolOutput={"stdout": "", "stderr": "", "interrupted": False}),
        ),
        ("SubagentStop", {"decision": "block", "reason": "wait"}),
        ("Stop", {"decision": "block", "reason": "mend it"}),
        ("SessionStart", specific("SessionStart", additionalContext="c")),
        ("UserPromptSubmit", specific("UserPromptSubmit", additionalContext="c")),
    ],
)
def test_good_output_is_valid(event: str, output: dict[str, Any]) -> None:
    assert output_is_valid(event, output)


@pytest.mark.parametrize(
    ("event", "output"),
    [
        ("PreToolUse", {}),
        ("PreToolUse", {"additionalContext": "at the top it is ignored"}),
        ("PreToolUse", specific("PreToolUse")),
        ("PreToolUse", specific("PostToolUse", additionalContext="wrong event")),
        ("PreToolUse", specific("PreToolUse", updatedInput={"timeout": 5})),
        ("PreToolUse", specific("PreToolUse", updatedInput={"command": "ls"}, permissionDecision="allow")),
        ("PreToolUse", {"hookSpecificOutput": {"additionalContext": "no event"}}),
        ("PostToolUse", specific("PostToolUse")),
        ("PostToolUse", specific("PostToolUse", additionalContext="")),
        ("PostToolUse", specific("PostToolUse", additionalContext=None)),
        ("PostToolUse", specific("PostToolUse", additionalContext="c" * 10_000)),
        ("PostToolUse", specific("PostToolUse", updatedToolOutput="text")),
        ("PostToolUse", specific("PostToolUse", updatedToolOutput={"stdout": "x"})),
        ("PostToolUse", specific("PostToolUse", updatedToolOutput={"status": "completed", "content": []})),
        ("PostToolUse", {"decision": "block", "reason": "r"}),
        ("SubagentStop", {"decision": "approve"}),
        ("SubagentStop", {"decision": "block"}),
        ("SubagentStop", {"decision": "block", "reason": ""}),
        ("SubagentStop", specific("SubagentStop", additionalContext="would send it on")),
        ("Stop", {"decision": "block", "reason": "r", "extra": 1}),
        ("Stop", {"continue": False}),
        ("SessionStart", "text"),
        ("UserPromptSubmit", {"decision": "block", "reason": "would drop a notification"}),
    ],
)
def test_wrong_output_is_not_valid(event: str, output: Any) -> None:
    assert not output_is_valid(event, output)


def test_length_is_counted_as_claude_code_counts_it() -> None:
    """Its characters are UTF-16 units; JSON Schema has no word for that, the model has."""
    astral = "\N{PILE OF POO}" * 5_000
    with pytest.raises(ValidationError, match="UTF-16"):
        hook_payloads.check_output("PostToolUse", specific("PostToolUse", additionalContext=astral))
    hook_payloads.check_output("PostToolUse", specific("PostToolUse", additionalContext=astral[:4_999]))


def test_session_end_may_print_nothing() -> None:
    with pytest.raises(KeyError):
        hook_payloads.check_output("SessionEnd", specific("SessionEnd", additionalContext="c"))


def test_check_payload_goes_by_the_event_that_is_named() -> None:
    hook_payloads.check_payload(fixture("Stop.bash-ok"))
    with pytest.raises(ValidationError):
        hook_payloads.check_payload({"hook_event_name": "Stop"})
    with pytest.raises(KeyError):
        hook_payloads.check_payload(fixture("SubagentStart.agent-sync"))
