"""The change that a review looks at: whole, true, and taken without leaving a trace in the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from companion.errors import CompanionError
from companion.review import change as change_module
from companion.review import git as git_module
from companion.review.change import STALE_S, Change, compare, lines_at_base, remove_stale, take, write_patches
from companion.review.git import ChangedFile, Git

pytestmark = pytest.mark.slow

USER_CONFIG = """
[user]
    name = Ada
    email = ada@example.org
[init]
    defaultBranch = main
[gc]
    auto = 0
[maintenance]
    auto = false
[protocol "file"]
    allow = always
[advice]
    detachedHead = false
"""
# None of this may have any effect; the placeholder is a program that leaves a mark.
HOSTILE_CONFIG = """
[core]
    fsmonitor = {program}
    hooksPath = {hooks}
    pager = {program}
    editor = {program}
    sshCommand = {program}
    splitIndex = true
    safecrlf = true
    quotePath = true
[diff]
    external = {program}
    noprefix = true
    mnemonicPrefix = true
    renames = false
    submodule = log
    context = 0
    relative = true
    orderFile = /nowhere
    suppressBlankEmpty = true
    colorMoved = zebra
    wsErrorHighlight = all
    ignoreSubmodules = all
[diff "hostile"]
    command = {program}
    textconv = {program}
    binary = false
[color]
    ui = always
    diff = always
[filter "hostile"]
    clean = {program}
    smudge = {program}
    process = {program}
    required = true
[hook "hostile"]
    event = post-index-change
    command = {program}
[status]
    showUntrackedFiles = no
[pager]
    diff-tree = {program}
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
as_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
not_as_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")


class Repository:
    """A repository to be changed at will."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def git(self, *words: str, stdin: bytes = b"", env: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """What git prints. Its failure is the test's."""
        done = subprocess.run(
            ["git", *words], cwd=self.root, env={**os.environ, **env}, input=stdin, capture_output=True
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def id_of(self, name: str) -> str:
        return self.git("rev-parse", name).decode().strip()

    def write(self, name: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def stage(self, *names: str) -> None:
        self.git("add", "-A", "--", *(names or (".",)))

    def commit(self, message: str = "a commit") -> None:
        """Commit everything that is there."""
        self.stage()
        self.git("commit", "-q", "--allow-empty", "-m", message)


def initialised(root: Path, *options: str) -> Repository:
    root.mkdir(parents=True, exist_ok=True)
    repository = Repository(root)
    repository.git("init", "-q", "--template=", *options)
    return repository


@pytest.fixture(autouse=True, scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user with a configuration of their own; their home."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(USER_CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("GIT_"):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield home


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository without a commit."""
    return initialised(tmp_path / "workspace")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What the program of `hostile` leaves behind."""
    return tmp_path / "it-ran"


def hostile(repository: Repository, mark: Path) -> str:
    """Let the repository's configuration name programs wherever git takes one; the program, as git runs it."""
    hooks = mark.parent / "hooks"
    hooks.mkdir()
    hook = hooks / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    hook.chmod(0o755)
    program = f"\"sh -c 'touch {mark}; cat' -\""
    with open(repository / ".git/config", "a") as file:
        file.write(HOSTILE_CONFIG.format(program=program, hooks=hooks))
    info = repository / ".git/info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text("* diff=hostile filter=hostile\n")
    return program


def take_from(repository: Repository, data_dir: Path, base: str | None = None) -> Change:
    """`take`; the repository stays byte for byte as it is, and nothing stays in the data dir."""
    before = digest(repository.root)
    try:
        return take(str(repository.root), str(data_dir), base)
    finally:
        assert digest(repository.root) == before
        assert not list((data_dir / "reviews").iterdir())


def changed(repository: Repository, data_dir: Path, base: str | None = None) -> Change:
    """The change, of which there has to be one."""
    change = take_from(repository, data_dir, base)
    assert change.files
    return change


def kinds(change: Change) -> dict[str, str]:
    """The files of a change, each with its letter."""
    return {file.path: file.kind for file in change.files}


def digest(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: mode and content of every file."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            content = b""
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            found[os.fsdecode(path)] = (mode, content)
    return found


def lines_in(content: bytes) -> int:
    parts = content.split(b"\n")
    return len(parts) - (parts[-1] == b"")


# --- what is in it -------------------------------------------------------------------------------------------------


def test_every_kind_of_change(repository: Repository, data_dir: Path) -> None:
    ten = "".join(f"line {number}\n" for number in range(10))
    for name in ("edited", "moved", "moved and edited", "removed", "unchanged"):
        repository.write(name, name + "\n" + ten)
    repository.write("made executable", "#!/bin/sh\n")
    repository.write("loses its end", "a\nb\n")
    repository.write("emptied", "a\nb\n")
    repository.write("picture", b"\0\1\2")
    (repository / "link").symlink_to("unchanged")
    (repository / "becomes link").write_text("a\n")
    repository.commit()
    base = repository.id_of("HEAD")

    repository.write("edited", "edited\n" + ten.replace("line 3\n", "LINE 3\nand more\n"))
    os.rename(repository / "moved", repository / "elsewhere")
    os.rename(repository / "moved and edited", repository / "élan vital")
    repository.write("élan vital", "moved and edited\n" + ten + "one more")
    (repository / "removed").unlink()
    (repository / "made executable").chmod(0o755)
    repository.write("loses its end", "a\nb")
    repository.write("emptied")
    repository.write("picture", b"\0\1\3")
    (repository / "link").unlink()
    (repository / "link").symlink_to("no such file")
    (repository / "becomes link").unlink()
    (repository / "becomes link").symlink_to("edited")
    repository.write("new/empty")
    repository.write("new/blob", bytes(range(256)))
    repository.write("new/text", "a\n\nb")
    (repository / "new/link").symlink_to("/no/such/file")

    change = changed(repository, data_dir)

    assert change.base == base
    assert change.label == f"working tree against HEAD ({base[:7]})"
    assert not change.skipped
    assert set(change.files) == {
        ChangedFile("edited", "M", "", 2, 1, 12),
        ChangedFile("elsewhere", "R", "moved", 0, 0, 11),
        ChangedFile("élan vital", "R", "moved and edited", 1, 0, 12),
        ChangedFile("removed", "D", "", 0, 11, None),
        ChangedFile("made executable", "M", "", 0, 0, 1),
        ChangedFile("loses its end", "M", "", 1, 1, 2),
        ChangedFile("emptied", "M", "", 0, 2, 0),
        ChangedFile("picture", "M", "", None, None, None),
        ChangedFile("link", "M", "", 1, 1, 1),
        ChangedFile("becomes link", "T", "", 1, 1, 1),
        ChangedFile("new/empty", "A", "", 0, 0, 0),
        ChangedFile("new/blob", "A", "", None, None, None),
        ChangedFile("new/text", "A", "", 3, 0, 3),
        ChangedFile("new/link", "A", "", 1, 0, 1),
    }
    assert change.summary == "14 files, +10 −17"
    heads = [patch.partition("\n")[0] for patch in change.patches]
    assert heads == [f"diff --git a/{file.old_path or file.path} b/{file.path}" for file in change.files]
    assert change.whole and change.inline
    assert change.size == len("".join(change.patches).encode())


def test_staged_unstaged_and_untracked_files_in_one(repository: Repository, data_dir: Path) -> None:
    for name in ("both", "staged", "unstaged", "staged for removal", "staged and back"):
        repository.write(name, "old\n")
    repository.commit()
    repository.write("both", "staged\n")
    repository.write("staged", "new\n")
    repository.write("staged and back", "new\n")
    repository.write("added, then gone", "x\n")
    repository.stage()
    repository.git("rm", "-q", "--cached", "staged for removal")
    repository.write("both", "unstaged\n")
    repository.write("unstaged", "new\n")
    repository.write("staged and back", "old\n")
    (repository / "added, then gone").unlink()
    repository.write("promised", "x\n")
    repository.git("add", "--intent-to-add", "promised")
    repository.write("untracked", "x\n")

    change = changed(repository, data_dir)

    assert kinds(change) == {"both": "M", "staged": "M", "unstaged": "M", "promised": "A", "untracked": "A"}
    assert "+unstaged" in "".join(change.patches)
    assert "+staged" not in "".join(change.patches)


def test_nothing_has_changed(repository: Repository, data_dir: Path) -> None:
    assert take_from(repository, data_dir).files == ()
    repository.write(".gitignore", "*.log\n")
    repository.write("a", "a\n")
    repository.commit()
    assert take_from(repository, data_dir).files == ()
    repository.write("some.log", "x\n")
    repository.write("a", "a\n")  # a new time, the same content
    os.utime(repository / "a", (1, 1))
    repository.git("config", "core.fileMode", "false")
    (repository / "a").chmod(0o755)
    assert take_from(repository, data_dir).files == ()
    assert take_from(repository, data_dir, "main").files == ()


def test_a_repository_without_commits(repository: Repository, data_dir: Path) -> None:
    repository.write("staged", "a\nb\n")
    repository.stage()
    repository.write("untracked", "c\n")
    change = changed(repository, data_dir)
    assert change.label == "working tree of a repository without commits"
    assert change.files == (ChangedFile("staged", "A", "", 2, 0, 2), ChangedFile("untracked", "A", "", 1, 0, 1))
    assert lines_at_base(str(repository.root), change.base, "staged") is None
    with pytest.raises(CompanionError, match="'main' is no commit"):
        take_from(repository, data_dir, "main")


def test_ignored_files_are_left_out_unless_they_are_tracked(repository: Repository, data_dir: Path) -> None:
    repository.write("build/kept", "old\n")
    repository.commit()
    repository.write(".gitignore", "build/\n*.log\n!important.log\n")
    repository.write("build/kept", "new\n")
    for name in ("build/junk", "a.log", "important.log", "deep/er/b.log"):
        repository.write(name, "x\n")
    assert kinds(changed(repository, data_dir)) == {".gitignore": "A", "build/kept": "M", "important.log": "A"}


def test_files_and_folders_that_change_places(repository: Repository, data_dir: Path) -> None:
    repository.write("file", "a\n")
    repository.write("folder/inner", "b\n")
    repository.write("linked/inner", "c\n")
    repository.commit()
    (repository / "file").unlink()
    repository.write("file/inner", "something else\n")
    shutil.rmtree(repository / "folder")
    repository.write("folder", "another thing\n")
    os.rename(repository / "linked", repository / "real")
    (repository / "linked").symlink_to("real")
    assert kinds(changed(repository, data_dir)) == {
        **{"file": "D", "file/inner": "A", "folder/inner": "D", "folder": "A"},
        **{"linked": "A", "real/inner": "R"},
    }


@posix
def test_names_of_every_sort(repository: Repository, data_dir: Path) -> None:
    names = [
        *("with space", "with\ttab", "with\nnewline", 'with "quotes"', "it's", "back\\slash", "-n", "--all", "a b/c d"),
        *(":(exclude)x", "*", "?", "[a]", "!x", "#x", "ünï/çødé", "🎉", "e\u0301", " ", "a\x01b", "\x7f", "$(touch x)"),
        *("diff --git a", "a b/a", "%s", "x" * 255, "\udce9t\udce9 latin-1", "a => b", "trailing ", "..."),
    ]
    for name in names:
        repository.write(name, "a\nb\n")
    change = changed(repository, data_dir)
    assert set(change.files) == {ChangedFile(name, "A", "", 2, 0, 2) for name in names}
    assert len(change.patches) == len(names)
    assert not change.skipped

    repository.commit()
    for name in names:
        repository.write(name, "a\nc\n")
    change = changed(repository, data_dir)
    assert set(change.files) == {ChangedFile(name, "M", "", 1, 1, 2) for name in names}
    assert all(lines_at_base(str(repository.root), change.base, name) == 2 for name in names[::6])
    folder = write_patches(change, str(data_dir))
    assert len(os.listdir(folder)) == len(names)


def test_a_file_as_old_as_the_index_is_looked_at(repository: Repository, data_dir: Path) -> None:
    repository.git("config", "core.trustctime", "false")
    repository.git("config", "core.checkStat", "minimal")
    at = 1_700_000_000
    os.utime(repository.write("a", "one\n"), (at, at))
    repository.commit()
    os.utime(repository / ".git/index", (at, at))
    os.utime(repository.write("a", "two\n"), (at, at))  # of the same size, in the same second
    assert kinds(changed(repository, data_dir)) == {"a": "M"}


def test_a_merge_conflict_is_shown_with_its_marks(repository: Repository, data_dir: Path) -> None:
    for name in ("edited", "removed here", "removed there", "removed by hand"):
        repository.write(name, "old\n")
    repository.commit()
    repository.git("checkout", "-q", "-b", "other")
    for name in ("edited", "removed here", "removed by hand"):
        repository.write(name, "theirs\n")
    (repository / "removed there").unlink()
    repository.commit()
    repository.git("checkout", "-q", "main")
    for name in ("edited", "removed there", "removed by hand"):
        repository.write(name, "ours\n")
    (repository / "removed here").unlink()
    repository.commit()
    with pytest.raises(AssertionError):
        repository.git("merge", "-q", "other")
    (repository / "removed by hand").unlink()

    change = changed(repository, data_dir)

    assert kinds(change) == {"edited": "M", "removed here": "A", "removed by hand": "D"}
    assert "+<<<<<<< HEAD" in change.patches[0]
    assert not change.skipped


# --- other repositories inside -------------------------------------------------------------------------------------


def test_a_submodule_counts_with_its_commit_alone(repository: Repository, data_dir: Path, mark: Path) -> None:
    library = initialised(mark.parent / "library")
    library.write(".gitattributes", "a filter=hostile\n")
    library.write("a", "one\n")
    library.commit()
    repository.git("submodule", "--quiet", "add", str(library.root), "lib")
    repository.commit()
    inner = Repository(repository / "lib")
    inner.git("config", "filter.hostile.clean", f"sh -c 'touch {mark}; cat'")

    inner.write("a", "two\n")
    inner.write("untracked", "x\n")
    repository.write("b", "b\n")
    assert kinds(changed(repository, data_dir)) == {"b": "A"}
    assert not mark.exists()
    assert kinds(changed(inner, data_dir)) == {"a": "M", "untracked": "A"}  # a workspace like any other

    inner.commit()
    change = changed(repository, data_dir)
    assert change.files == (ChangedFile("b", "A", "", 1, 0, 1), ChangedFile("lib", "M", "", 1, 1, None))
    assert f"+Subproject commit {inner.id_of('HEAD')}" in change.patches[1]

    shutil.rmtree(inner.root)
    assert kinds(changed(repository, data_dir)) == {"b": "A", "lib": "D"}


def test_embedded_repositories(repository: Repository, data_dir: Path) -> None:
    repository.write("a", "a\n")
    repository.commit()
    initialised(repository / "without commit").write("x", "x\n")
    inner = initialised(repository / "deep/with commit")
    inner.write("y", "y\n")
    inner.commit()
    repository.write("b", "b\n")
    change = changed(repository, data_dir)
    assert kinds(change) == {"b": "A", "deep/with commit": "A"}
    assert change.skipped == ("without commit",)


def test_a_linked_worktree(repository: Repository, data_dir: Path, tmp_path: Path) -> None:
    repository.write("a", "a\n")
    repository.commit()
    base = repository.id_of("HEAD")
    repository.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    linked = Repository(tmp_path / "linked")
    linked.write("b", "b\n")
    linked.stage()
    before = digest(repository.root)
    change = changed(linked, data_dir)
    assert kinds(change) == {"b": "A"}
    assert change.base == base
    assert digest(repository.root) == before
    assert take_from(repository, data_dir).files == ()


# --- how git keeps its files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["--sparse-index", "--no-sparse-index"])
def test_a_sparse_checkout(repository: Repository, data_dir: Path, index: str) -> None:
    for name in ("top", "in/a", "out/a", "out/b", "far/out/c"):
        repository.write(name, "a\n")
    repository.commit()
    repository.git("sparse-checkout", "init", "--cone", index)
    repository.git("sparse-checkout", "set", "in")
    assert not (repository / "out").exists()
    assert take_from(repository, data_dir).files == ()
    repository.write("in/a", "b\n")
    repository.write("out/a", "b\n")
    repository.write("out/new", "c\nd\n")
    assert kinds(changed(repository, data_dir)) == {"in/a": "M", "out/a": "M", "out/new": "A"}


def test_a_split_index(repository: Repository, data_dir: Path) -> None:
    repository.write("a", "a\n")
    repository.write("b", "b\n")
    repository.commit()
    repository.git("config", "core.splitIndex", "true")
    repository.git("config", "splitIndex.maxPercentChange", "0")
    repository.git("update-index", "--split-index")
    repository.write("c", "c\n")
    repository.stage()
    assert list(repository.root.glob(".git/sharedindex.*"))
    repository.write("a", "A\n")
    repository.write("d", "d\n")
    assert kinds(changed(repository, data_dir)) == {"a": "M", "c": "A", "d": "A"}


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_object_formats(tmp_path: Path, data_dir: Path, format: str) -> None:
    try:
        repository = initialised(tmp_path / "workspace", f"--object-format={format}")
    except AssertionError:
        pytest.skip("this git does not know the format")
    repository.write("a", "a\n")
    assert kinds(changed(repository, data_dir)) == {"a": "A"}
    repository.commit()
    base = repository.id_of("HEAD")
    repository.write("a", "b\n")
    change = changed(repository, data_dir)
    assert change.base == base
    assert change.files == (ChangedFile("a", "M", "", 1, 1, 1),)
    assert lines_at_base(str(repository.root), base, "a") == 1


def test_objects_that_are_borrowed(repository: Repository, data_dir: Path, tmp_path: Path) -> None:
    repository.write("a", "a\n")
    repository.commit()
    name = 'a "clone"; its\\name:\nis änother'
    repository.git("clone", "-q", "--shared", ".", str(tmp_path / name))
    clone = Repository(tmp_path / name)
    clone.write("b", "b\n")
    clone.commit()
    clone.write("a", "A\n")
    clone.write("b", "B\n")
    assert kinds(changed(clone, data_dir)) == {"a": "M", "b": "M"}
    assert kinds(changed(clone, data_dir, "origin/main")) == {"a": "M", "b": "A"}


def test_another_git_at_work_is_no_hindrance(repository: Repository, data_dir: Path) -> None:
    repository.write("a", "a\n")
    repository.stage()
    repository.write(".git/index.lock")
    assert kinds(changed(repository, data_dir)) == {"a": "A"}


def test_line_ends_that_git_translates(repository: Repository, data_dir: Path) -> None:
    repository.write(".gitattributes", "* text=auto\n*.bin -text\n")
    repository.write("same", "a\nb\n")
    repository.write("edited", "a\nb\n")
    repository.write("exact.bin", "a\nb\n")
    repository.commit()
    repository.git("config", "core.autocrlf", "true")
    repository.git("config", "core.safecrlf", "true")
    repository.write("same", "a\r\nb\r\n")
    repository.write("edited", "a\r\nc\r\n")
    repository.write("exact.bin", "a\r\nb\n")
    repository.write("new", "a\nb\n")
    change = changed(repository, data_dir)
    assert kinds(change) == {"edited": "M", "exact.bin": "M", "new": "A"}
    assert change.files[0] == ChangedFile("edited", "M", "", 1, 1, 2)
    assert "\n-b\n+c\n" in change.patches[0]
    assert "\n-a\n+a\r\n" in change.patches[1]


# --- programs and settings -----------------------------------------------------------------------------------------


@posix
def test_no_program_of_the_repository_runs(repository: Repository, data_dir: Path, mark: Path) -> None:
    repository.write("a", "a\nb\nc\nd\ne\n")
    repository.write("b", "b\n")
    repository.write("old", "x\n" * 20)
    repository.commit()
    repository.write("a", "a\nb\nC\nd\ne\n")
    repository.write("b", "B\n")
    os.rename(repository / "old", repository / "new")
    repository.stage("b")
    repository.write("untracked", "x\n")
    plain = take_from(repository, data_dir)

    hostile(repository, mark)
    assert take_from(repository, data_dir) == plain
    assert plain is not None
    assert lines_at_base(str(repository.root), plain.base, "a") == 5
    assert not mark.exists()


@posix
def test_the_users_own_filter_is_run(repository: Repository, data_dir: Path, user: Path) -> None:
    repository.write(".gitattributes", "big filter=pointer\n")
    repository.commit()
    repository.write("big", "content\n")
    (user / ".config/git").mkdir(parents=True)
    config = user / ".config/git/config"
    config.write_text('[filter "pointer"]\n clean = "sh -c \'cat >/dev/null; echo pointer\'"\n required = true\n')
    try:
        assert "+pointer\n" in changed(repository, data_dir).patches[0]
        # The repository's definition would win, and is one to distrust: the file is shown as it is.
        repository.git("config", "filter.pointer.clean", "echo its own")
        assert "+content\n" in changed(repository, data_dir).patches[0]
    finally:
        config.unlink()


def test_a_filter_that_cannot_be_switched_off_is_an_error(repository: Repository, data_dir: Path) -> None:
    repository.write("a", "a\n")
    repository.git("config", "filter.a=b.clean", "touch it-ran")
    repository.write(".gitattributes", "* filter=a=b\n")
    with pytest.raises(CompanionError, match=r"\[filter.a=b\]"):
        take_from(repository, data_dir)
    assert not (repository / "it-ran").exists()


def test_the_environment_points_elsewhere(
    repository: Repository, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write("a", "a\n")
    repository.commit()
    base = repository.id_of("HEAD")
    repository.write("a", "b\nc\n")
    other = initialised(tmp_path / "other")
    other.write("x", "x\n")
    other.commit()
    untouched = digest(other.root)
    for name, value in {
        "GIT_CONFIG": str(other / ".git/config"),
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other.root),
        "GIT_INDEX_FILE": str(other / ".git/index"),
        "GIT_OBJECT_DIRECTORY": str(other / ".git/objects"),
        "GIT_COMMON_DIR": str(other / ".git"),
        "GIT_PREFIX": "x/",
        "GIT_NAMESPACE": "x",
        "GIT_EXTERNAL_DIFF": "false",
        "GIT_DIFF_OPTS": "-u0",
        "GIT_ICASE_PATHSPECS": "1",
        "GIT_TRACE": "1",
        "GIT_TRACE2_EVENT": str(tmp_path / "trace"),
    }.items():
        monkeypatch.setenv(name, value)
    change = changed(repository, data_dir)
    assert change.base == base
    assert change.files == (ChangedFile("a", "M", "", 2, 1, 2),)
    assert lines_at_base(str(repository.root), base, "a") == 1
    assert digest(other.root) == untouched
    assert not (tmp_path / "trace").exists()


# --- where it starts -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def branches(user: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `branched` copies."""
    repository = initialised(tmp_path_factory.mktemp("branches"))
    repository.write("a", "a\n")
    repository.commit("the first")
    repository.write("b", "b\n")
    repository.commit("the fork")
    repository.git("tag", "fork")
    repository.git("tag", "-a", "-m", "with a message", "annotated")
    repository.git("checkout", "-q", "-b", "topic")
    repository.write("mine", "m\n")
    repository.commit("on topic")
    repository.git("checkout", "-q", "main")
    repository.write("theirs", "t\n")
    repository.commit("on main")
    repository.git("checkout", "-q", "topic")
    repository.write("uncommitted", "u\n")
    return repository.root


@pytest.fixture
def branched(branches: Path, tmp_path: Path) -> Repository:
    """`main` and `topic` have left each other at the tag `fork`; `topic` is checked out."""
    shutil.copytree(branches, tmp_path / "workspace")
    return Repository(tmp_path / "workspace")


def test_a_base_is_where_the_work_left_it(branched: Repository, data_dir: Path) -> None:
    fork = branched.id_of("fork")
    branched.git("update-ref", "refs/remotes/origin/main", "main")
    for base in ("origin/main", "annotated", fork[:8], "HEAD~1"):
        change = changed(branched, data_dir, base)
        assert kinds(change) == {"mine": "A", "uncommitted": "A"}, base
        assert change.base == fork
        assert change.label == f"working tree against where it left {base} ({fork[:7]})"
    assert kinds(changed(branched, data_dir, "HEAD~2")) == {"b": "A", "mine": "A", "uncommitted": "A"}


def test_a_detached_head(branched: Repository, data_dir: Path) -> None:
    branched.git("checkout", "-q", "--detach")
    branched.git("branch", "-q", "-D", "topic")
    assert kinds(changed(branched, data_dir)) == {"uncommitted": "A"}
    assert kinds(changed(branched, data_dir, "main")) == {"mine": "A", "uncommitted": "A"}


BAD_BASES = [
    "",
    "-n",
    "--output=out",
    "a..b",
    "main...topic",
    "^main",
    "main^@",
    "main:a",
    "main^{tree}",
    "@{u}",
    "main\n",
    "ma\0in",
    "\ud800",
]


def test_bad_bases_are_refused_by_name(branched: Repository, data_dir: Path) -> None:
    for base in BAD_BASES:
        with pytest.raises(CompanionError) as error:
            take(str(branched.root), str(data_dir), base)
        assert str(error.value).startswith(f"--base {base!r} is no commit, branch or tag here"), base
    assert not (branched / "out").exists()


pieces = st.sampled_from(
    [
        "main",
        "topic",
        "HEAD",
        "..",
        "...",
        "^",
        "~",
        "@{",
        "}",
        "-",
        "--",
        "--all",
        "--output=out",
        ":",
        "/",
        " ",
        "\n",
        "1",
    ]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(base=st.one_of(st.text(st.characters(), max_size=12), st.lists(pieces).map("".join)))
def test_any_text_as_base_is_a_change_or_a_refusal(branched: Repository, data_dir: Path, base: str) -> None:
    commits = branched.git("rev-list", "--all").decode().split()
    before = digest(branched.root)
    try:
        change = take(str(branched.root), str(data_dir), base)
    except CompanionError:
        pass
    else:
        assert change is not None and change.base in commits
    assert digest(branched.root) == before


def test_histories_that_never_met(branched: Repository, data_dir: Path) -> None:
    branched.git("stash", "-q", "-u")
    branched.git("checkout", "-q", "--orphan", "stranger")
    branched.git("commit", "-q", "-m", "alone")
    with pytest.raises(CompanionError, match=r"no commit in common; name another --base"):
        take_from(branched, data_dir, "main")


def test_a_shallow_clone(branched: Repository, data_dir: Path, tmp_path: Path) -> None:
    branched.git("clone", "-q", "--depth=1", "--no-single-branch", branched.root.as_uri(), str(tmp_path / "shallow"))
    clone = Repository(tmp_path / "shallow")
    clone.write("a", "new\n")
    assert kinds(changed(clone, data_dir)) == {"a": "M"}
    with pytest.raises(CompanionError, match="shallow: try `git fetch --unshallow`"):
        take_from(clone, data_dir, "origin/main")


def test_a_partial_clone_fetches_nothing(branched: Repository, data_dir: Path, tmp_path: Path) -> None:
    branched.git("config", "uploadpack.allowFilter", "true")
    branched.git("clone", "-q", "--filter=blob:none", branched.root.as_uri(), str(tmp_path / "partial"))
    clone = Repository(tmp_path / "partial")
    clone.write("a", "new\n")
    assert kinds(changed(clone, data_dir)) == {"a": "M"}
    clone.git("config", "remote.origin.uploadpack", f"touch {tmp_path / 'it-ran'}; git-upload-pack")
    clone.git("reset", "-q", "--soft", "origin/main")
    with pytest.raises(CompanionError, match="is a partial clone without the old versions"):
        take_from(clone, data_dir)
    assert not (tmp_path / "it-ran").exists()


# --- what is too large, or cannot be read --------------------------------------------------------------------------


def test_fifty_megabytes_do_no_harm(repository: Repository, data_dir: Path) -> None:
    repository.write("tracked", "small\n")
    repository.commit()
    for name, size in {"tracked": 10_000_000, "untracked": 50_000_000}.items():
        with open(repository / name, "wb") as file:
            file.truncate(size)
    repository.write("text", "0123456789\n" * 500_000)
    repository.write("small", "x\n")
    change = take(str(repository.root), str(data_dir))
    assert change is not None
    assert change.skipped == ("untracked",)
    assert change.files == (
        ChangedFile("small", "A", "", 1, 0, 1),
        ChangedFile("text", "A", "", None, None, None),
        ChangedFile("tracked", "M", "", None, None, None),
    )
    assert change.inline


def test_untracked_files_have_a_limit_together(
    repository: Repository, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_module, "ALL_UNTRACKED_BYTES", 10)
    for name in ("a", "b", "c"):
        repository.write(name, "1234\n")
    change = changed(repository, data_dir)
    assert kinds(change) == {"a": "A", "b": "A"}
    assert change.skipped == ("c",)


def test_a_large_change_is_cut(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        repository.write(f"f{number}", f"{number}" * 100 + "\n")
    git = Git(str(repository.root), str(tmp_path))
    tree, _ = git.write_tree()

    def seen() -> Change:
        change = compare(git, git.run("hash-object", "-t", "tree", "--stdin").decode().strip(), tree, "")
        assert change is not None
        return change

    whole = seen()
    assert whole.inline
    monkeypatch.setattr(change_module, "INLINE_BYTES", whole.size - 1)
    assert whole.whole and not whole.inline
    monkeypatch.setattr(change_module, "PATCHES", 3)
    fewer = seen()
    assert fewer.patches == whole.patches[:3]
    assert fewer.files == whole.files
    assert not fewer.whole
    monkeypatch.setattr(change_module, "ALL_PATCHES_BYTES", 300)
    assert len(seen().patches) == 2
    monkeypatch.setattr(change_module, "PATCH_BYTES", 50)
    first = seen().patches[0]
    assert first.startswith(whole.patches[0][:50])
    assert first.endswith(f"(cut here: {len(whole.patches[0])} characters in all)\n")


@posix
def test_what_is_no_file(repository: Repository, data_dir: Path) -> None:
    repository.write("tracked", "a\n")
    repository.commit()
    (repository / "tracked").unlink()
    os.mkfifo(repository / "tracked")
    os.mkfifo(repository / "untracked")
    repository.write("b", "b\n")
    change = changed(repository, data_dir)
    assert kinds(change) == {"b": "A"}
    assert change.skipped == ("tracked",)


@not_as_root
def test_unreadable_files(repository: Repository, data_dir: Path) -> None:
    repository.write("tracked", "a\n")
    repository.commit()
    repository.write("b", "b\n")
    for name in ("tracked", "untracked"):
        repository.write(name, "new\n", 0)
    change = take(str(repository.root), str(data_dir))
    assert change is not None
    assert kinds(change) == {"b": "A"}
    assert change.skipped == ("tracked", "untracked")


def test_names_that_git_refuses(repository: Repository, data_dir: Path) -> None:
    repository.write("git~1", "looks like .git on another system\n")
    repository.write("a", "a\n")
    change = changed(repository, data_dir)
    assert kinds(change) == {"a": "A"}
    assert change.skipped == ("git~1",)


# --- the data dir --------------------------------------------------------------------------------------------------


@posix
def test_the_data_dir_is_private(repository: Repository, data_dir: Path) -> None:
    repository.write("a/../b c/-ü'\".py", "a\n")
    repository.write("latin", b"+\xe9\n")
    before = os.umask(0)
    try:
        change = changed(repository, data_dir)
        first, second = (Path(write_patches(change, str(data_dir))) for _ in range(2))
    finally:
        os.umask(before)
    assert first != second
    for folder in (data_dir, data_dir / "reviews", first):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in first.iterdir()] == [0o600, 0o600]
    files = sorted(first.iterdir())
    assert [file.name for file in files] == ["0001-b_c_-_.py.diff", "0002-latin.diff"]
    assert [file.read_text() for file in files] == list(change.patches)


def test_a_data_dir_in_the_workspace_is_no_part_of_it(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write("a", "a\n")
    data_dir = repository / "own/däta"
    repository.write("own/däta too", "b\n")
    for _ in range(2):
        change = take(str(repository.root), str(data_dir))
        assert change is not None
        assert kinds(change) == {"a": "A", "own/däta too": "A"}
        write_patches(change, str(data_dir))


def test_what_happens_afterwards_is_not_in_it(repository: Repository, data_dir: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        repository.write(name, "old\n")
    repository.commit()
    base = repository.id_of("HEAD")
    for name in ("a", "b", "new"):
        repository.write(name, "then\n")
    expected = take_from(repository, data_dir)
    git = Git(str(repository.root), str(tmp_path))
    tree, skipped = git.write_tree()

    repository.write("a", "later\n")
    (repository / "b").unlink()
    (repository / "new").unlink()
    repository.write("later", "later\n")
    repository.commit()

    assert expected is not None
    assert compare(git, base, tree, expected.label, skipped) == expected


def test_two_moments_of_one_workspace(repository: Repository, tmp_path: Path) -> None:
    repository.write("a", "a\n")
    repository.commit()
    git = Git(str(repository.root), str(tmp_path))
    first, _ = git.write_tree()
    repository.write("a", "b\n")
    repository.write("new", "n\n")
    second, _ = git.write_tree()
    (repository / "new").unlink()
    third, _ = git.write_tree()
    assert [file.path for file in git.files(first, second)] == ["a", "new"]
    assert [(file.kind, file.path) for file in git.files(second, third)] == [("D", "new")]


# --- errors --------------------------------------------------------------------------------------------------------


def refusal(workspace: Path, data_dir: Path) -> str:
    """The one line that a person is told; nothing is left behind."""
    with pytest.raises(CompanionError) as error:
        take(str(workspace), str(data_dir))
    assert not list((data_dir / "reviews").iterdir())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_repository(tmp_path: Path, data_dir: Path) -> None:
    assert "is no git repository" in refusal(tmp_path, data_dir)
    assert "git init" in refusal(tmp_path, data_dir)
    assert refusal(tmp_path / "gone", data_dir) == f"The folder {tmp_path / 'gone'} is gone."


def test_no_working_tree(tmp_path: Path, data_dir: Path) -> None:
    bare = initialised(tmp_path / "bare", "--bare")
    assert "is a bare git repository" in refusal(bare.root, data_dir)
    repository = initialised(tmp_path / "workspace")
    assert "or a .git folder" in refusal(repository / ".git", data_dir)


def test_a_folder_in_a_repository(repository: Repository, data_dir: Path) -> None:
    (repository / "inner/.git").mkdir(parents=True)
    assert "is not the top folder of its git repository" in refusal(repository / "inner", data_dir)


def test_no_git(repository: Repository, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no such"))
    assert refusal(repository.root, data_dir) == "git was not found on PATH, and a review needs it. Install git."
    assert lines_at_base(str(repository.root), "HEAD", "a") is None


@as_root
def test_somebody_elses_repository(repository: Repository, data_dir: Path) -> None:
    os.chown(repository.root, 65534, 65534)
    os.chown(repository / ".git", 65534, 65534)
    told = refusal(repository.root, data_dir)
    assert "because another user owns it" in told
    assert f"`git config --global --add safe.directory {repository.root}`" in told


def test_a_broken_repository(repository: Repository, data_dir: Path) -> None:
    repository.write("a", "a\n")
    repository.stage()
    index = (repository / ".git/index").read_bytes()
    repository.write(".git/index", b"no index at all")
    assert "`git diff-files` failed" in refusal(repository.root, data_dir)
    repository.write(".git/index", index)
    repository.write(".git/config", "[core\n")
    assert "bad config line" in refusal(repository.root, data_dir)


def test_lines_at_base(repository: Repository) -> None:
    repository.write("a", "1\n2\n3")
    repository.write("empty")
    repository.write("folder/b", "1\n")
    repository.commit()
    base = repository.id_of("HEAD")
    repository.write("a", "later\n")
    lines = {"a": 3, "empty": 0, "folder/b": 1, "folder": None, "": None, "none": None, "../a": None, "/a": None}
    for path, expected in {**lines, "a\0b": None, "a\nb": None}.items():
        assert lines_at_base(str(repository.root), base, path) == expected, path
    assert lines_at_base(str(repository.root), "no such", "a") is None


# --- generated repositories ----------------------------------------------------------------------------------------


class Step(NamedTuple):
    """Something that happens to the working tree: `what` to the file number `which`."""

    what: str
    which: int
    content: bytes
    other: int


class Plan(NamedTuple):
    """A repository's life until it is reviewed."""

    names: list[bytes]
    before: list[Step]
    after: list[Step]
    head: str
    format: str
    split: bool
    base: bool


def _proper(name: bytes) -> bool:
    return name.strip(b".") != b"" and b"git" not in name.lower() and len(name) < 200


letters = st.characters(exclude_characters="/\0", codec="utf-8")
words = st.one_of(
    st.sampled_from(
        ["a", "b", "src", "a b", "-n", "ü", 'q"q', "it's", "n\nl", "t\tt", "b\\s", " ", "*", ":x", "a => b"]
    ),
    st.text(letters, min_size=1, max_size=6),
)
components = st.one_of(words.map(str.encode), words.map(str.encode), st.just(b"\xe9\xff")).filter(_proper)
paths = st.lists(components, min_size=1, max_size=3).map(b"/".join)
texts = st.lists(
    st.sampled_from([b"", b"one", b"two", b"+x", b"-x", b"diff --git a/a b/a", b"\r", "ü".encode()]), max_size=8
)
contents = st.one_of(
    texts.map(b"\n".join),
    texts.map(lambda lines: b"".join(line + b"\n" for line in lines)),
    st.just(b"".join(b"line %d\n" % number for number in range(12))),
    st.just(b"".join(b"line %d\n" % number for number in range(13))),
    st.binary(max_size=20),
    st.just(b"\0binary"),
)
deeds = ["write", "write", "write", "link", "remove", "rename", "chmod", "touch", "ignore"]
numbers = st.integers(0, 5)
steps = st.builds(Step, st.sampled_from(deeds), numbers, contents, numbers)
later_steps = st.builds(Step, st.sampled_from([*deeds, "stage", "stage", "unstage"]), numbers, contents, numbers)
plans = st.builds(
    Plan,
    st.lists(paths, min_size=2, max_size=6, unique=True),
    st.lists(steps, max_size=6),
    st.lists(later_steps, max_size=6),
    st.sampled_from(["branch", "detached", "unborn"]),
    st.sampled_from(["sha1", "sha1", "sha256"]),
    st.booleans(),
    st.booleans(),
)


def _clear(root: bytes, path: bytes) -> bytes:
    """Make room for a file: what is there goes, and so do files where its folders shall be."""
    full = root
    for part in path.split(b"/"):
        if full != root and (os.path.islink(full) or not os.path.isdir(full)):
            if os.path.lexists(full):
                os.unlink(full)
            os.mkdir(full)
        full = os.path.join(full, part)
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)
    elif os.path.lexists(full):
        os.unlink(full)
    return full


def perform(repository: Repository, step: Step, names: list[bytes]) -> None:
    """Do it. A step that makes no sense now does nothing."""
    root = os.fsencode(repository.root)
    name, other = names[step.which % len(names)], names[step.other % len(names)]
    path = os.path.join(root, name)
    is_file = os.path.isfile(path) and not os.path.islink(path) and os.path.realpath(path) == path
    if step.what == "write":
        _clear(root, name)
        with open(path, "wb") as file:
            file.write(step.content)
    elif step.what == "link":
        os.symlink(other, _clear(root, name))
    elif step.what == "remove":
        _clear(root, name)
    elif step.what == "rename" and is_file and other != name:
        with open(path, "rb") as file:
            content = file.read()
        os.unlink(path)
        with open(_clear(root, other), "wb") as file:
            file.write(content)
    elif step.what == "chmod" and is_file:
        os.chmod(path, 0o755 if step.which % 2 else 0o644)
    elif step.what == "touch" and is_file:
        os.utime(path, (1, 1))
    elif step.what == "ignore":
        repository.write(".gitignore", "# nothing\nsrc\n*.log\n")
    elif step.what == "stage":
        repository.stage() if step.other % 2 else _stage_one(repository, name)
    elif step.what == "unstage":
        repository.git("rm", "-q", "-r", "--cached", "--ignore-unmatch", ".")


def _stage_one(repository: Repository, name: bytes) -> None:
    subprocess.run([b"git", b"add", b"-A", b"--", b":(literal)" + name], cwd=repository.root, capture_output=True)


def built(root: Path, plan: Plan) -> Repository:
    """A repository that has lived through the plan."""
    repository = initialised(root, f"--object-format={plan.format}")
    for step in plan.before:
        perform(repository, step, plan.names)
    if plan.head != "unborn":
        repository.commit()
        repository.git("tag", "start")
        if plan.base:
            repository.write("committed later", "x\n")
            repository.commit()
        if plan.head == "detached":
            repository.git("checkout", "-q", "--detach")
            repository.git("branch", "-q", "-D", "main")
    if plan.split:
        repository.git("update-index", "--split-index")
    for step in plan.after:
        perform(repository, step, plan.names)
    return repository


def listed(repository: Repository, tree: str) -> dict[str, tuple[str, str]]:
    """The files of a tree, each with its mode and its object."""
    found = {}
    for entry in repository.git("ls-tree", "-r", "-z", tree).split(b"\0")[:-1]:
        details, _, path = entry.partition(b"\t")
        mode, _, blob = details.decode().split(" ")
        found[os.fsdecode(path)] = (mode, blob)
    return found


@contextmanager
def seen_trees() -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    """What `Git.write_tree` gives meanwhile."""
    trees = []

    def seen(git: Git) -> tuple[str, tuple[str, ...]]:
        trees.append(write_tree(git))
        return trees[-1]

    write_tree = Git.write_tree
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Git, "write_tree", seen)
        yield trees


def contents_of(repository: Repository, blobs: set[str]) -> dict[str, bytes]:
    """The contents of blobs, by their ids."""
    out, found = repository.git("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode()), {}
    while out:
        head, _, rest = out.partition(b"\n")
        blob, _, size = head.decode().split(" ")
        found[blob], out = rest[: int(size)], rest[int(size) + 1 :]
    return found


def check_generated(plan: Plan) -> None:
    """Everything that holds for the change of any repository."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        repository = built(folder / "workspace", plan)
        # The same working tree as git itself sees it, in a copy that git may touch.
        shutil.copytree(repository.root, folder / "copy", symlinks=True)
        copy = Repository(folder / "copy")
        copy.stage()
        expected = copy.git("write-tree").decode().strip()

        mark = folder / "it-ran"
        hostile(repository, mark)
        before = digest(repository.root)
        base = "start" if plan.base and plan.head != "unborn" else None
        with seen_trees() as trees:
            change = take(str(repository.root), str(folder / "data"), base)
        assert digest(repository.root) == before
        assert not list((folder / "data/reviews").iterdir())
        assert not mark.exists()

        assert trees == [(expected, ())]
        check_change(copy, expected, change, base or "HEAD" if plan.head != "unborn" else "")


NONE = ("", "")


def check_change(copy: Repository, tree: str, change: Change, start: str) -> None:
    """The change leads from `start` (empty: from nothing) to the tree."""
    old = listed(copy, start) if start else {}
    new = listed(copy, tree)
    if not change.files:
        assert old == new
        return
    assert old != new
    files = {file.path: file for file in change.files}
    assert len(files) == len(change.files) == len(change.patches)
    renamed = {file.old_path for file in change.files if file.kind == "R"}
    assert {path for path in files if files[path].kind in "AR"} == new.keys() - old.keys()
    assert {path for path in files if files[path].kind == "D"} | renamed == old.keys() - new.keys()
    assert {path for path in files if files[path].kind in "MT"} == {
        path for path in old.keys() & new.keys() if old[path] != new[path]
    }
    contents = contents_of(copy, {blob for _, blob in (*old.values(), *new.values())})
    for file, patch in zip(change.files, change.patches, strict=True):
        before, after = (
            contents.get(entry[1], b"")
            for entry in (old.get(file.old_path or file.path, NONE), new.get(file.path, NONE))
        )
        check_counts(file, patch, before, after)
    whole = "".join(change.patches)
    # `git apply` cannot read the head of an empty file in a folder whose name ends with a blank.
    readable = not any(" /" in path for path in (*old, *new)) and "\ufffd" not in whole
    if readable and all(file.added is not None for file in change.files):
        index = {"GIT_INDEX_FILE": str(copy / ".git/another-index")}
        copy.git("read-tree", start or "--empty", env=index)
        copy.git("apply", "--cached", "--whitespace=nowarn", "-", stdin=whole.encode(), env=index)
        assert copy.git("write-tree", env=index).decode().strip() == tree


def check_counts(file: ChangedFile, patch: str, before: bytes, after: bytes) -> None:
    """The numbers of lines of one file."""
    if file.added is None or file.removed is None:
        assert b"\0" in before + after
        assert file.lines is None
        return
    if file.kind != "D":
        assert file.lines == lines_in(after)
    else:
        assert file.lines is None
    assert lines_in(before) - file.removed + file.added == lines_in(after)
    body = patch.split("\n@@ ")[1:]
    lines = [line for hunk in body for line in hunk.split("\ndiff --git ")[0].split("\n")[1:]]
    assert sum(line.startswith("+") for line in lines) == file.added
    assert sum(line.startswith("-") for line in lines) == file.removed


NAMES_THAT_CROSS = Plan(
    [b"a", b"a/b", b"\xe9", b"n\nl"],
    [Step("write", 1, b"x\n" * 20, 0), Step("write", 2, b"", 0), Step("link", 3, b"", 2)],
    [Step("write", 0, b"y", 0), Step("stage", 0, b"", 1), Step("rename", 2, b"", 3), Step("write", 1, b"z", 0)],
    "branch",
    "sha1",
    True,
    True,
)


@posix
@example(NAMES_THAT_CROSS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans)
def test_any_repository(plan: Plan) -> None:
    check_generated(plan)


@posix
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans)
def test_any_repository_at_length(plan: Plan) -> None:
    check_generated(plan)


def test_a_working_tree_that_does_not_hold_still(repository: Repository, data_dir: Path) -> None:
    """A build runs meanwhile: files come, go and grow. What holds still is in the change all the same."""
    repository.write("tracked", "0\n")
    repository.commit()
    repository.write("still", "x\n")
    over = threading.Event()

    def build() -> None:
        number = 0
        while not over.is_set():
            number += 1
            repository.write("tracked", f"{number}\n" * (number % 50))
            repository.write(f"out/{number % 20}/file", "x\n" * (number % 50))
            shutil.rmtree(repository / f"out/{(number + 10) % 20}", ignore_errors=True)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        for _ in range(30):
            change = take(str(repository.root), str(data_dir))
            assert change is not None
            assert kinds(change)["still"] == "A"
            assert "still" not in change.skipped
    finally:
        over.set()
        thread.join()


def test_what_others_remove_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    root = tmp_path / "reviews"
    root.mkdir()
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for name in ("a", "b", "c"):
                (root / name).mkdir()
            for name in ("a", "b", "c"):
                (root / name).rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(500):
            remove_stale(str(tmp_path))
    finally:
        over.set()
        thread.join()


def test_only_what_was_left_behind_long_ago_is_removed(tmp_path: Path) -> None:
    remove_stale(str(tmp_path))
    for name in ("change-old", "index-old", "change-new"):
        (tmp_path / "reviews" / name).mkdir(parents=True)
        (tmp_path / "reviews" / name / "file").touch()
    for name in ("change-old", "index-old"):
        past = time.time() - STALE_S - 60
        os.utime(tmp_path / "reviews" / name, (past, past))
    remove_stale(str(tmp_path))
    assert os.listdir(tmp_path / "reviews") == ["change-new"]
