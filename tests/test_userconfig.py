"""The user's opencode config is read as opencode reads it, and written so that nothing of the user's is lost."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from companion.opencode import userconfig
from companion.opencode.userconfig import ALLOW, ASK, DENY, HEADLESS, ConfigError, action, allow_headless, headless

ACTIONS = st.sampled_from([ALLOW, ASK, DENY])
PATTERNS = st.sampled_from(["*", "git *", "git push*", "rm *", "/etc/*", "ls"])
REQUESTS = ["git push origin", "git status", "rm -rf x", "/etc/passwd", "ls", "anything else"]
KEYS = st.sampled_from([*HEADLESS, "*", "read", "web*", "doom_loop"])
PERMISSIONS = st.one_of(
    st.none(), ACTIONS, st.dictionaries(KEYS, st.one_of(ACTIONS, st.dictionaries(PATTERNS, ACTIONS, max_size=4)))
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def write(env: dict[str, str], text: str | bytes, name: str = "opencode.json") -> Path:
    path = Path(userconfig.folder(env)) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.bak-*"))


@given(PERMISSIONS)
@example({"rm *": DENY})
@example({"bash": {"rm *": DENY, "*": ASK}})
@example({"bash": {"rm *": DENY}, "*": ASK})
def test_every_deny_stays_in_force(permission: Any) -> None:
    changed = headless(permission)
    for name in [*HEADLESS, "read", "doom_loop"]:
        for request in REQUESTS:
            before, after = action(permission, name, request), action(changed, name, request)
            if before == DENY:
                assert after == DENY, (name, request, changed)
            if name not in HEADLESS:
                assert after == before


@given(PERMISSIONS)
@example({"*": DENY, "webfetch": {}, "web*": ASK})
def test_doing_it_twice_changes_nothing_more(permission: Any) -> None:
    once = headless(permission)
    assert headless(once) is once


@given(st.one_of(st.none(), ACTIONS, st.dictionaries(KEYS, ACTIONS)))
def test_nothing_of_the_four_asks_any_more(permission: Any) -> None:
    changed = headless(permission)
    for name in HEADLESS:
        assert action(changed, name, "anything else") in (ALLOW, DENY)
        if action(permission, name, "anything else") in (None, ALLOW):
            assert action(changed, name, "anything else") == ALLOW


CASES: dict[str, tuple[Any, Any]] = {
    "nothing": (None, dict.fromkeys(HEADLESS, ALLOW)),
    "all asked": (ASK, {"*": ASK, **dict.fromkeys(HEADLESS, ALLOW)}),
    "all denied": (DENY, DENY),
    "all allowed": (ALLOW, ALLOW),
    "denied in part": (
        {"bash": {"*": ASK, "git push*": DENY, "ls": ALLOW}},
        {
            "bash": {"*": ALLOW, "git push*": DENY, "ls": ALLOW},
            **dict.fromkeys(["edit", "webfetch", "external_directory"], ALLOW),
        },
    ),
    "denied by a wider key": ({"*": DENY, "bash": ASK}, {"*": DENY, "bash": ALLOW}),
    "asked by a later wider key": (
        {"bash": {"rm *": DENY}, "*": ASK},
        {
            "*": ASK,
            "bash": {"*": ALLOW, "rm *": DENY},
            **dict.fromkeys(["edit", "webfetch", "external_directory"], ALLOW),
        },
    ),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_what_becomes_of_a_permission(before: Any, after: Any) -> None:
    assert json.dumps(headless(before)) == json.dumps(after)


@given(
    members=st.dictionaries(st.text(), JSON, max_size=5),
    permission=PERMISSIONS,
    place=st.integers(0, 5),
    indent=st.sampled_from([None, 2, 4, "\t"]),
)
def test_any_config_keeps_all_the_rest(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, Any], permission: Any, place: int, indent: Any
) -> None:
    env = {"HOME": str(tmp_path_factory.mktemp("home"))}
    members.pop("permission", None)
    entries = list(members.items())
    if permission is not None:
        entries.insert(place, ("permission", permission))
    before = dict(entries)
    text = json.dumps(before, indent=indent)
    path = write(env, text)
    written = allow_headless(env)
    after = json.loads(path.read_text())
    assert list(after) == [*before, *([] if "permission" in before else ["permission"])]
    assert {**after, "permission": None} == {**before, "permission": None}
    assert after["permission"] == headless(permission)
    if written.path is None:
        assert (path.read_text(), backups(path)) == (text, [])
    else:
        assert [backup.read_text() for backup in backups(path)] == [text]
    assert allow_headless(env) == userconfig.Written()


def test_only_the_permission_changes_byte_for_byte(env: dict[str, str]) -> None:
    text = (
        '\ufeff{\r\n\t"theme" : "\\u00e9",\r\n\t"permission":   {"bash":"ask"},\r\n'
        '\t"n": [1e2,  1.50],\r\n\t"last": {}  \r\n}\r\n\r\n'
    )
    path = write(env, text)
    path.chmod(0o640)
    allow_headless(env)
    changed = path.read_bytes().decode()
    head, tail = text.split('{"bash":"ask"}')
    assert changed.startswith(head) and changed.endswith(tail)
    assert changed[len(head) : -len(tail)].splitlines()[:2] == ["{", '\t\t"bash": "allow",']
    assert "\n" not in changed.replace("\r\n", "")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(backups(path)[0].stat().st_mode) == 0o640


def test_a_missing_file_is_made_private(env: dict[str, str], tmp_path: Path) -> None:
    env["XDG_CONFIG_HOME"] = str(tmp_path / "elsewhere")
    written = allow_headless(env)
    path = tmp_path / "elsewhere" / "opencode" / "opencode.json"
    assert (written.path, written.backup) == (str(path), None)
    assert json.loads(path.read_text())["permission"] == dict.fromkeys(HEADLESS, ALLOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_exists_keeps_its_mode(env: dict[str, str]) -> None:
    folder = Path(userconfig.folder(env))
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    allow_headless(env)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


REFUSED: dict[str, str | bytes] = {
    "line comment": '{\n  // mine\n  "model": "a/b"\n}',
    "block comment": '{"model": "a/b" /* mine */}',
    "trailing comma": '{"model": "a/b",}',
    "no JSON": '{"model": ',
    "no object": "[1]",
    "no value of JSON": '{"model": NaN}',
    "something after the end": "{} {}",
    "permission twice": '{"permission": "ask", "permission": "deny"}',
    "rule twice": '{"permission": {"bash": "ask", "bash": "deny"}}',
    "permission of another kind": '{"permission": ["ask"]}',
    "no UTF-8": b'{"a": "\xe9"}',
    "nested without end": '{"a": ' + "[" * 100_000,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_kept_intact_is_left_alone(env: dict[str, str], text: str | bytes) -> None:
    path = write(env, text)
    before = path.read_bytes()
    with pytest.raises(ConfigError) as refusal:
        allow_headless(env)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    assert '"external_directory": "allow"' in str(refusal.value)


def test_no_regular_file_is_left_alone(env: dict[str, str]) -> None:
    folder = Path(userconfig.folder(env))
    folder.mkdir(parents=True)
    os.mkfifo(folder / "opencode.json")
    with pytest.raises(ConfigError, match="no regular file"):
        allow_headless(env)


def test_two_files_that_set_permissions_are_left_alone(env: dict[str, str]) -> None:
    write(env, '{"permission": {"bash": "deny"}}')
    write(env, '{"permission": {"edit": "ask"}}', "opencode.jsonc")
    with pytest.raises(ConfigError, match="by hand"):
        allow_headless(env)


def test_the_file_that_sets_permissions_is_the_one_that_changes(env: dict[str, str]) -> None:
    path = write(env, '{"permission": {"bash": {"rm *": "deny"}}}')
    write(env, '{"model": "a/b"}', "opencode.jsonc")
    assert allow_headless(env).path == str(path)
    assert action(userconfig.merged(env)["permission"], "bash", "rm -rf x") == DENY


def test_a_link_stays_a_link(env: dict[str, str], tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    path = Path(userconfig.folder(env)) / "opencode.json"
    path.parent.mkdir(parents=True)
    path.symlink_to(real)
    allow_headless(env)
    assert path.is_symlink()
    assert json.loads(real.read_text())["permission"]["bash"] == ALLOW


def test_an_older_backup_is_never_written_over(env: dict[str, str]) -> None:
    path = write(env, '{"permission": "ask"}')
    allow_headless(env)
    path.write_text('{"permission": {"edit": "ask"}}')
    allow_headless(env)
    assert [backup.read_text() for backup in backups(path)] == [
        '{"permission": "ask"}',
        '{"permission": {"edit": "ask"}}',
    ]


def test_comments_and_trailing_commas_are_read(env: dict[str, str]) -> None:
    write(env, '{ // "no": 1\n "url": "http://x", /* , */ "list": [1, ], "s": "a,]//b",\n}', "opencode.jsonc")
    write(env, '{"url": "other", "deep": {"a": 1}}')
    assert userconfig.merged(env) == {"url": "http://x", "list": [1], "s": "a,]//b", "deep": {"a": 1}}
