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
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from companion.datadir import ensure_private_dir
from companion.errors import CompanionError
from companion.review.git import GIT_LIMIT_S, SAFELY, ChangedFile, Git, count_lines, environment

# A larger change is not pasted into the prompt: the job gets a list of its files and a folder with their patches.
INLINE_BYTES = 150_000
# In that folder, and only there, very long patches are cut.
PATCH_BYTES = 400_000
PATCHES = 2_000
ALL_PATCHES_BYTES = 40_000_000
STALE_S = 7 * 24 * 3600
_REVIEWS = "reviews"


class Change(NamedTuple):
    """A change: what is compared, its files, and its patches, one a file.

    `base` is the id of the commit or tree that it starts from. `skipped`: paths whose present state is not in it:
    untracked files that are too large, and what git cannot read. `whole` is False where patches were cut.
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


def take(workspace: str, data_dir: str, base: str | None = None) -> Change:
    """The change of the working tree against HEAD, or against where it left `base`. It may have no files."""
    with _scratch(data_dir) as folder:
        git = Git(workspace, folder, data_dir)
        start, label = _start(git, base)
        tree, skipped = git.write_tree()
        return compare(git, start, tree, label, skipped)


def compare(git: Git, base: str, tree: str, label: str, skipped: tuple[str, ...] = ()) -> Change:
    """The change from `base` to `tree`."""
    files = tuple(git.files(base, tree))
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
    for number, (file, patch) in enumerate(zip(change.files, change.patches, strict=False), 1):
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", file.path)[-80:]
        path = os.path.join(folder, f"{number:04}-{name}.diff")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(patch.encode("utf-8", "replace"))
    return folder


def remove_stale(data_dir: str) -> None:
    """Remove what reviews that were killed have left behind; a review that ends cleans up after itself."""
    root = os.path.join(data_dir, _REVIEWS)
    for name in os.listdir(root) if os.path.isdir(root) else ():
        folder = os.path.join(root, name)
        try:
            stale = time.time() - os.lstat(folder).st_mtime > STALE_S
        except OSError:
            continue  # a review that ended just now has removed it itself
        if stale:
            shutil.rmtree(folder, ignore_errors=True)


def lines_at_base(workspace: str, base: str, path: str) -> int | None:
    """How many lines a file has in the commit `base`, None where it is not there. For files that have not changed."""
    command = ["git", *SAFELY, "cat-file", "blob", f"{base}:{path}"]
    try:
        done = subprocess.run(
            command,
            cwd=workspace,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_LIMIT_S,
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
        shallow = git.run("rev-parse", "--is-shallow-repository").strip() == b"true"
        advice = "this clone is shallow: try `git fetch --unshallow`" if shallow else "name another --base"
        raise CompanionError(f"HEAD and {base} have no commit in common; {advice}.")
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
