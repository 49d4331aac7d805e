"""Reads a shell command line far enough to know its words with certainty, and gives up where it cannot."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Always literal, wherever they stand in a word.
_LITERAL = re.compile(r"[A-Za-z0-9_\-./:,=+@%^\u0080-\U0010ffff]+")
_NAME = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_REDIRECTION = re.compile(r"[0-9]*(?:>>|>|<)(?:&[0-9-]|[ \t]*(?=[^\s&<>|;()]))")
_OPERATORS = ("&&", "||", ";", "&", "\n", "|")
# After these a command follows, but not only that: whether and how often it runs is the shell's affair.
_RESERVED = (
    *("if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "select"),
    *("function", "time", "coproc", "{", "}", "!", "[[", "]]", "eval", "alias"),
)


class NotCertain(Exception):
    """The command line holds something that this reader does not know for sure."""


@dataclass(frozen=True)
class Word:
    """A word of a command: where it stands, and its value after the shell's quoting, None if only the shell knows it.

    `one_argument`: whatever its value, it arrives as exactly one argument.
    """

    start: int
    end: int
    value: str | None
    one_argument: bool
    assigns: bool


def quoted(value: str) -> str:
    """A shell word with this value."""
    return "'" + value.replace("'", "'\\''") + "'"


def commands(line: str) -> list[tuple[list[Word], bool]]:
    """The simple commands of a line: their words without redirections, and whether something is fed to their stdin.

    Raises NotCertain for anything else: substitutions, groups, loops, here documents, comments, open quotes.
    """
    found: list[tuple[list[Word], bool]] = []
    words: list[Word] = []
    at, fed, piped = 0, False, False
    while at < len(line):
        if line[at] in " \t":
            at += 1
        elif line.startswith("\\\n", at):
            at += 2
        elif line.startswith("|&", at) or line.startswith(";;", at):
            raise NotCertain(line[at])
        elif (operator := next((one for one in _OPERATORS if line.startswith(one, at)), None)) is not None:
            found.append((words, fed))
            piped = operator == "|" or (operator == "\n" and piped and not words)
            words, fed = [], piped
            at += len(operator)
        elif (redirection := _REDIRECTION.match(line, at)) is not None:
            at = redirection.end()
            fed = fed or "<" in redirection.group()
            if "&" not in redirection.group():
                at = _word(line, at).end
        else:
            word = _word(line, at)
            if not words and word.value in _RESERVED and word.end - word.start == len(word.value or ""):
                raise NotCertain(word.value)
            words.append(word)
            at = word.end
    found.append((words, fed))
    return found


def _word(line: str, start: int) -> Word:
    """The word that begins at `start`."""
    parts: list[str] = []
    at, known, one_argument = start, True, True
    while at < len(line):
        char = line[at]
        literal = _LITERAL.match(line, at)
        if literal is not None:
            parts.append(literal.group())
            at = literal.end()
        elif char == "'":
            end = line.find("'", at + 1)
            if end < 0:
                raise NotCertain("an open quote")
            parts.append(line[at + 1 : end])
            at = end + 1
        elif char == '"':
            value, at = _double_quoted(line, at + 1)
            known = known and value is not None
            parts.append(value or "")
        elif char == "\\":
            if at + 1 >= len(line):
                raise NotCertain("a backslash at the end")
            parts.append("" if line[at + 1] == "\n" else line[at + 1])
            at += 2
        elif char == "$" and (name := _NAME.match(line, at)) is not None:
            known = one_argument = False
            at = name.end()
        elif char in "*?[]~":
            known = one_argument = False
            at += 1
        elif char in " \t\n;&|<>":
            break
        else:
            raise NotCertain(char)
    if at == start:
        raise NotCertain("no word")
    raw = line[start:at]
    value = "".join(parts) if known else None
    return Word(start, at, value, one_argument, bool(_ASSIGNMENT.match(raw)))


def _double_quoted(line: str, at: int) -> tuple[str | None, int]:
    """The value of what stands between double quotes, None if a variable is in it, and where it ends."""
    parts: list[str] = []
    known = True
    while at < len(line):
        char = line[at]
        if char == '"':
            return ("".join(parts) if known else None), at + 1
        if char == "\\":
            following = line[at + 1 : at + 2]
            if following == "":
                break
            parts.append({"\n": ""}.get(following, following if following in '$`"\\' else char + following))
            at += 2
        elif char == "`":
            raise NotCertain("a substitution")
        elif char == "$" and line[at + 1 : at + 2] not in ("", '"', " ", "\t", "\n"):
            name = _NAME.match(line, at)
            if name is None:
                raise NotCertain("a substitution")
            known = False
            at = name.end()
        else:
            parts.append(char)
            at += 1
    raise NotCertain("an open quote")
