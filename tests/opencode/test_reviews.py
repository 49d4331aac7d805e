"""Reviews on the real opencode: whatever the model answers and tries, what is shown is true and the tree is unchanged.

The user's configuration allows everything, and brings an MCP server and a tool that write.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from machine import Machine, machine_in, tools, without_installing

from companion.demo.scripted_model import ChatRequest, Script, Wire
from companion.jobs import Followup, job_json
from companion.opencode.v1 import new_message_id, new_part_id
from companion.review.change import INLINE_BYTES
from companion.store import Store

ALLOWED = {"*": "allow", "edit": "allow", "bash": {"*": "allow"}, "external_directory": "allow", "webfetch": "allow"}
MCP_SERVER = """
import json, sys
TOOL = {"name": "note", "description": "Write a file", "inputSchema": {
    "type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}}
for line in sys.stdin:
    message = json.loads(line)
    reply = {"error": {"code": -32601, "message": "unknown"}}
    if message["method"] == "initialize":
        version = {"protocolVersion": message["params"]["protocolVersion"]}
        reply = {"result": {**version, "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}}
    elif message["method"] == "tools/list":
        reply = {"result": {"tools": [TOOL]}}
    elif message["method"] == "tools/call":
        open(message["params"]["arguments"]["path"], "w").close()
        reply = {"result": {"content": [{"type": "text", "text": "written"}]}}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}), flush=True)
"""
TOOL = """
import fs from "node:fs"
export default { description: "Write a file", args: {}, async execute() {
  fs.writeFileSync("by-tool.txt", "x"); return "written" } }
"""


def answer(file: str, **changes: Any) -> str:
    """A review with one finding."""
    finding = {
        "severity": "high",
        "title": "The second line is wrong",
        "body": "It says so.",
        "file": file,
        "line_start": 2,
        "line_end": 3,
        "confidence": 0.8,
        "recommendation": "Mend it.",
        **changes,
    }
    return json.dumps({"verdict": "needs-attention", "summary": "One finding.", "findings": [finding]})


class Reviewer:
    """The model. For a change or a focus that holds `word`, its n-th answer is the n-th of `plans[word]`."""

    def __init__(self) -> None:
        self.plans: dict[str, tuple[str | Script, ...]] = {}
        self.asked: dict[str, list[ChatRequest]] = {}

    def __call__(self, request: ChatRequest, wire: Wire) -> None:
        word = next(word for word in self.plans if word in request.user_texts[0])
        self.asked[word].append(request)
        reply = self.plans[word][len(request.user_texts) - 1]
        if isinstance(reply, str):
            wire.text(reply)
            wire.finish()
        else:
            reply(request, wire)


class Desk:
    """A repository in which one new file at a time waits for its review."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.model = Reviewer()
        machine.play("JSON object", self.model)
        self._file: Path | None = None

    def change(self, word: str, text: str = "first\nsecond\nthird\n") -> None:
        """From now on the working tree's only change is a file `word.txt`."""
        self.clean()
        self._file = self.machine.workspace / f"{word}.txt"
        self._file.write_text(text)

    def clean(self) -> None:
        """The working tree is as at HEAD."""
        if self._file is not None:
            self._file.unlink()
        self._file = None

    def plan(self, word: str, *plan: str | Script) -> None:
        """What the model answers."""
        self.model.plans[word] = plan
        self.model.asked[word] = []

    def start(self, word: str, *plan: str | Script, text: str | None = None, **env: str) -> str:
        """A review of a change of its own, in the background; the job's id."""
        self.change(word, *([text] if text else []))
        self.plan(word, *plan)
        return self.machine.ok("review", "--background", **env).strip()

    def until_asked(self, word: str, times: int) -> None:
        """Wait until the model has been asked so often."""
        self.machine.until(lambda: len(self.model.asked[word]) == times)

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job once it has ended, where its supervisor lives."""
        with Store(str(self.machine.data)) as store:
            job = self.machine.until(lambda: (job := store.get(job_id)) and not job.active and job)
        return job_json(job)

    def digest(self) -> dict[str, str]:
        """Every file of the workspace, the repository's own included."""
        found = {}
        for folder, _, names in os.walk(self.machine.workspace):
            for name in names:
                path = Path(folder, name)
                found[str(path)] = f"{path.lstat().st_mode} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("machine")
    (root / "server.py").write_text(MCP_SERVER)
    with machine_in(root) as machine:
        machine.write_config(
            permission=ALLOWED,
            agent={"build": {"permission": {**ALLOWED, "scribe_*": "allow", "scribble": "allow"}}},
            mcp={"scribe": {"type": "local", "command": [sys.executable, str(root / "server.py")]}},
        )
        own = machine.workspace / ".opencode"
        without_installing(own)
        (own / "tool").mkdir()
        (own / "tool" / "scribble.ts").write_text(TOOL)
        (own / ".gitignore").write_text("*\n")
        (machine.workspace / "kept.py").write_text("x = 1\n")
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
        for words in (("add", "."), ("commit", "-qm", "first")):
            subprocess.run(["git", *identity, *words], cwd=machine.workspace, check=True)
        yield Desk(machine)


PROSE = "It looks fine to me. Really."


def refused(request: ChatRequest, wire: Wire) -> None:
    wire.error(401, {"error": {"message": "Incorrect API key", "type": "error", "code": 401}})


def silent(request: ChatRequest, wire: Wire) -> None:
    wire.finish()


def at_once(calls: list[tuple[str, dict[str, Any]]], answer: str) -> Script:
    """A model that calls these tools in one message and then answers."""

    def script(request: ChatRequest, wire: Wire) -> None:
        if request.tool_results:
            wire.text(answer)
            wire.finish()
            return
        for call in calls:
            wire.tool(*call)
        wire.finish("tool_calls")

    return script


CASES: dict[str, tuple[str | Script, ...]] = {
    "valid": (answer("valid.txt"),),
    "fenced": (f"I looked at it.\n```json\n{answer('fenced.txt', severity=' High', confidence='80%')}\n```\nBye.",),
    "reading": (at_once([("read", {"filePath": "kept.py"})] * 5, answer("kept.py", line_start=1, line_end=1)),),
    "repaired": (PROSE, answer("repaired.txt")),
    "relocated": (answer("relocated.txt", line_start=7, line_end=9), answer("relocated.txt")),
    "prose": (PROSE, "I still like it."),
    "lying": (answer("lying.txt", line_end=4), answer("elsewhere.txt")),
    "refused": (PROSE, refused),
    "misled": (answer("misled.txt", line_end=4), silent),
    "silent": (silent,),
}


@pytest.fixture(scope="module")
def jobs(desk: Desk) -> dict[str, dict[str, Any]]:
    """A job of each case, all at once, ended. When the first of them is taken up, its change is gone long since."""
    started = {word: desk.start(word, *plan) for word, plan in CASES.items()}
    desk.clean()
    return {word: desk.ended(job_id) for word, job_id in started.items()}


@pytest.mark.parametrize("word", ["valid", "fenced", "repaired", "relocated"])
def test_a_valid_answer_is_shown_as_findings(desk: Desk, jobs: dict[str, dict[str, Any]], word: str) -> None:
    job = jobs[word]
    assert (job["status"], job["type"], job["readOnly"]) == ("completed", "review", True)
    review = job["review"]
    assert {key: review[key] for key in ("verdict", "summary", "findings")} == json.loads(answer(f"{word}.txt"))
    assert review["warning"] is None
    assert job["result"] == (
        f"**Needs attention** (1 high) · {review['target']}\n\n> One finding.\n\n"
        f"### 1. [high] The second line is wrong\n`{word}.txt:2-3` · confidence 80%\n\n> It says so.\n\n"
        "> Recommendation: Mend it."
    )
    assert re.fullmatch(r"working tree against HEAD \([0-9a-f]{7}\), 1 file, \+3 −0", review["target"])
    assert len(desk.model.asked[word]) == len(CASES[word])


@pytest.mark.parametrize(
    ("word", "told"),
    [("repaired", "it holds no JSON object"), ("relocated", "'relocated.txt' has 3 lines, so 7 to 9 is not in it")],
)
def test_the_model_is_told_what_is_wrong(desk: Desk, jobs: dict[str, dict[str, Any]], word: str, told: str) -> None:
    assert len(jobs) == len(CASES)
    first, second = desk.model.asked[word][-1].user_texts
    assert f"{word}.txt" in first
    assert told in second
    assert "exactly one JSON object" in second


def test_what_changes_after_submission_is_not_mixed_in(desk: Desk, jobs: dict[str, dict[str, Any]]) -> None:
    for word in jobs:
        prompt = desk.model.asked[word][0].user_texts[0]
        assert f"+++ b/{word}.txt" in prompt
        assert prompt.count("diff --git") == 1


@pytest.mark.parametrize("word", ["prose", "refused"])
def test_an_answer_that_stays_prose_is_shown_as_it_came_with_a_warning(
    desk: Desk, jobs: dict[str, dict[str, Any]], word: str
) -> None:
    job, review = jobs[word], jobs[word]["review"]
    assert job["status"] == "completed"
    assert (review["verdict"], review["summary"], review["findings"]) == (None, None, [])
    assert review["warning"].startswith("The findings could not be validated")
    said = "I still like it." if word == "prose" else PROSE
    assert job["result"] == f"**{review['warning']}**\n\n{said}"
    assert len(desk.model.asked[word]) == 2


@pytest.mark.parametrize(("word", "place"), [("lying", "elsewhere.txt:2-3"), ("misled", "misled.txt:2-4")])
def test_places_that_do_not_exist_are_marked(
    desk: Desk, jobs: dict[str, dict[str, Any]], word: str, place: str
) -> None:
    job, review = jobs[word], jobs[word]["review"]
    assert (job["status"], review["verdict"]) == ("completed", "needs-attention")
    assert review["findings"][0]["misplaced"] is True
    assert review["warning"].startswith("1 of 1 findings names a place that does not exist")
    assert f"**{review['warning']}**" in job["result"]
    assert f"`{place}` · confidence 80% · **this place does not exist" in job["result"]
    assert len(desk.model.asked[word]) == 2


def test_no_answer_is_no_review(jobs: dict[str, dict[str, Any]]) -> None:
    job = jobs["silent"]
    assert (job["status"], job["reason"], job["review"], job["result"]) == ("incomplete", "empty_answer", None, None)


def test_reading_the_same_again_and_again_does_not_end_the_job(jobs: dict[str, dict[str, Any]]) -> None:
    assert jobs["reading"]["status"] == "completed"
    assert jobs["reading"]["review"]["findings"][0]["file"] == "kept.py"


def test_it_is_read_like_any_job(desk: Desk, jobs: dict[str, dict[str, Any]]) -> None:
    job = jobs["valid"]
    shown = desk.machine.ok("result", job["id"])
    assert shown.startswith(f"## Job: {job['id']}\nStatus: completed")
    assert shown.endswith(f"\n\n{job['result']}\n")
    assert json.loads(desk.machine.ok("result", job["id"], "--json"))["job"]["review"] == job["review"]
    waited = json.loads(desk.machine.ok("wait-and-result", job["id"], "--json"))
    assert waited["job"]["review"] == job["review"]
    assert {key: waited[key] for key in job["review"]} == job["review"]
    failed = desk.machine.ok("result", jobs["silent"]["id"])
    assert "ask for the review again: " in failed
    assert "--resume" not in failed


def test_in_the_foreground_json_is_the_validated_object(desk: Desk) -> None:
    desk.change("foreground")
    desk.plan("foreground", answer("foreground.txt"))
    done = json.loads(desk.machine.ok("review", "--json"))
    assert {key: done[key] for key in ("verdict", "summary", "findings")} == json.loads(answer("foreground.txt"))
    assert (done["status"], done["jobId"], done["warning"]) == ("completed", done["job"]["id"], None)
    assert {key: done[key] for key in done["job"]["review"]} == done["job"]["review"]


def test_an_adversarial_review_looks_at_its_focus(desk: Desk) -> None:
    focus = "the `retries`: $(touch PWNED)\nand {{CHANGE}} grüße"
    desk.change("adversary")
    desk.plan("adversary", answer("adversary.txt"))
    shown = desk.machine.ok("adversarial-review", "-", stdin=focus)
    assert shown.startswith("## Job: adversarial-review-")
    assert "**Needs attention** (1 high)" in shown
    prompt = desk.model.asked["adversary"][0].user_texts[0]
    assert f"begins ===\n{focus}\n===" in prompt
    assert "Try to break a change" in prompt
    assert not (desk.machine.workspace / "PWNED").exists()


def test_the_model_can_write_with_no_tool_at_all(desk: Desk) -> None:
    workspace, secret = desk.machine.workspace, desk.machine.home / "secret.txt"
    secret.write_text("the secret")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("bash", {"command": "echo x > by-bash.txt", "description": "t"}),
        ("write", {"filePath": str(workspace / "by-write.txt"), "content": "x"}),
        ("scribe_note", {"path": str(workspace / "by-mcp.txt")}),
        ("scribble", {}),
    ]
    further: list[tuple[str, dict[str, Any]]] = [
        ("edit", {"filePath": str(workspace / "kept.py"), "oldString": "x = 1", "newString": "x = 2"}),
        ("apply_patch", {"patchText": "*** Begin Patch\n*** Add File: by-patch.txt\n+x\n*** End Patch"}),
        ("patch", {"patchText": "*** Begin Patch\n*** Add File: by-patch.txt\n+x\n*** End Patch"}),
        ("task", {"description": "t", "prompt": "write a file", "subagent_type": "general"}),
        ("webfetch", {"url": desk.machine.model.base_url, "format": "text"}),
        ("todowrite", {"todos": []}),
        ("skill", {"name": "x"}),
        ("read", {"filePath": str(secret)}),
    ]
    desk.change("writing")
    desk.plan("writing", at_once([*calls, *further], answer("writing.txt")))
    before = desk.digest()
    job = desk.ended(desk.machine.ok("review", "--background", OPENCODE_COMPANION_PERMISSIONS="relay").strip())
    assert desk.digest() == before
    assert (job["status"], job["review"]["verdict"], job["files"]) == ("completed", "needs-attention", [])
    asked = desk.model.asked["writing"]
    assert {tuple(sorted(request.tools)) for request in asked} == {("glob", "grep", "read")}
    assert len(asked[-1].tool_results) == len(calls) + len(further)
    for result in asked[-1].tool_results[:-1]:
        assert "unavailable tool" in result
    assert "the secret" not in asked[-1].tool_results[-1]

    # The same calls of a task do write: it is the rules that keep a review from it.
    desk.machine.play("write all", at_once(calls, "done"))
    desk.ended(desk.machine.submit("write all"))
    made = {"by-bash.txt", "by-write.txt", "by-mcp.txt", "by-tool.txt"}
    assert made < set(os.listdir(workspace))
    for name in made:
        (workspace / name).unlink()


def test_of_a_large_change_the_model_reads_the_patches_itself(desk: Desk) -> None:
    def script(word: str) -> Script:
        def reads_the_patch(request: ChatRequest, wire: Wire) -> None:
            folder = folder_in(request)
            calls: list[tuple[str, dict[str, Any]]] = [
                ("read", {"filePath": folder}),
                ("glob", {"pattern": "*.diff", "path": folder}),
                ("grep", {"pattern": "needle", "path": folder}),
                ("read", {"filePath": f"{folder}/0001-{word}.txt.diff", "offset": 40_000}),
                ("read", {"filePath": str(Path(folder).parent.parent / "jobs.db")}),
            ]
            at_once(calls, answer(f"{word}.txt", line_start=40_001, line_end=40_001))(request, wire)

        return reads_the_patch

    def folder_in(request: ChatRequest) -> str:
        found = re.search(r"did not look at:\n\n(/.+)$", request.user_texts[0], re.MULTILINE)
        assert found
        return found[1]

    text = "a line\n" * 40_000 + "the needle\n"
    assert len(text) > INLINE_BYTES
    started = {
        word: desk.start(word, script(word), text=text, OPENCODE_COMPANION_PERMISSIONS=word)
        for word in ("auto", "relay")
    }
    desk.clean()
    for word, job_id in started.items():
        job = desk.ended(job_id)
        assert (job["status"], job["review"]["warning"]) == ("completed", None)
        first, last = desk.model.asked[word][0], desk.model.asked[word][-1]
        assert len(first.user_texts[0]) < 10_000
        assert "needle" not in first.user_texts[0]
        assert f"A {word}.txt +40001 −0" in first.user_texts[0]
        listing, glob, grep, read, store = last.tool_results
        assert f"0001-{word}.txt.diff" in listing
        # Without a ripgrep, which opencode would download, these two cannot work; they are allowed to.
        assert f"0001-{word}.txt.diff" in glob or "ripgrep" in glob
        assert "+the needle" in grep or "ripgrep" in grep
        assert "+the needle" in read
        assert "prevents you from using" in store
        assert not Path(folder_in(first)).exists()
    assert list((desk.machine.data / "reviews").iterdir()) == []


def test_a_cancelled_correction_is_a_cancelled_job(desk: Desk) -> None:
    def hanging(request: ChatRequest, wire: Wire) -> None:
        desk.machine.model.closing.wait(120)

    job_id = desk.start("hanging", PROSE, hanging)
    desk.until_asked("hanging", 2)
    desk.machine.ok("cancel", job_id)
    job = desk.machine.job(job_id)
    assert (job["status"], job["review"], job["result"]) == ("cancelled", None, PROSE)


@pytest.mark.parametrize(("victim", "times"), [("supervisor", 2), ("server", 3)])
def test_what_dies_during_the_correction_changes_nothing(desk: Desk, victim: str, times: int) -> None:
    goes_on = threading.Event()

    def held(request: ChatRequest, wire: Wire) -> None:
        goes_on.wait(60)
        wire.text(answer(f"orphan-{victim}.txt"))
        wire.finish()

    job_id = desk.start(f"orphan-{victim}", PROSE, held)
    desk.until_asked(f"orphan-{victim}", 2)
    kill(desk.machine.supervisors() if victim == "supervisor" else desk.machine.servers())
    goes_on.set()
    job = desk.machine.finished(job_id)
    assert (job["status"], job["recovered"], job["review"]["warning"]) == ("completed", True, None)
    assert job["review"]["findings"][0]["file"] == f"orphan-{victim}.txt"
    assert len(desk.model.asked[f"orphan-{victim}"]) == times


def test_a_correction_that_was_stored_but_not_sent_is_sent_once(desk: Desk) -> None:
    goes_on = threading.Event()

    def held(request: ChatRequest, wire: Wire) -> None:
        goes_on.wait(60)
        wire.text(PROSE)
        wire.finish()

    job_id = desk.start("unsent", held, answer("unsent.txt"))
    desk.until_asked("unsent", 1)
    kill(desk.machine.supervisors())
    note = "Stored before the crash: one JSON object, please."
    with Store(str(desk.machine.data)) as store:
        assert store.update(job_id, followup=Followup(new_message_id(), new_part_id(), note))
    goes_on.set()
    desk.machine.until(lambda: no_session_is_busy(desk.machine))
    job = desk.machine.finished(job_id)
    assert (job["status"], job["review"]["warning"]) == ("completed", None)
    assert [request.user_texts[1:] for request in desk.model.asked["unsent"]] == [[], [note]]


def kill(victims: list[psutil.Process]) -> None:
    for process in victims:
        process.kill()
        process.wait(5)


def no_session_is_busy(machine: Machine) -> bool:
    with Store(str(machine.data)) as store:
        server = store.server(os.path.realpath(machine.workspace))
    assert server is not None
    answer = httpx.get(
        f"{server['url']}/session/status",
        params={"directory": os.path.realpath(machine.workspace)},
        auth=("opencode", server["password"]),
        trust_env=False,
    )
    return bool(answer.json() == {})


@pytest.mark.parametrize("permissions", ["auto", "relay"])
def test_a_task_that_goes_on_from_a_review_may_work(
    desk: Desk, jobs: dict[str, dict[str, Any]], permissions: str
) -> None:
    made = desk.machine.workspace / f"mended-{permissions}.txt"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("write", {"filePath": str(made), "content": "x"}),
        ("bash", {"command": f"echo y >> {made.name}", "description": "t"}),
    ]
    desk.machine.play(f"mend it, {permissions}", tools(calls, "Mended."))
    review = jobs["valid"]
    job = desk.ended(
        desk.machine.submit(
            f"mend it, {permissions}", "--resume", review["id"], OPENCODE_COMPANION_PERMISSIONS=permissions
        )
    )
    assert (job["status"], job["type"], job["result"], job["review"]) == ("completed", "task", "Mended.", None)
    assert job["opencodeSessionId"] == review["opencodeSessionId"]
    assert "valid.txt" in desk.machine.model.requests[-1].user_texts[0]
    assert made.read_text() == "xy\n"
    made.unlink()
