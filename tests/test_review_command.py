"""`review` and `adversarial-review` without opencode: what they refuse, what they estimate, and nothing to review."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from companion.bootstrap import PLUGIN_ROOT
from companion.commands.review import SMALL_BYTES, SMALL_FILES
from companion.output import EXIT_ERROR
from companion.review.git import LARGEST_UNTRACKED_BYTES

pytestmark = pytest.mark.slow

ENTRY = Path(PLUGIN_ROOT) / "scripts" / "opencode_companion.py"
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main")
Run = Callable[..., subprocess.CompletedProcess[str]]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *IDENTITY, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, data_dir: Path) -> Path:
    """A repository with one commit and nothing changed."""
    folder = tmp_path / "work space"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.py").write_text("x = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def run(repository: Path, data_dir: Path, tmp_path: Path) -> Run:
    """Runs a command where no opencode is; it must leave nothing behind."""

    def run(*words: str, cwd: Path = repository, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "OPENCODE_BIN": str(tmp_path / "no opencode")}
        done = subprocess.run(
            [sys.executable, str(ENTRY), *words], cwd=cwd, env=env, input=stdin, capture_output=True, text=True
        )
        assert not (data_dir / "logs").exists()  # no supervisor was started
        assert os.listdir(data_dir / "reviews") == [] if (data_dir / "reviews").exists() else True
        return done

    return run


@pytest.mark.parametrize("words", [(), ("--estimate",), ("--background",), ("--base", "HEAD")], ids=" ".join)
def test_nothing_to_review_is_said_and_starts_no_job(run: Run, words: tuple[str, ...]) -> None:
    against = "where it left HEAD" if words[:1] == ("--base",) else "HEAD"
    done = run("review", *words)
    told = f"Nothing to review: the working tree is the same as {against}."
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{told}\n", "")
    answer = json.loads(run("adversarial-review", "--json", *words, "--", "the focus").stdout)
    assert (answer["jobId"], answer["status"], answer["message"]) == (None, "nothing_to_review", told)
    assert json.loads(run("status", "--json").stdout)["recent"] == []


def test_what_cannot_be_looked_at_is_named_where_there_is_nothing_else(run: Run, repository: Path) -> None:
    (repository / "huge.bin").touch()
    os.truncate(repository / "huge.bin", LARGEST_UNTRACKED_BYTES + 1)
    told = run("review").stdout
    assert told.startswith("Nothing to review")
    assert "too large or unreadable: 'huge.bin'" in told


BAD_CALLS: dict[str, tuple[list[str], str]] = {
    "no such ref": (["--base", "nowhere"], "--base 'nowhere' is no commit, branch or tag here"),
    "an option as a ref": (["--base=--output=x"], "--base '--output=x' is no commit"),
    "an empty ref": (["--base", ""], "--base '' is no commit"),
    "a file as a ref": (["--base", "HEAD:a.py"], "is no commit"),
    "a shell's ref": (["--base", "$(touch PWNED)"], "is no commit"),
    "nothing in common": (["--base", "apart"], "HEAD and apart have no commit in common"),
    "two ways": (["--wait", "--background"], "not allowed with argument"),
    "no number": (["--max-wait", "soon"], "--max-wait"),
    "half a model": (["--model", "gpt"], "'gpt' is not of the form provider/model"),
    "unknown option": (["--fix"], "unrecognized arguments: --fix"),
    "abbreviated option": (["--est"], "unrecognized arguments: --est"),
}


@pytest.mark.parametrize(("words", "told"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_bad_call_gets_one_line_and_exit_1(run: Run, repository: Path, words: list[str], told: str) -> None:
    git(repository, "checkout", "-q", "--orphan", "apart")
    git(repository, "commit", "-qm", "apart")
    git(repository, "checkout", "-q", "main")
    (repository / "a.py").write_text("x = 2\n")
    done = run("adversarial-review" if "--base" in words else "review", *words)
    assert (done.returncode, done.stdout) == (EXIT_ERROR, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert told in done.stderr
    assert sorted(os.listdir(repository)) == [".git", "a.py"]


def test_a_review_has_no_text_and_a_focus_is_utf8(run: Run, repository: Path) -> None:
    for words in (("words",), ("--", "words")):
        done = run("review", *words)
        assert done.returncode == EXIT_ERROR
        assert "unrecognized arguments: words" in done.stderr
    (repository / "a.py").write_text("x = 2\n")
    bad = subprocess.run(
        [sys.executable, str(ENTRY), "adversarial-review", "-"], cwd=repository, input=b"caf\xe9", capture_output=True
    )
    assert (bad.returncode, bad.stdout) == (EXIT_ERROR, b"")
    assert b"The focus from stdin is not UTF-8" in bad.stderr


def test_where_there_is_no_repository_the_way_out_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    git(tmp_path / "bare", "init", "-q", "--bare")
    (tmp_path / "plain").mkdir()
    for folder, told, way_out in (
        ("plain", "is no git repository", "`git init`"),
        ("bare", "is a bare git", "a clone"),
    ):
        done = run("review", "--estimate", cwd=tmp_path / folder)
        assert (done.returncode, done.stdout) == (EXIT_ERROR, "")
        assert told in done.stderr
        assert way_out in done.stderr


def test_without_opencode_a_review_is_refused_and_nothing_is_left(run: Run, repository: Path) -> None:
    (repository / "large.txt").write_text("a line\n" * 40_000)
    done = run("review")
    assert (done.returncode, done.stdout) == (EXIT_ERROR, "")
    assert "OPENCODE_BIN" in done.stderr
    assert json.loads(run("status", "--json").stdout)["running"] == []


def test_an_estimate_of_a_small_change_recommends_to_wait(run: Run, repository: Path) -> None:
    (repository / "a.py").write_text("x = 2\ny = 3\n")
    (repository / "ü new.py").write_text("z = 1\n")
    done = run("review", "--estimate")
    head = git(repository, "rev-parse", "--short=7", "HEAD")
    assert done.stdout.startswith(f"working tree against HEAD ({head}), 2 files, +3 −1, ")
    assert done.stdout.endswith(" bytes of patches. Recommended: --wait\n")
    answer = json.loads(run("adversarial-review", "--estimate", "--json", "the focus").stdout)
    assert answer["target"] == f"working tree against HEAD ({head}), 2 files, +3 −1"
    assert (answer["files"], answer["recommended"]) == (2, "wait")
    assert f", {answer['bytes']:,} bytes" in done.stdout


def test_an_estimate_of_a_larger_change_recommends_the_background(run: Run, repository: Path) -> None:
    (repository / "large.txt").write_text("a line\n" * (SMALL_BYTES // 7))
    answer = json.loads(run("review", "--estimate", "--json").stdout)
    assert (answer["files"], answer["recommended"]) == (1, "background")
    assert answer["bytes"] > SMALL_BYTES
    (repository / "large.txt").unlink()
    for number in range(SMALL_FILES + 1):
        (repository / f"{number}.txt").write_text("x\n")
    assert run("review", "--estimate").stdout.endswith("Recommended: --background\n")


def test_an_estimate_against_a_base_begins_where_the_branch_was_left(run: Run, repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "feature")
    (repository / "a.py").write_text("x = 2\n")
    git(repository, "commit", "-qam", "on the branch")
    (repository / "b.py").write_text("y = 1\n")
    git(repository, "checkout", "-q", "main")
    git(repository, "commit", "-q", "--allow-empty", "-m", "further")
    git(repository, "checkout", "-q", "feature")
    fork = git(repository, "merge-base", "main", "HEAD")[:7]
    for cwd in (repository, repository / ".git" / ".."):
        done = run("review", "--base", "main", "--estimate", cwd=cwd)
        assert done.stdout.startswith(f"working tree against where it left main ({fork}), 2 files, +2 −1, ")
    assert run("review", "--estimate").stdout.startswith("working tree against HEAD")
