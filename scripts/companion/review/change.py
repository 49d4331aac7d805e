"""The change that a review looks at, as it stands at one moment. What happens to the files afterwards is not in it.

The working tree (staged, unstaged and untracked files) is written down as a git tree, through an index and an object
folder of our own: nothing in the repository is touched. That tree is then compared with its base.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from companion.datadir import ensure_private_dir
from companion.errors import CompanionError

# A larger change is not pasted into the prompt: the job gets a list of its files and a folder with their patches.
INLINE_BYTES = 150_000
# In that folder, and only there, very long patches are cut.
PATCH_BYTES = 400_000
PATCHES = 2_000
ALL_PATCHES_BYTES = 40_000_000
# Files from here on are never shown, only named: git treats the first as binary, the others are not even read.
BINARY_FROM = "5m"
LARGEST_UNTRACKED_BYTES = 20_000_000
GIT_LIMIT_S = 120
STALE_S = 7 * 24 * 3600
# What git is told for every call: no program of the repository's choosing runs, names are not escaped.
_SAFELY = (
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.quotePath=false"),
    *("-c", f"core.bigFileThreshold={BINARY_FROM}", "-c", "core.compression=0", "-c", "core.safecrlf=false"),
    *("-c", "advice.addEmbeddedRepo=false"),
)
_KEPT_VARIABLES = ("GIT_CONFIG", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES")
_REVIEWS = "reviews"


class ChangedFile(NamedTuple):
    """One file of a change. `added`, `removed`: lines, None for a binary; `lines`: how many it has now, if it is text.

    `kind` is git's letter: A added, M modified, D deleted, R renamed (from `old_path`), T another type.
    """

    path: str
    kind: str
    old_path: str = ""
    added: int | None = None
    removed: int | None = None
    lines: int | None = None


class Change(NamedTuple):
    """A change: what is compared, its files, and its patches, one a file.

    `base` is the id of the commit or tree that it starts from. `skipped`: untracked paths that are too large, or that
    git cannot read. `whole` is False where patches were cut.
    """

    label: str
    base: str
    files: tuple[ChangedFile, ...]
    patches: tuple[str, ...]
    skipped: tuple[str, ...]
    whole: bool

    @property
    def size(self) -> int:
        """Bytes of all patches."""
        return sum(len(patch.encode("utf-8", "replace")) for patch in self.patches)

    @property
    def inline(self) -> bool:
        """Whether it is small enough to stand in the prompt."""
        return self.whole and self.size <= INLINE_BYTES

    @property
    def summary(self) -> str:
        """Its size in a few words, e.g. `3 files, +40 −3`."""
        added = sum(file.added or 0 for file in self.files)
        removed = sum(file.removed or 0 for file in self.files)
        return f"{len(self.files)} file{'' if len(self.files) == 1 else 's'}, +{added} −{removed}"


class Git:
    """git in one workspace, with an index and an object folder of its own below `folder`."""

    def __init__(self, workspace: str, folder: str) -> None:
        self.workspace = workspace
        self._env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name.startswith(_KEPT_VARIABLES)
        }
        self._env.update(LC_ALL="C", GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", GIT_LITERAL_PATHSPECS="1")
        if self.run("rev-parse", "--is-inside-work-tree", fails=True).strip() != b"true":
            raise CompanionError(
                f"{workspace} is no git repository, and a review needs one to know what has changed. "
                "Run it in a repository, or make one with `git init`."
            )
        objects = self._path("objects")
        index = self._path("index")
        own_index, own_objects = os.path.join(folder, "index"), os.path.join(folder, "objects")
        os.makedirs(own_objects, exist_ok=True)
        if os.path.exists(index):
            shutil.copyfile(index, own_index)  # it knows which files have not changed
        self._env.update(
            GIT_INDEX_FILE=own_index,
            GIT_OBJECT_DIRECTORY=own_objects,
            GIT_ALTERNATE_OBJECT_DIRECTORIES='"' + objects.replace("\\", "\\\\").replace('"', '\\"') + '"',
        )

    def run(self, *words: str, stdin: bytes = b"", fails: bool = False) -> bytes:
        """What git prints. CompanionError where it fails; with `fails` that gives nothing instead."""
        done = self._call(words, stdin)
        if done.returncode == 0:
            return done.stdout
        if fails:
            return b""
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[:400]
        raise CompanionError(f"`git {words[0]}` failed in {self.workspace}: {said or f'exit {done.returncode}'}")

    def write_tree(self) -> tuple[str, tuple[str, ...]]:
        """The working tree as a git tree: its id, and the untracked paths that are not in it."""
        self._call(("add", "--update", "--ignore-errors", "--", "."), b"")
        small = [path for path in self._untracked() if _size(self.workspace, path) <= LARGEST_UNTRACKED_BYTES]
        if small:
            listed = b"".join(os.fsencode(path) + b"\0" for path in small)
            self._call(("add", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul"), listed)
        return self.run("write-tree").decode().strip(), tuple(self._untracked())

    def files(self, base: str, tree: str) -> Iterator[ChangedFile]:
        """The files that differ between two trees or commits."""
        out = self.run("diff-tree", "-r", "-z", "--find-renames", "--raw", "--numstat", "--no-ext-diff", base, tree)
        fields = iter(out.split(b"\0"))
        found: dict[str, tuple[str, str, str, str]] = {}
        counts: dict[str, tuple[int | None, int | None]] = {}
        for field in fields:
            if field.startswith(b":"):
                _, mode, _, blob, kind = field[1:].decode().split(" ")
                old = os.fsdecode(next(fields)) if kind[0] in "RC" else ""
                found[os.fsdecode(next(fields))] = (kind[0], old, mode, blob)
            elif field:
                added, removed, name = field.split(b"\t", 2)
                if not name:
                    next(fields)
                    name = next(fields)
                counts[os.fsdecode(name)] = (_count(added), _count(removed))
        texts = [
            blob
            for path, (kind, _, mode, blob) in found.items()
            if kind != "D" and mode != "160000" and counts.get(path, (None, None))[0] is not None
        ]
        lines = self._line_counts(texts)
        for path, (kind, old, _, blob) in found.items():
            added_lines, removed_lines = counts.get(path, (None, None))
            yield ChangedFile(path, kind, old, added_lines, removed_lines, lines.get(blob))

    def patches(self, base: str, tree: str) -> Iterator[str]:
        """The difference as text, file by file."""
        command = ("diff-tree", "-r", "-p", "--find-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        out = self.run(*command, *prefixes, base, tree)
        # Every line of a patch's body begins with a blank, a sign or a backslash: this can only be a head.
        for patch in re.split(rb"^(?=diff --git )", out, flags=re.MULTILINE):
            if patch:
                yield patch.decode("utf-8", "replace")

    def commit(self, name: str) -> str:
        """The id of a commit, or empty."""
        return self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", fails=True).decode().strip()

    def _untracked(self) -> list[str]:
        out = self.run("ls-files", "-z", "--others", "--exclude-standard")
        return [os.fsdecode(path) for path in out.split(b"\0") if path]

    def _line_counts(self, blobs: Iterable[str]) -> dict[str, int]:
        wanted = sorted(set(blobs))
        if not wanted:
            return {}
        out = self.run("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in wanted).encode())
        found, at = {}, 0
        while at < len(out):
            end = out.index(b"\n", at)
            words = out[at:end].split()
            if len(words) != 3:  # "… missing"
                at = end + 1
                continue
            start, size = end + 1, int(words[2])
            found[words[0].decode()] = count_lines(out[start : start + size])
            at = start + size + 1
        return found

    def _path(self, name: str) -> str:
        path = os.fsdecode(self.run("rev-parse", "--git-path", name).rstrip(b"\n"))
        return os.path.normpath(os.path.join(self.workspace, path))

    def _call(self, words: Iterable[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        command = ["git", *_SAFELY, *words]
        try:
            return subprocess.run(
                command, cwd=self.workspace, env=self._env, input=stdin, capture_output=True, timeout=GIT_LIMIT_S
            )
        except FileNotFoundError:
            raise CompanionError("git was not found on PATH, and a review needs it. Install git.") from None
        except subprocess.TimeoutExpired:
            raise CompanionError(f"git took longer than {GIT_LIMIT_S} s in {self.workspace}; try again.") from None


def take(workspace: str, data_dir: str, base: str | None = None) -> Change | None:
    """The change of the working tree against HEAD, or against where it left `base`; None where nothing has changed."""
    with _scratch(data_dir) as folder:
        git = Git(workspace, folder)
        start, label = _start(git, base)
        tree, skipped = git.write_tree()
        return compare(git, start, tree, label, skipped)


def compare(git: Git, base: str, tree: str, label: str, skipped: tuple[str, ...] = ()) -> Change | None:
    """The change from `base` to `tree`, None if they are the same."""
    files = tuple(git.files(base, tree))
    if not files:
        return None
    patches: list[str] = []
    whole, size = True, 0
    for patch in git.patches(base, tree):
        if len(patches) == PATCHES or size > ALL_PATCHES_BYTES:
            whole = False
            break
        if len(patch) > PATCH_BYTES:
            patch, whole = f"{patch[:PATCH_BYTES]}\n(cut here: {len(patch):,} characters in all)\n", False
        patches.append(patch)
        size += len(patch)
    return Change(label, base, files, tuple(patches), skipped, whole)


def head_of(git: Git) -> str:
    """The commit that is checked out, or the empty tree where there is none yet."""
    return git.commit("HEAD") or git.run("hash-object", "-t", "tree", "--stdin").decode().strip()


def private_folder(data_dir: str, name: str) -> str:
    """A folder of this name for what reviews keep for a while, made if it is not there."""
    folder = os.path.join(data_dir, _REVIEWS, name)
    ensure_private_dir(os.path.dirname(folder))
    ensure_private_dir(folder)
    return folder


def write_patches(change: Change, data_dir: str) -> str:
    """Write the patches into a folder of their own, one file each; the folder's path."""
    root = os.path.join(data_dir, _REVIEWS)
    ensure_private_dir(root)
    folder = tempfile.mkdtemp(prefix="change-", dir=root)
    for number, patch in enumerate(change.patches, 1):
        head = patch.partition("\n")[0].rpartition(" b/")[2]
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", head)[-80:]
        with open(os.path.join(folder, f"{number:04}-{name}.diff"), "w", encoding="utf-8") as file:
            file.write(patch)
    return folder


def remove_stale(data_dir: str) -> None:
    """Remove what reviews that were killed have left behind; a review that ends cleans up after itself."""
    root = os.path.join(data_dir, _REVIEWS)
    for name in os.listdir(root) if os.path.isdir(root) else ():
        folder = os.path.join(root, name)
        if time.time() - os.lstat(folder).st_mtime > STALE_S:
            shutil.rmtree(folder, ignore_errors=True)


def count_lines(content: bytes) -> int:
    """The lines of a text, the last one with or without its end."""
    return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


def lines_at_base(workspace: str, base: str, path: str) -> int | None:
    """How many lines a file has in the commit `base`, None where it is not there. For files that have not changed."""
    command = ["git", *_SAFELY, "cat-file", "blob", f"{base}:{path}"]
    try:
        done = subprocess.run(
            command, cwd=workspace, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_LIMIT_S
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return count_lines(done.stdout) if done.returncode == 0 else None


def _start(git: Git, base: str | None) -> tuple[str, str]:
    """Where the change starts, and what is compared, in words."""
    head = git.commit("HEAD")
    if base is None:
        label = f"working tree against HEAD ({head[:7]})" if head else "working tree of a repository without commits"
        return head_of(git), label
    found = git.commit(base) if base and not base.startswith("-") else ""
    if not found:
        raise CompanionError(
            f"--base {base!r} is no commit, branch or tag here; `git branch --all` lists the branches."
        )
    if not head:
        raise CompanionError("There is no commit yet, so there is nothing to compare with; leave --base out.")
    fork = git.run("merge-base", head, found, fails=True).decode().split()
    if not fork:
        raise CompanionError(f"HEAD and {base} have no commit in common; name another --base.")
    return fork[0], f"working tree against where it left {base} ({fork[0][:7]})"


@contextmanager
def _scratch(data_dir: str) -> Iterator[str]:
    root = os.path.join(data_dir, _REVIEWS)
    ensure_private_dir(root)
    folder = tempfile.mkdtemp(prefix="index-", dir=root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _size(workspace: str, path: str) -> int:
    try:
        return os.lstat(os.path.join(workspace, path)).st_size
    except OSError:
        return 0


def _count(text: bytes) -> int | None:
    return int(text) if text.isdigit() else None
