"""Jobs on the real opencode, with a scripted model: how soon they start and return, and what waiting costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from machine import NO_PUBLIC_MODELS, Machine, bash, echo, machine_in

from benchmarks.facts import memory_mb
from benchmarks.figures import Figure, Figures
from companion.demo.scripted_model import ChatRequest, Wire
from companion.opencode.adapter import StateChanged
from companion.opencode.v1 import OpenCodeV1
from companion.store import Store
from companion.supervisor import processes

# A command that waits has given up the processor this often only once it polls.
POLLS = 60
# The interval of the default settings; the tests' machine has a shorter one.
POLL_MS = "5000"


class Effort(NamedTuple):
    """How long to measure. `settle_s`: how long a new supervisor is left alone first; `waiting`: so many jobs wait."""

    warm: int
    cold: int
    new_homes: int
    windows: int
    window_s: float
    settle_s: float
    waiting: tuple[int, ...]


FULL = Effort(warm=15, cold=7, new_homes=3, windows=3, window_s=20.0, settle_s=5.0, waiting=(1, 5, 20))
QUICK = Effort(warm=2, cold=1, new_homes=1, windows=1, window_s=0.5, settle_s=0.5, waiting=(1, 3))


def measure(root: Path, effort: Effort) -> Figures:
    """Everything, on machines of its own below `root`."""
    first = []
    for n in range(1, effort.new_homes):
        with _users_machine(root / f"new-{n}") as machine:
            first.append(_to_request(machine, "first")[0])
    with _users_machine(root / "used") as machine:
        arrived, _, job_id = _to_request(machine, "first")
        first.append(arrived)
        machine.finished(job_id)
        figures = warm(machine, effort.warm)
        for count in effort.waiting:
            figures.update(waiting(machine, count, effort))
        cold = [_to_request(machine, f"cold {n}", stop=True)[0] for n in range(effort.cold)]
    label = "`task --background`, neither supervisor nor server there"
    return {
        "dispatch.firstEver": _ms("dispatch", f"{label}, opencode's first start in a new HOME", first),
        "dispatch.cold": _ms("dispatch", label, cold),
        **figures,
    }


@contextlib.contextmanager
def _users_machine(root: Path) -> Iterator[Machine]:
    """A machine whose opencode reads the public list of models, as everybody's does."""
    with machine_in(root) as machine:
        for name in NO_PUBLIC_MODELS:
            del machine.env[name]
        yield machine


def warm(machine: Machine, rounds: int) -> Figures:
    """Dispatch to a server that is there, and the way back of the answer to a command that waits already."""
    to_request, to_exit, byte_to_idle, idle_to_exit, byte_to_exit = [], [], [], [], []
    sent: list[float] = []
    release = threading.Event()

    def held(request: ChatRequest, wire: Wire) -> None:
        release.wait(60)
        echo(request, wire)
        sent.append(wire.last_byte_at)

    machine.play("round", held)
    with idle_events(machine) as idle_at:
        for n in range(rounds):
            release.clear()
            arrived, returned, job_id = _to_request(machine, f"round {n}")
            to_request.append(arrived)
            to_exit.append(returned)
            waiting = machine.popen("wait-and-result", job_id)
            _until_it_polls(machine, waiting)
            release.set()
            waiting.communicate(timeout=60)
            ended = time.monotonic()
            idle = machine.until(lambda: next((at for at in idle_at if at > sent[-1]), None))
            byte_to_idle.append(idle - sent[-1])
            idle_to_exit.append(ended - idle)
            byte_to_exit.append(ended - sent[-1])
    command = "`wait-and-result`"
    return {
        "dispatch.warm": _ms("dispatch", "`task --background`, server there", to_request),
        "dispatch.returns": _ms("dispatch", "the same command to its own end", to_exit),
        "return.lastByteToExit": _ms("return", f"last byte to the exit of {command}", byte_to_exit),
        "return.lastByteToIdle": _ms("return", "of it opencode's: last byte to its idle event", byte_to_idle),
        "return.idleToExit": _ms("return", f"of it ours: idle event to the exit of {command}", idle_to_exit),
    }


def _to_request(machine: Machine, text: str, stop: bool = False) -> tuple[float, float, str]:
    """Seconds from the start of `task --background` to the model's first request and to its own end; the job."""
    if stop:
        machine.stop()
    before = len(machine.model.requests)
    began = time.monotonic()
    job_id = machine.submit(text)
    returned = time.monotonic()
    arrived = machine.model.wait_for_requests(before + 1)[before].received_at
    if stop:
        machine.finished(job_id)
    return arrived - began, returned - began, job_id


def waiting(machine: Machine, count: int, effort: Effort) -> Figures:
    """Processes, memory, processor time and requests while `count` jobs run a command that says nothing."""
    machine.play("wait", bash("sleep 3600"))
    words = ["task", "--background", "--"]
    dispatches = [machine.popen(*words, f"wait {n}", OPENCODE_COMPLETION_POLL_MS=POLL_MS) for n in range(count)]
    ids = [dispatch.communicate(timeout=60)[0].strip() for dispatch in dispatches]
    commands = [machine.popen("wait-and-result", job_id, "--max-wait", "3600") for job_id in ids]
    for job_id in ids:
        machine.until_tool_runs(job_id)
    started = [_until_it_polls(machine, command) for command in commands]
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    # The supervisor says at its end how many requests it has made: one that leaves after it has settled tells how many
    # of them its start costs.
    at_start = _requests_of_a_supervisor(machine, effort.settle_s)
    for _ in range(effort.windows):
        supervisor = _new_supervisor(machine, effort.settle_s)
        before = _cpu_s(supervisor)
        time.sleep(effort.window_s)
        note("supervisorCpu", 100 * (_cpu_s(supervisor) - before) / effort.window_s)
        (server,) = machine.servers()
        ours = [supervisor, server, *started]
        note("processes", len(ours))
        note("jobProcesses", len(processes.marked(machine.key)) - 1)
        note("supervisorMemory", memory_mb(supervisor))
        note("serverMemory", memory_mb(server))
        for process in started:
            note("commandMemory", memory_mb(process))
        note("memory", sum(map(memory_mb, ours)))
        made = _leave(machine, supervisor) - at_start
        note("requests", max(0, made) * 60 / effort.window_s / count)
    commands += [machine.popen("cancel", job_id) for job_id in ids]
    for command in commands:
        command.communicate(timeout=60)
    jobs = f"{count} job{'s' if count > 1 else ''}"
    labels = {
        "processes": (f"{jobs}: supervisor, server and waiting commands", "processes"),
        "jobProcesses": (f"{jobs}: processes of the jobs' own commands", "processes"),
        "supervisorMemory": (f"{jobs}: supervisor", "MB"),
        "serverMemory": (f"{jobs}: `opencode serve`", "MB"),
        "commandMemory": (f"{jobs}: each waiting command", "MB"),
        "memory": (f"{jobs}: supervisor, server and waiting commands together", "MB"),
        "supervisorCpu": (f"{jobs}: supervisor's share of a core", "%"),
        "requests": (f"{jobs}: requests to the server a job and minute", "1/min"),
    }
    return {
        f"waiting.{count}.{name}": Figure("waiting", *labels[name], tuple(values)) for name, values in figures.items()
    }


def _new_supervisor(machine: Machine, settle_s: float) -> psutil.Process:
    """The supervisor that the waiting commands start once there is none, after `settle_s` seconds."""
    for process in machine.supervisors():
        _leave(machine, process)
    (supervisor,) = machine.until(machine.supervisors)
    time.sleep(settle_s)
    assert isinstance(supervisor, psutil.Process)
    return supervisor


def _requests_of_a_supervisor(machine: Machine, settle_s: float) -> int:
    return _leave(machine, _new_supervisor(machine, settle_s))


def _leave(machine: Machine, supervisor: psutil.Process) -> int:
    """Ask a supervisor to leave; how many requests it has made."""
    supervisor.terminate()
    assert not processes.wait_gone([supervisor], 30)
    (log,) = (machine.data / "logs").glob("supervisor-*.log")
    return int(log.read_text().rsplit(" requests to the server", 1)[0].rsplit(" ", 1)[1])


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _until_it_polls(machine: Machine, command: subprocess.Popen[str]) -> psutil.Process:
    """Wait until a waiting command has come to wait."""
    process = psutil.Process(command.pid)
    machine.until(lambda: process.num_ctx_switches().voluntary >= POLLS)
    return process


@contextlib.contextmanager
def idle_events(machine: Machine) -> Iterator[list[float]]:
    """The times (s, monotonic) at which the server said that a session is idle, as they come."""
    workspace = os.path.realpath(machine.workspace)
    with Store(str(machine.data)) as store:
        known = store.server(workspace)
    assert known is not None
    at: list[float] = []
    connected = threading.Event()
    loop = asyncio.new_event_loop()

    async def watch() -> None:
        adapter = OpenCodeV1(known["url"], "opencode", known["password"], workspace, 60)
        async for event in adapter.events():
            connected.set()
            if isinstance(event, StateChanged) and event.state.kind == "idle":
                at.append(time.monotonic())

    task = loop.create_task(watch())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert connected.wait(30), "the server's event stream could not be read"
        yield at
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def _ms(group: str, label: str, seconds: list[float]) -> Figure:
    return Figure(group, label, "ms", tuple(value * 1000 for value in seconds))
