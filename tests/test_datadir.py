"""The rules for the data dir, its privacy, and where the entry file lets byte code go."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from companion.datadir import FOLDER_NAME, bytecode_dir, data_dir, ensure_private_dir
from companion.errors import CompanionError

ROOT = Path(__file__).resolve().parent.parent
HOME = os.path.abspath(os.sep + "home-of-somebody")
CHECKOUT = os.path.join(HOME, "src", "plugin")
PLUGINS = os.path.join(HOME, ".claude", "plugins")
USER_DATA = {
    "linux": os.path.join(HOME, ".local", "share"),
    "darwin": os.path.join(HOME, "Library", "Application Support"),
    "win32": os.path.join(HOME, "AppData", "Local"),
}[sys.platform]
DEFAULT = os.path.join(USER_DATA, FOLDER_NAME)

STUB_CLI = """
import sys
def main(argv):
    print(ascii([sys.version_info[:2] >= (3, 10), sys.argv[0], argv]))
    return 7
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")


def resolve(plugin_root: str = CHECKOUT, **env: str) -> str:
    return data_dir({"HOME": HOME, "LOCALAPPDATA": USER_DATA, **env}, plugin_root)


def test_the_named_folder_comes_first() -> None:
    installed = os.path.join(PLUGINS, "cache", "market", "opencode", "0.1.0")
    assert resolve(installed, OPENCODE_COMPANION_DATA=HOME + "/mine", CLAUDE_PLUGIN_DATA="/x/opencode") == (
        os.path.abspath(HOME + "/mine")
    )


def test_a_relative_name_becomes_absolute_and_an_empty_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(OPENCODE_COMPANION_DATA="data") == str(tmp_path / "data")
    assert resolve(OPENCODE_COMPANION_DATA="") == DEFAULT


@pytest.mark.parametrize("ending", ["", os.sep])
def test_an_installed_plugin_knows_its_own_folder(ending: str) -> None:
    installed = os.path.join(PLUGINS, "cache", "market", "opencode", "0.1.0") + ending
    assert resolve(installed) == os.path.join(PLUGINS, "data", "opencode-market")
    # Whatever another plugin has exported.
    assert resolve(installed, CLAUDE_PLUGIN_DATA="/x/opencode-inline") == (
        os.path.join(PLUGINS, "data", "opencode-market")
    )


@pytest.mark.parametrize(
    "parts",
    [
        ("plugins", "cache", "market", "another", "0.1.0"),
        ("plugins", "market", "opencode", "0.1.0"),
        ("cache", "market", "opencode", "0.1.0"),
        ("plugins", "cache", "opencode", "0.1.0"),
    ],
)
def test_other_places_are_no_plugin_cache(parts: tuple[str, ...]) -> None:
    assert resolve(os.path.join(HOME, *parts)) == DEFAULT


@posix
def test_a_link_into_the_plugin_cache_counts_as_the_cache(tmp_path: Path) -> None:
    installed = tmp_path / "plugins" / "cache" / "market" / "opencode" / "0.1.0"
    installed.mkdir(parents=True)
    (tmp_path / "link").symlink_to(installed)
    assert resolve(str(tmp_path / "link")) == os.path.join(
        os.path.realpath(tmp_path), "plugins", "data", "opencode-market"
    )


@pytest.mark.parametrize("name", ["opencode", "opencode-inline", "opencode-market", "opencode-a-b_c"])
def test_an_exported_folder_of_ours_is_used(name: str) -> None:
    assert resolve(CLAUDE_PLUGIN_DATA=os.path.join(HOME, name)) == os.path.join(HOME, name)
    assert resolve(CLAUDE_PLUGIN_DATA=os.path.join(HOME, name, "")) == os.path.join(HOME, name)


@pytest.mark.parametrize(
    "name",
    ["codex-openai", "my-opencode", "opencoder-market", "opencode_x", "opencode-extra-inline", "Opencode"],
)
def test_an_exported_folder_of_another_plugin_is_not(name: str) -> None:
    assert resolve(CLAUDE_PLUGIN_DATA=os.path.join(HOME, name)) == DEFAULT


@pytest.mark.parametrize(
    ("installed", "ours"),
    [
        ("opencode-extra@market", False),
        ("opencode@extra-market", True),
        ("opencode@extra.market", True),
        ("another@somewhere", True),
    ],
)
def test_the_list_of_installed_plugins_tells_whose_folder_it_is(tmp_path: Path, installed: str, ours: bool) -> None:
    (tmp_path / "installed_plugins.json").write_text(json.dumps({"version": 2, "plugins": {installed: []}}))
    folder = str(tmp_path / "data" / "opencode-extra-market")
    assert resolve(CLAUDE_PLUGIN_DATA=folder) == (folder if ours else DEFAULT)


@pytest.mark.parametrize("content", ["", "[]", '{"plugins": null}', "\x00"])
def test_a_broken_list_of_installed_plugins_does_no_harm(tmp_path: Path, content: str) -> None:
    (tmp_path / "installed_plugins.json").write_text(content)
    folder = str(tmp_path / "data" / "opencode-market")
    assert resolve(CLAUDE_PLUGIN_DATA=folder) == folder


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is Linux's rule")
def test_the_users_data_dir_is_last() -> None:
    assert resolve() == DEFAULT
    assert resolve(XDG_DATA_HOME="/elsewhere") == "/elsewhere/opencode-companion"
    assert resolve(XDG_DATA_HOME="not/absolute") == DEFAULT


@posix
def test_made_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    old = os.umask(0)
    try:
        ensure_private_dir(str(folder))
    finally:
        os.umask(old)
    assert mode_of(folder) == mode_of(folder.parent) == 0o700


@posix
def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    ensure_private_dir(str(folder))
    assert mode_of(folder) == 0o700


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CompanionError, match="a file is in the way") as refused:
            ensure_private_dir(str(path))
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)


@posix
@pytest.mark.skipif(os.path.exists("/proc") is False, reason="needs a folder that even root cannot write to")
def test_a_place_where_nothing_can_be_made_is_named() -> None:
    with pytest.raises(CompanionError, match="OPENCODE_COMPANION_DATA"):
        ensure_private_dir("/proc/opencode-companion")


@posix
def test_byte_code_goes_only_where_nobody_else_can_write(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert bytecode_dir(str(data)) is None
    assert not data.exists()
    data.mkdir(mode=0o700)
    assert bytecode_dir(str(data)) == str(data / "pycache")
    assert mode_of(data / "pycache") == 0o700
    assert bytecode_dir(str(data)) == str(data / "pycache")
    data.chmod(0o777)
    assert bytecode_dir(str(data)) is None


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The real entry files with a command line that says how it was called."""
    plugin = tmp_path / "plug in"
    shutil.copytree(ROOT / "bin", plugin / "bin")
    (plugin / "scripts" / "companion").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "opencode_companion.py", plugin / "scripts")
    for name in ("__init__.py", "datadir.py", "errors.py"):
        shutil.copy(ROOT / "scripts" / "companion" / name, plugin / "scripts" / "companion")
    (plugin / "scripts" / "companion" / "cli.py").write_text(STUB_CLI)
    return plugin


def start(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command], env={**inherited, **env}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("entry", ["scripts/opencode_companion.py", "bin/opencode-companion"])
def test_no_byte_code_in_the_plugin_folder(plugin: Path, data_dir: Path, entry: str) -> None:
    for _ in range(2):
        done = start(sys.executable, plugin / entry, "status", "-x", "a b")
        assert (done.returncode, done.stderr) == (7, "")
        assert done.stdout.strip() == ascii([True, str(plugin / entry), ["status", "-x", "a b"]])
        assert not list(plugin.rglob("__pycache__"))
        ensure_private_dir(str(data_dir))
    assert list((data_dir / "pycache").rglob("cli.*.pyc"))


def test_byte_code_goes_to_the_data_dir_also_where_none_is_wanted_beside_sources(plugin: Path, data_dir: Path) -> None:
    ensure_private_dir(str(data_dir))
    start(sys.executable, plugin / "bin" / "opencode-companion", PYTHONDONTWRITEBYTECODE="1")
    assert list((data_dir / "pycache").rglob("cli.*.pyc"))
    assert not list(plugin.rglob("__pycache__"))


def test_the_users_own_byte_code_folder_is_kept(plugin: Path, data_dir: Path, tmp_path: Path) -> None:
    ensure_private_dir(str(data_dir))
    own = tmp_path / "own cache"
    start(
        sys.executable, plugin / "bin" / "opencode-companion", PYTHONPYCACHEPREFIX=str(own), PYTHONDONTWRITEBYTECODE=""
    )
    assert not list(data_dir.iterdir())
    assert list(own.rglob("cli.*.pyc"))


@posix
def test_the_command_on_path_works_through_a_link(plugin: Path, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "opencode-companion").symlink_to(plugin / "bin" / "opencode-companion")
    path = os.pathsep.join([str(tmp_path / "links"), os.path.dirname(sys.executable), os.environ["PATH"]])
    done = start("/usr/bin/env", "opencode-companion", "result", PATH=path)
    assert done.returncode == 7, done.stderr
    assert "opencode-companion" in done.stdout


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
