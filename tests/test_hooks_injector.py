"""The safety header goes before what OpenCode is given directly: the very text, one argument. Else nothing changes."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hook_runs import RESCUE, fixture, run_hook
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from companion.hooks.safety_header_injector import with_header, with_header_in_command
from companion.safety import safety_header

HEADER = safety_header()
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60).filter(
    lambda text: bool(text.strip()) and not text.startswith("-")
)
STUB = """#!/bin/bash
printf '%s\\0' "$#" "$@" >> "$SEEN"
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `opencode` that writes its arguments down: for the shell's quoting only."""
    folder = tmp_path_factory.mktemp("stub bin")
    (folder / "opencode").write_text(STUB)
    (folder / "opencode").chmod(0o755)
    return folder


def arguments(command: str, stub: Path) -> list[list[str]]:
    """What each `opencode` in a command is started with, by a real bash."""
    seen = stub / "seen"
    seen.unlink(missing_ok=True)
    elsewhere = stub / "workspace"  # where a random line's `> opencode` does the stub no harm
    elsewhere.mkdir(exist_ok=True)
    env = {**os.environ, "PATH": f"{stub}{os.pathsep}{os.environ['PATH']}", "SEEN": str(seen), "VALUE": "a  b"}
    subprocess.run(
        ["bash", "-c", command], env=env, cwd=elsewhere, capture_output=True, timeout=30, stdin=subprocess.DEVNULL
    )
    words = seen.read_bytes().decode().split("\0") if seen.exists() else []
    found = []
    while words and words[0]:
        count = int(words[0])
        found.append(words[1 : count + 1])
        words = words[count + 1 :]
    return found


def double_quoted(text: str) -> str:
    return '"' + "".join("\\" + char if char in '"\\$`' else char for char in text) + '"'


def escaped(text: str) -> str:
    return "".join(
        "''" if char == "\n" else char if char.isalnum() and char.isascii() else "\\" + char for char in text
    )


# Pieces of shell lines: words, quotes, operators, and the blank that parts them.

PIECES = "opencode run ' \" \\ $ ` ( ) | & ; <<X # { } if then fi $VALUE ${VALUE} $' * ~ > < ! -m -- = é".split()  # noqa: SIM905
PIECES += [" ", " ", " ", "\n", "a b", "opencode run 'x'"]
BEFORE = ["", "cd . && ", "true; ", "X=1 ", "X='a b' Y= ", "mkdir -p d || true\n", "false || ", "sleep 0 & "]
OPTIONS = ["", "--model a/b ", "-m a/b ", "--agent=build ", "-c ", "--title 'a b' ", "--format json --share ", "-- "]
AFTER = ["", " && true", " > out", " 2>&1 | cat", "; echo $VALUE", " &", " 2> /dev/null || true", "\n"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=TEXTS,
    quote=st.sampled_from([shlex.quote, double_quoted, escaped]),
    before=st.sampled_from(BEFORE),
    options=st.sampled_from(OPTIONS),
    after=st.sampled_from(AFTER),
)
def test_text_arrives_below_the_header(
    stub: Path, text: str, quote: Any, before: str, options: str, after: str
) -> None:
    assume("\n" not in text or quote is not escaped)
    command = f"{before}opencode run {options}{quote(text)}{after}"
    (plain,) = arguments(command, stub)
    assert plain[-1] == text
    changed = with_header_in_command(command, HEADER)
    assert arguments(changed, stub) == [[*plain[:-1], f"{HEADER}\n\n{text}"]]
    assert with_header_in_command(changed, HEADER) == changed


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXTS, min_size=2, max_size=4))
def test_several_words_are_one_text(stub: Path, texts: list[str]) -> None:
    changed = with_header_in_command("opencode run " + " ".join(map(shlex.quote, texts)), HEADER)
    assert arguments(changed, stub) == [["run", f"{HEADER}\n\n{' '.join(texts)}"]]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(st.sampled_from(PIECES), max_size=12),
)
def test_any_shell_line_keeps_what_it_does(stub: Path, parts: list[str]) -> None:
    """Whatever is rewritten starts the same programs with the same arguments, but for the header."""
    command = "".join(parts)
    changed = with_header_in_command(command, HEADER)
    if changed == command:
        return
    # What runs in the background may end after the shell, and two of them in either order: nothing to compare.
    assume("&" not in command.replace("&&", ""))
    plain, told = arguments(command, stub), arguments(changed, stub)
    assert len(plain) == len(told)
    for before, after in zip(plain, told, strict=True):
        without = " ".join(after).replace(f"{HEADER}\n\n", "", 1)
        assert sorted(without.split()) == sorted(" ".join(before).split())


def test_a_variable_between_double_quotes_is_kept(stub: Path) -> None:
    changed = with_header_in_command('opencode run "fix $VALUE now"', HEADER)
    assert arguments(changed, stub) == [["run", f"{HEADER}\n\nfix a  b now"]]


def test_every_run_of_a_line_gets_it(stub: Path) -> None:
    changed = with_header_in_command("opencode run one && opencode run 'two three' -f a b", HEADER)
    assert arguments(changed, stub) == [["run", f"{HEADER}\n\none"], ["run", f"{HEADER}\n\ntwo three", "-f", "a", "b"]]


@pytest.mark.parametrize(
    "command",
    [
        "opencode run <<'X'\nfix it\nX",
        'opencode run "$(cat prompt)"',
        "opencode run `cat prompt`",
        "cat prompt | opencode run fix",
        "opencode run fix < prompt",
        "opencode run $VALUE",
        "opencode run *.md",
        "opencode run 'unclosed",
        "opencode run --unknown fix",
        "opencode run -f a fix",
        "opencode run --command review fix",
        "opencode run",
        "opencode run ''",
        "opencode run -c",
        "opencode serve run",
        "opencode --help",
        "if true; then opencode run x; fi",
        "(opencode run x)",
        "echo opencode run 'x' # opencode run",
        "echo 'opencode run x'",
        "git commit -m \"opencode run 'x'\"",
        "opencode-companion task -- opencode run 'x'",
        "opencode-companion task --background - <<'EOT'\nopencode run 'x'\nEOT",
        "python3 /p/scripts/opencode_companion.py task 'opencode run x'",
        "alias o=opencode; opencode run x",
    ],
)
def test_what_is_not_certain_or_not_ours_stays(command: str) -> None:
    assert with_header_in_command(command, HEADER) == command


def test_bash_call_keeps_its_other_fields(tmp_path: Path) -> None:
    payload = fixture("PreToolUse.Bash.bash-ok")
    payload["tool_input"] = {"command": "opencode run 'mend it'", "timeout": 5, "new": [1]}
    ran = run_hook("safety_header_injector", payload, tmp_path)
    updated = ran.specific["updatedInput"]
    assert shlex.split(updated["command"]) == ["opencode", "run", f"{HEADER}\n\nmend it"]
    assert (updated["timeout"], updated["new"]) == (5, [1])
    assert "permissionDecision" not in ran.specific


@pytest.mark.parametrize("agent", [RESCUE, "opencode-rescue"])
def test_rescue_agent_gets_it_once(agent: str, tmp_path: Path) -> None:
    payload = fixture("PreToolUse.Agent.agent-sync")
    payload["tool_input"].update(subagent_type=agent, run_in_background=True)
    updated = run_hook("safety_header_injector", payload, tmp_path).specific["updatedInput"]
    assert updated == {**payload["tool_input"], "prompt": f"{HEADER}\n\nDo the task."}
    again = {**payload, "tool_input": updated}
    assert run_hook("safety_header_injector", again, tmp_path).output is None


def test_other_agents_stay(tmp_path: Path) -> None:
    payload = fixture("PreToolUse.Agent.agent-sync")
    payload["tool_input"]["prompt"] = "Ask opencode."
    assert run_hook("safety_header_injector", payload, tmp_path).output is None


@given(st.text())
def test_header_is_put_once(text: str) -> None:
    once = with_header(text, HEADER)
    assert with_header(once, HEADER) == once
    assert once.endswith(text)
