"""The user's global opencode config: reading it, and writing the four permissions that unattended work needs.

opencode merges `config.json`, `opencode.json` and `opencode.jsonc`, in this order, and lets the last matching
permission rule decide. Only the `permission` value is ever replaced; every other byte of the file stays as it is.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from companion.datadir import ensure_private_dir
from companion.errors import CompanionError

# In the order in which opencode merges them: the last has the last word.
NAMES = ("config.json", "opencode.json", "opencode.jsonc")
NEW_NAME = "opencode.json"
SCHEMA = "https://opencode.ai/config.json"
HEADLESS = ("bash", "edit", "webfetch", "external_directory")
ALLOW, ASK, DENY = "allow", "ask", "deny"
BY_HAND = '"permission": {' + ", ".join(f'"{name}": "allow"' for name in HEADLESS) + "}"

_MAX_BYTES = 5_000_000
_SPACE = re.compile(r"[ \t\r\n]*")
_SKIPPED = re.compile(r'("(?:\\.|[^"\\])*")|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


class ConfigError(CompanionError):
    """A config file cannot be read, or not be written without harm to it."""


class _Odd(ValueError):
    """JSON that opencode reads but that cannot be changed without loss."""


@dataclass(frozen=True)
class Written:
    """What `allow_headless` did. `path` is None, and `backup` too, where nothing had to be changed."""

    path: str | None = None
    backup: str | None = None


def folder(env: Mapping[str, str]) -> str:
    """The folder of the user's global config."""
    home = env.get("HOME") or os.path.expanduser("~")
    return os.path.join(env.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "opencode")


def files(env: Mapping[str, str]) -> list[str]:
    """The global config files that exist, in merge order."""
    return [path for path in (os.path.join(folder(env), name) for name in NAMES) if os.path.lexists(path)]


def read(path: str) -> dict[str, Any]:
    """A config file as opencode reads it, so with comments and trailing commas. ConfigError says what is wrong."""
    text = _text_of(path)
    without = _TRAILING_COMMA.sub(lambda match: match[1] or "", _SKIPPED.sub(lambda match: match[1] or " ", text))
    try:
        value = json.loads(without or "{}")
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply to be a config; correct it.") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON ({error}); correct it.") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no object; correct it.")
    return value


def merged(env: Mapping[str, str]) -> dict[str, Any]:
    """The global config as opencode sees it. ConfigError names the file that cannot be read."""
    whole: dict[str, Any] = {}
    for path in files(env):
        whole = _merge(whole, read(path))
    return whole


def action(permission: Any, name: str, pattern: str) -> str | None:
    """What a `permission` value says about a request: the last matching rule's action, None if no rule matches."""
    found: str | None = None
    for key, value in _entries(permission):
        if not _matches(name, key):
            continue
        for glob, said in _patterns(value):
            if _matches(pattern, glob):
                found = said
    return found


def actions(permission: Any, name: str) -> set[str]:
    """Every action that some request for one permission may meet. Rules that later ones hide may be counted, too."""
    found: set[str] = set()
    for key, value in _entries(permission):
        if _matches(name, key):
            for glob, said in _patterns(value):
                if glob == "*":
                    found.clear()  # it hides what stands before
                found.add(str(said))
    return found


def headless(permission: Any) -> Any:
    """The same `permission` value, with what asks about the four answered by `allow`. A deny is never weakened."""
    if permission in (ALLOW, DENY):
        return permission
    changed: dict[str, Any] = {}
    if isinstance(permission, dict):
        changed = dict(permission)
    elif permission is not None:
        changed = {"*": permission}
    for name in HEADLESS:
        _allow(changed, name)
    return permission if changed == permission and list(changed) == list(permission) else changed


def allow_headless(env: Mapping[str, str]) -> Written:
    """Write the four permissions into the user's global config: atomically, with a backup, or not at all.

    ConfigError where the file could not be kept intact; its message says what to write by hand.
    """
    found = files(env)
    if not found:
        return _create(os.path.join(folder(env), NEW_NAME))
    try:
        holders = [path for path in found if "permission" in read(path)]
    except ConfigError as error:
        raise ConfigError(f"{error} Nothing was written; it needs {BY_HAND}.") from error
    if len(holders) > 1:
        raise ConfigError(f"Both {' and '.join(holders)} set permissions; put into the last one by hand: {BY_HAND}.")
    return _change((holders or found)[-1])


# The rules


def _matches(name: str, glob: str) -> bool:
    """opencode's globs know `*` and `?` only."""
    expression = re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name, re.DOTALL) is not None


def _allow(permission: dict[str, Any], name: str) -> None:
    """Let one permission no longer ask, where no deny of a wider key is in the way."""
    keys = list(permission)
    place = keys.index(name) if name in permission else len(keys)
    before = actions({key: permission[key] for key in keys[:place]}, name)
    after = actions({key: permission[key] for key in keys[place + 1 :]}, name)
    if DENY in after or (name not in permission and DENY in before):
        return
    own = permission.get(name, ALLOW)
    if ASK in after:
        permission.pop(name, None)  # else the wider key, which comes later, would still ask
        before = actions(permission, name)
    permission[name] = _allowing(own, floor=DENY not in before)


def _allowing(value: Any, floor: bool) -> Any:
    """The value of one permission without `ask`. With `floor`, what no pattern matches is allowed as well."""
    if not isinstance(value, dict):
        return ALLOW if value == ASK else value
    entries = list(value.items())
    if floor and "*" not in value:
        entries.insert(0, ("*", ALLOW))
    if all(said != ASK for _, said in entries):
        return dict(entries)
    first_deny = next((index for index, (_, said) in enumerate(entries) if said == DENY), len(entries))
    # What asked after a deny goes before it: as `allow` it would undo that deny.
    late = [(glob, ALLOW) for glob, said in entries[first_deny:] if said == ASK]
    early = [(glob, ALLOW if said == ASK else said) for glob, said in entries[:first_deny]]
    return dict([*early, *late, *(entry for entry in entries[first_deny:] if entry[1] != ASK)])


def _entries(permission: Any) -> list[tuple[str, Any]]:
    if isinstance(permission, dict):
        return list(permission.items())
    return [] if permission is None else [("*", permission)]


def _patterns(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else [("*", value)]


def _merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    whole = dict(base)
    for key, value in more.items():
        old = whole.get(key)
        whole[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return whole


# The file


def _create(path: str) -> Written:
    if not os.path.isdir(os.path.dirname(path)):  # an existing one keeps its mode: it is the user's
        ensure_private_dir(os.path.dirname(path))
    value = {"$schema": SCHEMA, "permission": dict.fromkeys(HEADLESS, ALLOW)}
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=2) + "\n")
    return Written(path)


def _change(path: str) -> Written:
    target = os.path.realpath(path)
    before = _regular(path, target)
    text = _text_of(path)
    try:
        members = _members(text)
        names = [name for name, _, _ in members]
        if names.count("permission") > 1:
            raise _Odd("`permission` appears twice in it")
        span = next(((start, end) for name, start, end in members if name == "permission"), None)
        permission = json.loads(text[slice(*span)], object_pairs_hook=_unique) if span else None
    except _Odd as error:
        raise _by_hand(path, str(error)) from None
    except (ValueError, RecursionError):
        raise _by_hand(path, "it holds comments or trailing commas, which would be lost") from None
    if permission not in (None, ALLOW, ASK, DENY) and not isinstance(permission, dict):
        raise _by_hand(path, "its `permission` is neither allow, ask or deny nor an object")
    new = headless(permission)
    if new is permission:
        return Written()
    changed = _replaced(text, members, span, new)
    _check(path, text, changed, new)
    backup = _keep_copy(path, before)
    _replace(path, target, before, changed)
    return Written(path, backup)


def _regular(path: str, target: str) -> bytes:
    """The bytes of the file, if it may be replaced."""
    try:
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise _by_hand(path, "it is no regular file")
        if not os.access(target, os.W_OK) or not os.access(os.path.dirname(target), os.W_OK):
            raise _by_hand(path, "it is not writable")
        with open(target, "rb") as file:
            return file.read()
    except OSError as error:
        raise _by_hand(path, (error.strerror or str(error)).lower()) from error


def _text_of(path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError(f"{path} is no regular file; put one in its place.")
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct its mode or owner.") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES // 1_000_000} MB, so no config; correct it.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}); correct it.") from None


def _members(text: str) -> list[tuple[str, int, int]]:
    """Name, and begin and end of the value, of each member of the object that the text is. ValueError if it isn't."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)

    def skip(index: int) -> int:
        match = _SPACE.match(text, index)
        assert match is not None
        return match.end()

    members: list[tuple[str, int, int]] = []
    index = skip(0)
    if text[index : index + 1] != "{":
        raise ValueError("it holds no object")
    index = skip(index + 1)
    while text[index : index + 1] != "}":
        if members:
            index = skip(_expect(text, index, ","))
        name, index = decoder.raw_decode(text, index)
        if not isinstance(name, str):
            raise ValueError("it is not valid JSON")
        start = skip(_expect(text, skip(index), ":"))
        _, end = decoder.raw_decode(text, start)
        members.append((name, start, end))
        index = skip(end)
    if skip(index + 1) != len(text):
        raise ValueError("something stands after its end")
    return members


def _expect(text: str, index: int, what: str) -> int:
    if text[index : index + 1] != what:
        raise ValueError(f"`{what}` expected at character {index}")
    return index + 1


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Odd("a key of its `permission` appears twice")
    return value


def _replaced(text: str, members: list[tuple[str, int, int]], span: tuple[int, int] | None, value: Any) -> str:
    """The text with another `permission`, in the file's own indent and line ends."""
    newline = "\r\n" if "\r\n" in text else "\n"
    found = re.search(r"\{[ \t]*\r?\n([ \t]+)\S", text)
    indent = found[1] if found else None
    shown = _dumped(value, indent)
    if indent is not None:
        shown = shown.replace("\n", newline + indent)
    if span is not None:
        return text[: span[0]] + shown + text[span[1] :]
    # Without members there is no indent to keep.
    lead = f"{newline}{indent}" if indent is not None else (" " if members else "")
    if members:
        end = members[-1][2]
        return f'{text[:end]},{lead}"permission": {shown}{text[end:]}'
    begin = text.index("{") + 1
    return f'{text[:begin]}"permission": {shown}{text[begin:]}'


def _dumped(value: Any, indent: str | None) -> str:
    shown = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        shown.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can hold
        shown = json.dumps(value, indent=indent)
    return shown


def _check(path: str, before: str, after: str, permission: Any) -> None:
    """Nothing but `permission` may differ; the file is the user's."""
    old, new = json.loads(before), json.loads(after)
    old["permission"] = permission
    if json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True):
        raise _by_hand(path, "it could not be changed without harm")


def _keep_copy(path: str, data: bytes) -> str:
    """A copy of the file beside it, never over an older one."""
    base = f"{path}.bak-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for number in range(100):
        backup = f"{base}-{number}" if number else base
        try:
            fd = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise _by_hand(path, f"no backup can be made ({(error.strerror or str(error)).lower()})") from error
        with open(fd, "wb") as file:
            file.write(data)
            _like(fd, path)
        return backup
    raise _by_hand(path, "there are too many backups of it")


def _replace(path: str, target: str, before: bytes, text: str) -> None:
    """Put the new text in the file's place in one step; a link stays a link."""
    data = text.encode()
    if before.startswith(b"\xef\xbb\xbf"):
        data = b"\xef\xbb\xbf" + data
    fd, temporary = tempfile.mkstemp(prefix=".opencode-", dir=os.path.dirname(target))
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            _like(fd, target)
            os.fsync(fd)
        with open(target, "rb") as now:
            if now.read() != before:
                raise ConfigError(f"{path} was changed by another program meanwhile; run this again.")
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _like(fd: int, path: str) -> None:
    """Give an open file the mode and owner of another, as far as the system lets us."""
    details = os.stat(path)
    if hasattr(os, "fchmod"):
        os.fchmod(fd, stat.S_IMODE(details.st_mode))
    if hasattr(os, "fchown"):
        try:
            os.fchown(fd, details.st_uid, details.st_gid)
        except OSError:
            pass


def _by_hand(path: str, why: str) -> ConfigError:
    return ConfigError(f"{path} was left as it is: {why}. Put into it by hand: {BY_HAND}.")
