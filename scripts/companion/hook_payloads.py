"""What Claude Code gives our hooks and what they may answer: the source of the JSON Schemas in hooks/schemas.

The hooks themselves run without pydantic and import nothing from here; tests hold their input and output
against these models. Payload models take unknown keys, since newer versions of Claude Code add some. Output
models take none: Claude Code ignores what it doesn't know without a word.

    python -m companion.hook_payloads --write hooks/schemas
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, TypeAdapter, model_validator
from pydantic.json_schema import GenerateJsonSchema

# Above 10,000 UTF-16 units Claude Code moves injected text to a file and shows 2 KB of it (measured).
MAX_INJECTED_CHARS = 9_999


def _utf16_length_is_bounded(text: str) -> str:
    """Claude Code is a JavaScript program: a character outside the basic plane counts twice there."""
    units = len(text.encode("utf-16-le", errors="surrogatepass")) // 2
    if units > MAX_INJECTED_CHARS:
        raise ValueError(f"{units} UTF-16 units, but only {MAX_INJECTED_CHARS} are shown to the model")
    return text


Injected = Annotated[str, Field(min_length=1, max_length=MAX_INJECTED_CHARS), AfterValidator(_utf16_length_is_bounded)]


class Given(BaseModel):
    """Something from Claude Code; unknown keys are kept."""

    model_config = ConfigDict(extra="allow", strict=True, regex_engine="python-re")


class Payload(Given):
    """What every event brings."""

    session_id: str
    transcript_path: str
    cwd: str
    hook_event_name: str
    prompt_id: str | None = None
    permission_mode: str | None = None
    agent_id: str | None = Field(
        None, description="The subagent in which the event happened; absent on the main thread."
    )
    agent_type: str | None = Field(None, description="The subagent's name, `plugin:agent` for a plugin's.")


class BashInput(Given):
    command: str
    description: str | None = None
    timeout: float | None = Field(None, description="Milliseconds.")
    run_in_background: bool | None = None


class AgentInput(Given):
    prompt: str
    description: str | None = None
    subagent_type: str | None = None
    run_in_background: bool | None = None


class BashResponse(Given):
    stdout: str = Field(description="stderr is merged into it; cut at 30,000 characters.")
    stderr: str
    interrupted: bool
    backgroundTaskId: str | None = Field(
        None, description="The command runs on in the background: stdout is not its output."
    )
    persistedOutputPath: str | None = Field(None, description="The file with all of the output, where stdout is cut.")
    persistedOutputSize: int | None = None


class Block(Given):
    """A piece of an agent's final message."""

    type: str
    text: str | None = None


class AgentCompleted(Given):
    """A subagent that has ended: with an answer, at its turn limit, or (in 2.1.197) by an API error."""

    status: Literal["completed"]
    agentId: str
    agentType: str | None = None
    content: list[Block]
    prompt: str
    totalDurationMs: float
    totalTokens: float
    totalToolUseCount: float
    usage: dict[str, Any]


class AgentLaunched(Given):
    """A subagent that has just been started in the background."""

    status: Literal["async_launched"]
    agentId: str
    outputFile: str | None = None


class AgentOther(Given):
    """A way to start agents that we don't know."""

    status: str = Field(pattern=r"^(?!(completed|async_launched)$)")
    agentId: str | None = None


AgentResponse = AgentCompleted | AgentLaunched | AgentOther


class ToolPayload(Payload):
    tool_use_id: str


class PreToolUseBash(ToolPayload):
    hook_event_name: Literal["PreToolUse"]
    tool_name: Literal["Bash"]
    tool_input: BashInput


class PreToolUseAgent(ToolPayload):
    hook_event_name: Literal["PreToolUse"]
    tool_name: Literal["Agent", "Task"]
    tool_input: AgentInput


class PreToolUseOther(ToolPayload):
    """Any other tool: our matcher lets none through."""

    hook_event_name: Literal["PreToolUse"]
    tool_name: str = Field(pattern=r"^(?!(Bash|Agent|Task)$)")
    tool_input: dict[str, Any]


class PostToolUseBash(PreToolUseBash):
    hook_event_name: Literal["PostToolUse"]  # type: ignore[assignment]
    tool_response: BashResponse


class PostToolUseAgent(PreToolUseAgent):
    hook_event_name: Literal["PostToolUse"]  # type: ignore[assignment]
    tool_response: AgentResponse


class PostToolUseOther(PreToolUseOther):
    """Any other tool: our matcher lets none through."""

    hook_event_name: Literal["PostToolUse"]  # type: ignore[assignment]
    tool_response: Any


class FailedBash(PreToolUseBash):
    """A command that ended with another code than 0: what it printed stands in `error`, below the code."""

    hook_event_name: Literal["PostToolUseFailure"]  # type: ignore[assignment]
    error: str


class FailedAgent(PreToolUseAgent):
    """A subagent that could not be started or that an API error ended; which one is not told."""

    hook_event_name: Literal["PostToolUseFailure"]  # type: ignore[assignment]
    error: str


class FailedOther(PreToolUseOther):
    """Any other tool: our matcher lets none through."""

    hook_event_name: Literal["PostToolUseFailure"]  # type: ignore[assignment]
    error: str


PostToolUseFailure = FailedBash | FailedAgent | FailedOther
PreToolUse = PreToolUseBash | PreToolUseAgent | PreToolUseOther
PostToolUse = PostToolUseBash | PostToolUseAgent | PostToolUseOther


class BackgroundTask(Given):
    id: str
    type: str = Field(description="`shell` or `subagent`.")
    status: str
    description: str | None = None
    command: str | None = None
    agent_type: str | None = None


class SubagentStop(Payload):
    hook_event_name: Literal["SubagentStop"]
    agent_id: str
    agent_type: str
    stop_hook_active: bool
    agent_transcript_path: str
    last_assistant_message: str | None = None
    background_tasks: list[BackgroundTask] = []


class Stop(Payload):
    hook_event_name: Literal["Stop"]
    stop_hook_active: bool
    last_assistant_message: str | None = None
    background_tasks: list[BackgroundTask] = []


class StopFailure(Payload):
    """An API error ended a turn, of a subagent if there is an `agent_id`."""

    hook_event_name: Literal["StopFailure"]
    error: str
    last_assistant_message: str | None = None


class SessionStart(Payload):
    hook_event_name: Literal["SessionStart"]
    source: str = Field(description="`startup`, `resume`, `clear` or `compact`.")
    model: str | None = None


class SessionEnd(Payload):
    hook_event_name: Literal["SessionEnd"]
    reason: str


class UserPromptSubmit(Payload):
    hook_event_name: Literal["UserPromptSubmit"]
    prompt: str = Field(description="What a person typed, or a `<task-notification>` that woke the session.")


class Answer(BaseModel):
    """Something a hook prints; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _says_something(*keys: str) -> dict[str, Any]:
    """For the schema: at least one of these keys is there."""
    return {"anyOf": [{"required": [key]} for key in keys]}


class _Choice(Answer):
    """An answer whose parts are optional, but not all of them."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> _Choice:
        if self.model_fields_set <= {"hookEventName"}:
            raise ValueError("changes nothing and says nothing: print no output instead")
        return self


class BashCopy(Given):
    """A copy of a command's input with a change; whatever else the model put into it stays as it was."""

    command: str


class AgentCopy(Given):
    """The same of a subagent's."""

    prompt: str


class PreToolUseSpecific(_Choice):
    model_config = ConfigDict(json_schema_extra=_says_something("updatedInput", "additionalContext"))

    hookEventName: Literal["PreToolUse"]
    updatedInput: BashCopy | AgentCopy = Field(
        default=None,  # type: ignore[assignment]
        description="Replaces the whole input, so it is a copy of tool_input with a change.",
    )
    additionalContext: Injected = Field(default=None)  # type: ignore[assignment]


class PreToolUseOutput(Answer):
    """No `permissionDecision`: what a hook of ours rewrites still asks for its permission."""

    hookSpecificOutput: PreToolUseSpecific


class UpdatedBash(Given):
    """Claude Code ignores a replacement without these three."""

    stdout: str
    stderr: str
    interrupted: bool


class PostToolUseSpecific(_Choice):
    model_config = ConfigDict(json_schema_extra=_says_something("additionalContext", "updatedToolOutput"))

    hookEventName: Literal["PostToolUse"]
    additionalContext: Injected = Field(default=None)  # type: ignore[assignment]
    updatedToolOutput: AgentCompleted | UpdatedBash = Field(
        default=None,  # type: ignore[assignment]
        description="Replaces the whole output, so it is a copy of tool_response with a change.",
    )


class PostToolUseOutput(Answer):
    hookSpecificOutput: PostToolUseSpecific


class PostToolUseFailureSpecific(Answer):
    hookEventName: Literal["PostToolUseFailure"]
    additionalContext: Injected


class PostToolUseFailureOutput(Answer):
    hookSpecificOutput: PostToolUseFailureSpecific


class BlockOutput(Answer):
    """Sends the one who wants to stop on, with a reason."""

    decision: Literal["block"]
    reason: Injected


class SubagentStopOutput(BlockOutput):
    """No `additionalContext`: at this event it too sends the subagent on."""


class StopNotice(Answer):
    """A line for the person; the turn ends."""

    systemMessage: Injected


class StopOutput(RootModel[BlockOutput | StopNotice]):
    """The gate sends Claude on, or says why it could not look."""


class SessionStartSpecific(Answer):
    hookEventName: Literal["SessionStart"]
    additionalContext: Injected


class SessionStartOutput(Answer):
    hookSpecificOutput: SessionStartSpecific


class UserPromptSubmitSpecific(Answer):
    hookEventName: Literal["UserPromptSubmit"]
    additionalContext: Injected


class UserPromptSubmitOutput(Answer):
    """No `decision`: blocking a prompt would drop a background agent's result with it."""

    hookSpecificOutput: UserPromptSubmitSpecific


PAYLOADS: dict[str, TypeAdapter[Any]] = {
    "PreToolUse": TypeAdapter(PreToolUse),
    "PostToolUse": TypeAdapter(PostToolUse),
    "PostToolUseFailure": TypeAdapter(PostToolUseFailure),
    "SubagentStop": TypeAdapter(SubagentStop),
    "Stop": TypeAdapter(Stop),
    "StopFailure": TypeAdapter(StopFailure),
    "SessionStart": TypeAdapter(SessionStart),
    "SessionEnd": TypeAdapter(SessionEnd),
    "UserPromptSubmit": TypeAdapter(UserPromptSubmit),
}

# SessionEnd has none: nobody is left to read it. StopFailure has none: nothing may be printed there.
OUTPUTS: dict[str, TypeAdapter[Any]] = {
    "PreToolUse": TypeAdapter(PreToolUseOutput),
    "PostToolUse": TypeAdapter(PostToolUseOutput),
    "PostToolUseFailure": TypeAdapter(PostToolUseFailureOutput),
    "SubagentStop": TypeAdapter(SubagentStopOutput),
    "Stop": TypeAdapter(StopOutput),
    "SessionStart": TypeAdapter(SessionStartOutput),
    "UserPromptSubmit": TypeAdapter(UserPromptSubmitOutput),
}


def check_payload(payload: Any) -> None:
    """Raises pydantic's ValidationError unless this is a payload of the event that it names.

    KeyError: an event that no hook of ours reads.
    """
    PAYLOADS[payload["hook_event_name"]].validate_python(payload)


def check_output(event: str, output: Any) -> None:
    """Raises pydantic's ValidationError unless a hook may print this at `event`.

    KeyError: an event at which it may print nothing.
    """
    OUTPUTS[event].validate_python(output)


def schemas() -> dict[str, str]:
    """The text of every schema file by its name."""
    files = {}
    for kind, adapters in (("payload", PAYLOADS), ("output", OUTPUTS)):
        for event, adapter in adapters.items():
            schema = {"$schema": GenerateJsonSchema.schema_dialect, "title": f"{event} {kind}"}
            schema.update((key, value) for key, value in _plain(adapter.json_schema()).items() if key != "title")
            files[f"{event}.{kind}.schema.json"] = json.dumps(schema, indent=2, sort_keys=True) + "\n"
    return files


def _plain(schema: Any) -> Any:
    """Without what pydantic adds: a title for everything, and null as the default of what may be left out."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items() if not (key == "default" and value is None)}
    if isinstance(plain.get("title"), str):
        del plain["title"]
    return plain


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m companion.hook_payloads", description="Write the hooks' JSON Schemas."
    )
    parser.add_argument("--write", type=Path, required=True, metavar="FOLDER")
    folder: Path = parser.parse_args(arguments).write
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.schema.json"):
        stale.unlink()
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
