"""git, in one workspace, as a review needs it: it looks, and changes nothing. No program of the repository runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from companion.errors import CompanionError

# Files from here on are never shown, only named: git treats the first as binary, the others are not even read.
BINARY_FROM = "5m"
LARGEST_UNTRACKED_BYTES = 20_000_000
# A folder of data that nobody has told git to ignore shall not fill the disk.
ALL_UNTRACKED_BYTES = 500_000_000
GIT_LIMIT_S = 120
# What git is told for every call: no program of the repository's choosing runs, names are not escaped, and the index
# stays one file (the second one of a split index would be written into the repository).
SAFELY = (
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.quotePath=false"),
    *("-c", f"core.bigFileThreshold={BINARY_FROM}", "-c", "core.compression=0", "-c", "core.safecrlf=false"),
    *("-c", "core.splitIndex=false"),
)
_KEPT_VARIABLES = ("GIT_CONFIG_", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES")
# The comparison of two trees: not by the user's own taste, nor with a program of his.
_COMPARED = ("-r", "--find-renames", "--no-ext-diff", "--ignore-submodules=none")
_NO_SUCH_REPOSITORY = re.compile(rb"not a git repository")
_SOMEBODY_ELSES = re.compile(rb"dubious ownership|unsafe repository")
_NOT_FETCHED = re.compile(rb"lazy fetching disabled|from promisor remote")
_OBJECT_ID = re.compile(r"[0-9a-f]{40,64}")
# More paths than this that git refuses one by one are a fault of another kind, such as a full disk.
_MOST_REFUSED = 50
# So many files are read at once to count their lines.
_COUNTED_AT_ONCE = 200


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


class Git:
    """git in one workspace, with an index and an object folder of its own below `folder`.

    What lies in `data_dir` is no part of the working tree. A filter that the repository's own configuration names is
    not run (files are taken as they are); one of the user's is, e.g. that of Git LFS.
    """

    def __init__(self, workspace: str, folder: str, data_dir: str | None = None) -> None:
        self.workspace = workspace
        self._folder = folder
        self._own = _below(workspace, data_dir) if data_dir is not None else ""
        self._env = environment()
        self._options: tuple[str, ...] = SAFELY
        objects, index = self._places()
        self._options += tuple(self._programs_off())
        own_index, own_objects = os.path.join(folder, "index"), os.path.join(folder, "objects")
        os.makedirs(own_objects, exist_ok=True)
        _copy_index(index, own_index)
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
        raise self._failure(done)

    def write_tree(self) -> tuple[str, tuple[str, ...]]:
        """The working tree as a git tree: its id, and the paths whose present state is not in it."""
        gone, changed = self._changed()
        if gone:
            self.run("update-index", "--force-remove", "-z", "--stdin", stdin=_listed(gone))
        untracked = self._untracked()
        wanted = changed + self._small(untracked)
        readable = [path for path in wanted if _readable(os.path.join(self.workspace, path))]
        stored = set(readable).difference(self._add(readable))
        left_out = set(changed).difference(stored)
        if untracked:
            left_out |= set(untracked).intersection(self._untracked())
        return self.run("write-tree").decode().strip(), tuple(sorted(left_out))

    def files(self, base: str, tree: str) -> Iterator[ChangedFile]:
        """The files that differ between two trees or commits."""
        out = self.run("diff-tree", "-z", "--raw", "--numstat", *_COMPARED, base, tree)
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
        """The difference as text, file by file, in the order of `files`."""
        shown = ("-p", "--no-textconv", "--no-color", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/")
        with self._output("diff-tree", *shown, *_COMPARED, base, tree) as out:
            head, patch = b"", list[bytes]()
            # Every line of a patch's body begins with a blank, a sign or a backslash, or is empty: this can only be
            # a head. A file that became a link, or the like, has two parts with the same one.
            for line in out:
                if line.startswith(b"diff --git ") and line != head:
                    if patch:
                        yield b"".join(patch).decode("utf-8", "replace")
                    head, patch = line, []
                patch.append(line)
            if patch:
                yield b"".join(patch).decode("utf-8", "replace")

    def commit(self, name: str) -> str:
        """The id of a commit, or empty."""
        try:
            passable = b"\0" not in os.fsencode(name)
        except UnicodeEncodeError:
            passable = False
        if not passable:
            return ""
        found = self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", fails=True).decode().strip()
        return found if _OBJECT_ID.fullmatch(found) else ""

    def _places(self) -> tuple[str, str]:
        """Where the repository keeps its objects and its index.

        CompanionError unless the workspace is the top folder of a working tree that git is willing to look at.
        """
        words = ("rev-parse", "--is-inside-work-tree", "--show-cdup", "--git-path", "objects", "--git-path", "index")
        done = self._call(words, b"")
        if _NO_SUCH_REPOSITORY.search(done.stderr):
            raise CompanionError(
                f"{self.workspace} is no git repository, and a review needs one to know what has changed. "
                "Run it in a repository, or make one with `git init`."
            )
        if _SOMEBODY_ELSES.search(done.stderr):
            command = f"git config --global --add safe.directory {shlex.quote(self.workspace)}"
            raise CompanionError(
                f"git does not look into {self.workspace}, because another user owns it. If you trust it: `{command}`"
            )
        if done.returncode != 0:
            raise self._failure(done)
        inside, above, paths = done.stdout.split(b"\n", 2)
        if inside != b"true":
            raise CompanionError(
                f"{self.workspace} is a bare git repository or a .git folder, and a review looks at a working tree. "
                "Run it in a clone."
            )
        if above:
            raise CompanionError(
                f"{self.workspace} is not the top folder of its git repository; run the review there. "
                "(If it has a .git of its own, that is broken.)"
            )
        objects, _, index = paths.removesuffix(b"\n").rpartition(b"objects\n")  # a folder's name may hold a line end
        return self._absolute(objects + b"objects"), self._absolute(index)

    def _programs_off(self) -> Iterator[str]:
        """Options that switch off the filters of the repository's own configuration, and configured hooks."""
        names = ("config", "--show-scope", "--name-only", "-z", "--get-regexp", r"^(filter|hook)\.")
        done = self._call(names, b"")
        if done.returncode not in (0, 1):  # 1: there are none
            raise self._failure(done)
        for scope, section in sorted({(scope, name.rpartition(".")[0]) for scope, name in _pairs(done.stdout)}):
            if "=" in section:
                raise CompanionError(f"The name of [{section}] in git's configuration holds a `=`; rename it.")
            if section.startswith("hook."):
                yield from ("-c", f"{section}.enabled=false")
            elif section.startswith("filter.") and scope in ("local", "worktree"):
                yield from ("-c", f"{section}.clean=", "-c", f"{section}.process=", "-c", f"{section}.required=false")

    def _changed(self) -> tuple[list[str], list[str]]:
        """The tracked files that are gone, and those that may have changed, in the working tree against the index.

        A conflict's files are in both lists, if they are there: the index forgets that there was a conflict.
        """
        # Without the option git would run `git status`, with all its filters, in every submodule.
        gone, changed = set[str](), set[str]()
        for details, path in _pairs(self.run("diff-files", "-z", "--ignore-submodules=dirty")):
            kind = details[-1]
            if kind in "DU":
                gone.add(path)
            if kind != "D" and os.path.lexists(os.path.join(self.workspace, path)):
                changed.add(path)
        return sorted(gone), sorted(changed)

    def _untracked(self) -> list[str]:
        """The untracked files, and other repositories in the working tree, without what git is told to ignore."""
        out = self.run("ls-files", "-z", "--others", "--exclude-standard")
        paths = [os.fsdecode(path).rstrip("/") for path in out.split(b"\0") if path]
        return [path for path in paths if not (self._own and f"{path}/".startswith(f"{self._own}/"))]

    def _small(self, paths: Iterable[str]) -> list[str]:
        """The first of these files that are small enough, one by one and together."""
        small, room = [], ALL_UNTRACKED_BYTES
        for path in paths:
            size = _size(os.path.join(self.workspace, path))
            if size <= min(LARGEST_UNTRACKED_BYTES, room):
                small.append(path)
                room -= size
        return small

    def _add(self, paths: list[str]) -> list[str]:
        """Put the files into the index as they are now; those that git refuses. It takes all of a list or none."""
        refused: list[str] = []
        lists = [paths] if paths else []
        while lists:
            some = lists.pop()
            done = self._call(("update-index", "--add", "--remove", "--replace", "-z", "--stdin"), _listed(some))
            if done.returncode == 0:
                continue
            if len(some) > 1:
                lists += [some[len(some) // 2 :], some[: len(some) // 2]]
                continue
            refused += some
            if len(refused) > _MOST_REFUSED:
                raise self._failure(done)
        return refused

    def _line_counts(self, blobs: Iterable[str]) -> dict[str, int]:
        wanted, found = sorted(set(blobs)), dict[str, int]()
        for start in range(0, len(wanted), _COUNTED_AT_ONCE):
            asked = "".join(f"{blob}\n" for blob in wanted[start : start + _COUNTED_AT_ONCE]).encode()
            with self._output("cat-file", "--batch", stdin=asked) as out:
                while head := out.readline().split():
                    if len(head) == 3:  # not "… missing"
                        found[head[0].decode()] = count_lines(out.read(int(head[2])))
                        out.read(1)
        return found

    def _absolute(self, path: bytes) -> str:
        return os.path.normpath(os.path.join(self.workspace, os.fsdecode(path)))

    @contextmanager
    def _output(self, *words: str, stdin: bytes = b"") -> Iterator[IO[bytes]]:
        """What git prints, where that may be more than memory holds. CompanionError where it fails."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            done = self._call(words, stdin, file)
            if done.returncode != 0:
                raise self._failure(done)
            file.seek(0)
            yield file

    def _call(
        self, words: Iterable[str], stdin: bytes, stdout: IO[bytes] | int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[bytes]:
        command = ["git", *self._options, *words]
        try:
            return subprocess.run(
                command,
                cwd=self.workspace,
                env=self._env,
                input=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                timeout=GIT_LIMIT_S,
            )
        except OSError as error:
            if not os.path.isdir(self.workspace):
                raise CompanionError(f"The folder {self.workspace} is gone.") from None
            if isinstance(error, FileNotFoundError):
                raise CompanionError("git was not found on PATH, and a review needs it. Install git.") from None
            raise CompanionError(f"git cannot be started ({error.strerror}); a review needs it.") from None
        except subprocess.TimeoutExpired:
            raise CompanionError(f"git took longer than {GIT_LIMIT_S} s in {self.workspace}; try again.") from None

    def _failure(self, done: subprocess.CompletedProcess[bytes]) -> CompanionError:
        word = done.args[1 + len(self._options)]
        if _NOT_FETCHED.search(done.stderr):
            return CompanionError(
                f"{self.workspace} is a partial clone without the old versions of some files, and a review fetches "
                "nothing. `git diff` against the same base fetches them."
            )
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[:400]
        return CompanionError(f"`git {word}` failed in {self.workspace}: {said or f'exit {done.returncode}'}")


def count_lines(content: bytes) -> int:
    """The lines of a text, the last one with or without its end."""
    return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


def environment() -> dict[str, str]:
    """The environment for git: it finds the repository by the folder alone, asks nobody and fetches nothing."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT_VARIABLES)
    }
    return {**kept, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}


def _copy_index(index: str, copy: str) -> None:
    """Copy git's index, if there is one: it knows which files have not changed.

    With its time: git trusts that a file as old as its index has not changed only after a look at its content.
    """
    try:
        with open(index, "rb") as source, open(copy, "wb") as target:
            details = os.fstat(source.fileno())
            shutil.copyfileobj(source, target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CompanionError(
            f"git's index {index} cannot be copied: {(error.strerror or str(error)).lower()}."
        ) from None
    os.utime(copy, ns=(details.st_atime_ns, details.st_mtime_ns))


def _below(workspace: str, folder: str) -> str:
    """The path of a folder in the workspace as git would name it; empty where it is elsewhere."""
    try:
        path = os.path.relpath(os.path.realpath(folder), os.path.realpath(workspace)).replace(os.sep, "/")
    except ValueError:
        return ""  # on another drive
    return "" if path == "." or path.startswith("../") or path == ".." else path


def _pairs(out: bytes) -> Iterator[tuple[str, str]]:
    fields = os.fsdecode(out).split("\0")
    return zip(fields[::2], fields[1::2], strict=False)


def _listed(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def _readable(path: str) -> bool:
    """Whether git can take it: a link, a file that may be read, or another repository."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return True  # it has just gone, which git finds out
    if stat.S_ISDIR(mode):
        return os.path.lexists(os.path.join(path, ".git"))
    return stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(path, os.R_OK))


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _count(text: bytes) -> int | None:
    return int(text) if text.isdigit() else None
