"""Prepends the safety header to what is handed to OpenCode outside the companion.

A Bash command is rewritten only where its meaning is certain: a simple command line of plain, quoted and escaped words
and && ; || | & between commands. Whatever else a shell knows leaves the command as it is, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from companion.hooks.command_line import NotCertain, Word, commands, quoted
from companion.hooks.payload import is_rescue_agent, mapping, text
from companion.hooks.run import answer
from companion.safety import safety_header

# The options of `opencode run` (1.x). `--file` takes every word up to the next option.
VALUE_OPTIONS = (
    *("--log-level", "--session", "-s", "--model", "-m", "--agent", "--format", "--title", "--attach", "--password"),
    *("-p", "--username", "-u", "--dir", "--port", "--variant"),
)
SWITCHES = ("--print-logs", "--pure", "--continue", "-c", "--fork", "--share", "--thinking", "--auto")
FILE_OPTIONS = ("--file", "-f")


def main(payload: dict[str, Any], env: Mapping[str, str], data_dir: str, arguments: list[str]) -> int:
    """Rewrite the call where it hands something to OpenCode."""
    tool, given = text(payload, "tool_name"), mapping(payload, "tool_input")
    if tool == "Bash":
        field, changed = "command", with_header_in_command(text(given, "command"), safety_header())
    elif tool in ("Agent", "Task") and is_rescue_agent(text(given, "subagent_type")):
        field, changed = "prompt", with_header(text(given, "prompt"), safety_header())
    else:
        return 0
    if changed != text(given, field):
        answer("PreToolUse", updatedInput={**given, field: changed})
    return 0


def with_header(prompt: str, header: str) -> str:
    """The prompt below the header, once; an empty prompt stays empty."""
    return prompt if not prompt.strip() or header in prompt else f"{header}\n\n{prompt}"


def with_header_in_command(command: str, header: str) -> str:
    """The command line with the header before the text of every `opencode run` in it, once."""
    try:
        edits = [edit for words, fed in commands(command) if not fed for edit in _edits(command, words, header)]
    except NotCertain:
        return command
    for start, end, replacement in sorted(edits, reverse=True):
        command = command[:start] + replacement + command[end:]
    return command


def _edits(command: str, words: list[Word], header: str) -> list[tuple[int, int, str]]:
    """What to replace in one command, as (start, end, text); nothing if it is not an `opencode run` with a text."""
    program = _program_at(words)
    if program is None:
        return []
    message = _message(words[program + 2 :])
    if not message or any(_holds(command, word, header) for word in message):
        return []
    first = message[0]
    if len(message) == 1 and first.one_argument:
        raw = command[first.start : first.end]
        if first.value is None:
            return [(first.start, first.end, quoted(header + "\n\n") + raw)]
        return [(first.start, first.end, quoted(header + "\n\n" + first.value))] if first.value.strip() else []
    values = [word.value for word in message if word.value is not None]
    if len(values) < len(message):
        return []
    joined = quoted(header + "\n\n" + " ".join(values))
    return [(first.start, first.end, joined)] + [(word.start, word.end, "") for word in message[1:]]


def _holds(command: str, word: Word, header: str) -> bool:
    """Whether the header is in this word already."""
    return header in (word.value or "") or quoted(header)[1:-1] in command[word.start : word.end]


def _program_at(words: list[Word]) -> int | None:
    """Where `opencode run` stands in a command's words, behind assignments of variables."""
    for index, word in enumerate(words[:-1]):
        if word.assigns:
            continue
        name = (word.value or "").rpartition("/")[2]
        return index if name == "opencode" and words[index + 1].value == "run" else None
    return None


def _message(words: list[Word]) -> list[Word]:
    """The words that make up the text for OpenCode; none where that is not certain."""
    message: list[Word] = []
    index = 0
    while index < len(words):
        word = words[index]
        name, given, _ = (word.value or "").partition("=")
        index += 1
        if word.value == "--":
            return message + words[index:]
        if word.value is None or not word.value.startswith("-") or word.value == "-":
            message.append(word)
        elif name in FILE_OPTIONS:
            while index < len(words) and not (words[index].value or "").startswith("-"):
                index += 1
        elif name in VALUE_OPTIONS:
            index += 0 if given else 1
        elif word.value not in SWITCHES:
            return []
    return message
