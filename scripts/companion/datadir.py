"""Where the program keeps its data, and how that folder is kept private.

Importable on Python 3.9 with the standard library alone: the hooks follow the same rules.
"""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import CompanionError

PLUGIN_NAME = "opencode"
FOLDER_NAME = "opencode-companion"


def data_dir(env: Mapping[str, str], plugin_root: str) -> str:
    """The absolute path of the data dir: the first rule that applies. Nothing is created.

    `env` is the environment, `plugin_root` the folder that holds `scripts/` and `hooks/`.
    """
    chosen = env.get("OPENCODE_COMPANION_DATA")
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    installed = _beside_plugin_cache(os.path.abspath(plugin_root)) or _beside_plugin_cache(
        os.path.realpath(plugin_root)
    )
    if installed:
        return installed
    exported = env.get("CLAUDE_PLUGIN_DATA")
    if exported and os.path.isabs(exported) and _is_ours(os.path.normpath(exported)):
        return os.path.normpath(exported)
    return os.path.join(_user_data_dir(env), FOLDER_NAME)


def _beside_plugin_cache(plugin_root: str) -> str | None:
    """`…/plugins/data/opencode-MARKET` for a plugin at `…/plugins/cache/MARKET/opencode/VERSION`."""
    rest, plugin = os.path.split(os.path.dirname(plugin_root))
    rest, marketplace = os.path.split(rest)
    plugins, cache = os.path.split(rest)
    if cache != "cache" or os.path.basename(plugins) != "plugins" or plugin != PLUGIN_NAME or not marketplace:
        return None
    return os.path.join(plugins, "data", plugin + "-" + marketplace)


def _is_ours(folder: str) -> bool:
    """Whether Claude Code made this data folder for us. Another plugin may have exported its own.

    The name is PLUGIN-MARKETPLACE (`inline` for --plugin-dir). So `opencode-extra-market` may be `opencode`
    of `extra-market` or `opencode-extra` of `market`: the list of installed plugins tells.
    """
    name = os.path.basename(folder)
    if name in (PLUGIN_NAME, PLUGIN_NAME + "-inline"):
        return True
    if not name.startswith(PLUGIN_NAME + "-") or name.endswith("-inline"):
        return False
    owners = [key.rpartition("@")[0] for key in _installed_plugins(folder) if _folder_of(key) == name]
    return not owners or PLUGIN_NAME in owners


def _installed_plugins(folder: str) -> list[str]:
    """The `plugin@marketplace` keys of Claude Code's list, two folders up; empty if there is none."""
    import json

    try:
        path = os.path.join(os.path.dirname(os.path.dirname(folder)), "installed_plugins.json")
        with open(path, encoding="utf-8") as file:
            return [str(key) for key in json.load(file)["plugins"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _folder_of(key: str) -> str:
    """The folder name that Claude Code makes of `plugin@marketplace`."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in key)


def _user_data_dir(env: Mapping[str, str]) -> str:
    home = env.get("HOME") or os.path.expanduser("~")
    if sys.platform == "win32":
        return env.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support")
    xdg = env.get("XDG_DATA_HOME", "")
    return xdg if os.path.isabs(xdg) else os.path.join(home, ".local", "share")


def bytecode_dir(data: str) -> str | None:
    """The folder for compiled modules, or None as long as there is no data dir that only we can write to."""
    folder = os.path.join(data, "pycache")
    try:
        if not _only_ours(os.stat(data)):
            return None
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return folder if os.access(folder, os.W_OK) else None
    except OSError:
        return None
    return folder


def ensure_private_dir(path: str) -> None:
    """Makes the folder and its missing parents with mode 0700; an existing one is tightened to that.

    CompanionError where that is impossible: a file in the way, a read-only disk, somebody else's folder.
    """
    try:
        _make_private(path)
        details = os.stat(path)
        if not stat.S_ISDIR(details.st_mode):
            raise NotADirectoryError(path)
        if not _only_ours(details):
            os.chmod(path, 0o700)
    except OSError as error:
        raise _refusal(path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise _refusal(path, PermissionError())


def _make_private(path: str) -> None:
    if os.path.lexists(path):
        return
    parent = os.path.dirname(path)
    if parent and parent != path:
        _make_private(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # made by another start at the same moment; the caller looks at what it is


def _only_ours(details: os.stat_result) -> bool:
    if sys.platform == "win32":
        return True  # the user's profile is private by its access list; the mode bits mean nothing
    return details.st_uid == os.geteuid() and not details.st_mode & 0o077


def _refusal(path: str, error: OSError) -> CompanionError:
    # Imported here: the entry file reads this module from source at every start.
    from .errors import CompanionError

    if isinstance(error, (FileExistsError, NotADirectoryError)):
        why = "a file is in the way; remove it"
    elif isinstance(error, PermissionError):
        why = "it is not yours to write to; correct its owner and mode"
    else:
        why = (error.strerror or str(error)).lower() + "; correct that"
    return CompanionError(
        f"The data folder {path} cannot be used: {why}, or set OPENCODE_COMPANION_DATA to a folder of your own."
    )
