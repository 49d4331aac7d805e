"""Servers: the user's own, several at once, and those that are not what they should be."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from machine import Machine, bash

PASSWORD = "pässword with spaces"


@contextmanager
def users_server(machine: Machine) -> Iterator[str]:
    """A server that the user started, with a password; yields its address."""
    process = subprocess.Popen(
        [machine.env["OPENCODE_BIN"], "serve", "--hostname", "127.0.0.1", "--port", "0"],
        cwd=machine.home,
        env={**machine.env, "OPENCODE_SERVER_PASSWORD": PASSWORD},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if address := re.search(r"listening on (http://\S+)", line):
                yield address[1]
                break
        assert process.poll() is None, "the companion must not end a server that is not its own"
    finally:
        process.kill()
        process.wait()


@contextmanager
def impostor(answers: dict[str, tuple[int, str, str]]) -> Iterator[str]:
    """Something else that listens: path to (status, content type, body)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = (200, "text/html", "<html>hello</html>")
            status, kind, body = answers.get(self.path.partition("?")[0], page)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def task(machine: Machine, url: str, password: str = PASSWORD) -> dict[str, Any]:
    """A job on the server at `url`, ended."""
    env = {"OPENCODE_SERVER_URL": url, "OPENCODE_SERVER_PASSWORD": password, "OPENCODE_SERVER_IDLE_EXIT_MS": "0"}
    return machine.finished(machine.submit("hello", **env))


def test_a_server_of_the_users_is_used_and_left_running(machine: Machine) -> None:
    with users_server(machine) as url:
        job = task(machine, url)
        assert (job["status"], job["result"]) == ("completed", "You said: hello")
        assert machine.servers() == []
        refused = task(machine, url, "wrong")
        assert (refused["status"], refused["reason"]) == ("failed", "server_auth")
        assert "OPENCODE_SERVER_PASSWORD" in refused["errorMessage"]
        assert PASSWORD not in str(refused)


def test_a_server_that_is_not_there(machine: Machine) -> None:
    with impostor({}) as url:
        pass
    job = task(machine, url)
    assert (job["status"], job["reason"]) == ("failed", "server_unreachable")
    assert "OPENCODE_SERVER_URL" in job["errorMessage"]


IMPOSTORS: dict[str, tuple[dict[str, tuple[int, str, str]], str]] = {
    "a web page": ({}, "no opencode server"),
    "a 2.x server": ({"/api/info": (200, "application/json", '{"version": "2.0.20"}')}, "2.0.20"),
    "an old server": (
        {"/global/health": (200, "application/json", '{"healthy": true, "version": "1.3.2"}')},
        "1.15.13",
    ),
}


@pytest.mark.parametrize(("answers", "words"), IMPOSTORS.values(), ids=IMPOSTORS)
def test_something_else_answers_there(machine: Machine, answers: dict[str, tuple[int, str, str]], words: str) -> None:
    with impostor(answers) as url:
        job = task(machine, url)
    assert (job["status"], job["reason"]) == ("failed", "server_version")
    assert words in job["errorMessage"]


def test_two_workspaces_of_one_home_have_a_server_each(own_machine: Machine, tmp_path: Path) -> None:
    other = tmp_path / "other project"
    other.mkdir()
    first = own_machine.submit("in the first")
    second = own_machine.ok("task", "--background", "--cwd", str(other), "--", "in the second").strip()
    assert own_machine.finished(first)["result"] == "You said: in the first"
    assert own_machine.finished(second)["result"] == "You said: in the second"
    assert own_machine.job(second)["workspaceRoot"] == os.path.realpath(other)
    assert len(own_machine.supervisors()) == 2


def test_a_configuration_that_opencode_cannot_read(own_machine: Machine) -> None:
    own_machine.config.write_text('{"model": ')
    job = own_machine.finished(own_machine.submit("hello"))
    assert (job["status"], job["reason"]) == ("failed", "config_unreadable")
    assert "opencode.json" in job["errorMessage"]


def test_a_workspace_that_is_gone_by_the_time_its_job_is_taken_up(own_machine: Machine) -> None:
    own_machine.play("slow", bash("sleep 60"))
    job_id = own_machine.submit("slow")
    own_machine.until_tool_runs(job_id)
    own_machine.stop()
    own_machine.workspace.rename(own_machine.workspace.with_name("moved"))
    own_machine.workspace = own_machine.home
    job = own_machine.finished(job_id)
    assert (job["status"], job["reason"]) == ("failed", "workspace_gone")


def test_a_program_that_is_no_opencode(own_machine: Machine, tmp_path: Path) -> None:
    program = tmp_path / "opencode"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 1.18.33 && exit 0\necho "cannot do that" >&2\nexit 3\n')
    program.chmod(0o755)
    job = own_machine.finished(own_machine.submit("hello", OPENCODE_BIN=str(program)))
    assert (job["status"], job["reason"]) == ("failed", "server_start")
    assert "cannot do that" in job["errorMessage"]
