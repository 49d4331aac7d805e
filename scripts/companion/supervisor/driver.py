"""Drives one job from `queued` to its end: observe, judge, act, and again."""

from __future__ import annotations

import asyncio
import difflib
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from companion.failures import classify, one_line
from companion.jobs import Activity, Blocked, Ending, Followup, Job, now_ms
from companion.judge import (
    Answer,
    Block,
    Continue,
    Correct,
    End,
    Nudge,
    Reap,
    Resend,
    Stop,
    Verdict,
    judge,
    not_worse,
    produced,
    wanted_end,
)
from companion.observation import IDLE, Ask, Failure, Observation, SessionState, ToolCall
from companion.opencode.adapter import (
    Adapter,
    Asked,
    AskSettled,
    Catalog,
    Event,
    PartSeen,
    ServerError,
    ServerUnreachable,
    SessionFailed,
    StateChanged,
    StepSeen,
    TextGrew,
    Turn,
)
from companion.opencode.v1 import new_message_id, new_part_id
from companion.policy import session_rules
from companion.review.checker import Checker
from companion.safety import safety_header
from companion.states import Phase, Status
from companion.store import Store
from companion.supervisor.children import Child, ProcessWatch
from companion.supervisor.events import EventHub
from companion.supervisor.server import Server, ServerTrouble
from companion.supervisor.turnlog import TurnLog, activity_of

# How often progress is written at most: every write is a disk flush.
PROGRESS_EVERY_MS = 1_000
# A living job says so at least this often; after a crash only a job seen alive recently is resumed.
ALIVE_EVERY_MS = 60_000
ABORT_LIMIT_S = 3.0
REAP_GRACE_S = 1.0
# A session that is still busy after so many aborts will not stop; its processes are gone, and the job ends.
STOP_TRIES = 2
STREAM_LIMIT_S = 5.0
# How soon a decision that waits for the clock (settling, a limit) is looked at again.
RECHECK_MS = 250
RECONCILE_MESSAGES = 4
BEGIN_LIMIT_S = 120.0
PROGRESS_LINES = 8

T = TypeVar("T")


class JobDriver:
    """One job's task in the supervisor. What must survive is in the store; what is here is rebuilt from the server."""

    def __init__(self, job: Job, store: Store, server: Server, hub: EventHub, watch: ProcessWatch) -> None:
        self.job = job
        self._store = store
        self._server = server
        self._hub = hub
        self._watch = watch
        self._wake = asyncio.Event()
        self._log = TurnLog()
        self._state: SessionState = IDLE
        self._state_told_at = 0
        self._idle_since: int | None = None
        self._retrying_since: int | None = None
        self._sent_at = job.started_at or job.created_at
        self._moved_at = now_ms()
        self._activity: Activity | None = job.activity
        self._progress = list(job.progress)
        self._asks: dict[str, Ask] = {}
        self._asks_told_at = 0
        self._checker = Checker.of(job, store) if job.is_review else None
        self._failure: Failure | None = None
        self._live_children: int | None = None
        self._processless_polls = 0
        self._holders: tuple[Child, ...] = ()
        self._stops = 0
        self._stale = True
        self._reconciled_at = 0
        self._unwritten = False
        self._written_at = 0
        self._written: tuple[object, ...] = ()

    # What the supervisor and the event stream tell

    def poke(self) -> None:
        """Something may have changed: look again now."""
        self._wake.set()

    def reconnected(self) -> None:
        """Events may have been missed."""
        self._stale = True
        self.poke()

    def disconnected(self) -> None:
        """The stream is gone: look whether the server is, too."""
        self._stale = True
        self.poke()

    def event(self, event: Event, own: bool) -> None:
        """Take in what the server says of this job's session, or of a subagent's."""
        self._moved_at = now_ms()
        if isinstance(event, Asked):
            self._asks_told_at = self._moved_at
            self._take_asks([*self._asks.values(), event.ask])
            self.poke()
        elif isinstance(event, AskSettled):
            self._asks_told_at = self._moved_at
            self._asks.pop(event.ask_id, None)
            self._watch.answered(self.job.id)
            self.poke()
        elif isinstance(event, PartSeen):
            if event.step_id in self._log.members:
                return  # our own prompt coming back
            if isinstance(event.part, ToolCall):
                self._watch.saw(self.job.id, event.part_id, event.part)
            # Of a subagent only the tools are told: its texts are not part of the answer.
            tells = self._log.part(event.step_id, event.part_id, event.part) if own else not isinstance(event.part, str)
            if tells:
                self._note(activity_of(event.part, self._moved_at))
        elif own:
            self._own_event(event)

    def _own_event(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self._state_told_at = self._moved_at
            if self._set_state(event.state):
                self.poke()
        elif isinstance(event, TextGrew):
            self._log.grow(event.step_id, event.part_id, event.text)
        elif isinstance(event, StepSeen):
            if event.answers_to in self._log.members:
                self._log.head(event.head)
                if event.head.finish == "unknown":
                    self.poke()
            else:
                self._stale = True
        elif isinstance(event, SessionFailed):
            self._failure = event.failure
            self.poke()

    # The way of a job

    async def run(self) -> None:
        """Drive the job until it has ended."""
        try:
            adapter = await self._anyhow(self._begin)
            while adapter is not None:
                try:
                    adapter = await self._act(await self._look(adapter), adapter)
                except ServerUnreachable as error:
                    self._say(error)
                    self._stale = True  # the next look tells whether the server is gone
        except ServerTrouble as trouble:
            self._refresh()
            self._give_up(wanted_end(self.job) or Ending(Status.FAILED, trouble.reason, one_line(str(trouble), 800)))
        except ServerError as error:
            known = classify(Failure("ServerError", str(error)))
            self._give_up(Ending(Status.FAILED, known.reason, known.message))
        finally:
            self._watch.forget(self.job.id)
            if self.job.opencode_session:
                self._hub.forget(self.job.opencode_session)

    async def _anyhow(self, hand_over: Callable[[], Awaitable[T]]) -> T:
        """Hand a turn to opencode, also if the server dies or freezes meanwhile: then to the next one."""
        deadline = asyncio.get_running_loop().time() + BEGIN_LIMIT_S
        while True:
            try:
                return await hand_over()
            except ServerUnreachable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                self._say(error)
                self._server.answered(False)
                await asyncio.sleep(RECHECK_MS / 1000)

    async def _begin(self) -> Adapter | None:
        """Hand the job to opencode, or find its turn again. None if it has ended meanwhile."""
        if self.job.status is Status.QUEUED and not self._store.start(self.job.id):
            return None
        recovered = self.job.status is Status.RUNNING
        if recovered:
            self._store.update(self.job.id, recovered=True, phase=Phase.RECOVERING.value)
        self._refresh()
        adapter = await self._server.adapter()
        await self._hub.wait_connected(STREAM_LIMIT_S)
        if self.job.opencode_session is None and not await self._prepare(adapter):
            return None
        assert self.job.opencode_session
        self._log = TurnLog(self._ours())
        self._hub.listen(self.job.opencode_session, self)
        if recovered:
            for child in await adapter.children(self.job.opencode_session):
                self._hub.adopt(child, self.job.opencode_session)
            await self._reconcile(adapter)
        if self.job.followup is not None and not self._log.user_message:
            await self._follow_up(adapter)
        elif not self._log.steps():
            await self._send(adapter)
        return adapter

    def _ours(self) -> tuple[str, ...]:
        """The ids of our messages in the turn, oldest first."""
        assert self.job.message_id
        return (self.job.message_id, self.job.followup.message_id) if self.job.followup else (self.job.message_id,)

    async def _prepare(self, adapter: Adapter) -> bool:
        """Choose agent and model, make or reopen the session, and write down the ids before anything is sent."""
        catalog = await self._server.catalog()
        if _unknown(self.job, catalog):
            catalog = await self._server.catalog(fresh=True)
        unknown = _unknown(self.job, catalog)
        if unknown is not None:
            self._finish(unknown, None)
            return False
        previous = self._store.get(self.job.resume_of) if self.job.resume_of else None
        agent = self.job.agent or (previous and previous.agent) or catalog.default_agent
        known_agent = catalog.agents.get(agent)
        model = self.job.model or (known_agent and known_agent.model) or (previous and previous.model)
        readable = self._checker.folder if self._checker else None
        rules = session_rules(self.job, known_agent.rules if known_agent else (), readable)
        if previous is not None and previous.opencode_session:
            session = previous.opencode_session
            await adapter.update_session(session, rules, self.job.id)
        else:
            session = await adapter.create_session(self.job.title, rules, self.job.id)
        kept = self._store.update(
            self.job.id,
            opencode_session=session,
            message_id=new_message_id(),
            part_id=new_part_id(),
            agent=agent,
            model=model or catalog.default_model,
            alive_at=now_ms(),
        )
        self._refresh()
        return kept

    async def _send(self, adapter: Adapter) -> None:
        job = self.job
        assert job.opencode_session and job.message_id and job.part_id and job.agent
        self._sent_at = self._moved_at = now_ms()
        self._idle_since = self._failure = None
        self._processless_polls, self._holders = 0, ()
        newest = job.followup or Followup(job.message_id, job.part_id, job.prompt)
        turn = Turn(
            session=job.opencode_session,
            message_id=newest.message_id,
            part_id=newest.part_id,
            text=newest.text,
            system=safety_header(),
            agent=job.agent,
            model=job.model,
            variant=job.variant,
        )
        await adapter.send(turn)
        self._set_state(self._state)

    async def _look(self, adapter: Adapter) -> Verdict:
        """Wait for something to happen, or for the next reconcile; then observe and judge."""
        now = now_ms()
        due_at = self._reconciled_at + self.job.limits.poll
        if self._waits_for_clock():
            due_at = min(due_at, now + RECHECK_MS)
        if self._unwritten:
            due_at = min(due_at, self._written_at + PROGRESS_EVERY_MS)
        try:
            await asyncio.wait_for(self._wake.wait(), max(0, due_at - now) / 1000)
        except asyncio.TimeoutError:
            pass
        self._wake.clear()
        due = now_ms() >= self._reconciled_at + self.job.limits.poll
        reconcile = due or (self._stale and not self._server.silent)
        reachable = await self._reconcile(adapter) if reconcile else self._server.serves(adapter)
        self._refresh()
        await self._check_answer()
        verdict = judge(self.job, self._observe(reachable), now_ms())
        if isinstance(verdict, End | Correct) and reachable and self._log.user_message:
            # What ends a job is read from the server's own record, not pieced together from events.
            reachable = await self._read_turn(adapter, whole=True)
            await self._check_answer()
            verdict = judge(self.job, self._observe(reachable), now_ms())
        return verdict

    async def _act(self, verdict: Verdict, adapter: Adapter) -> Adapter | None:
        if not isinstance(verdict, Continue | Block):
            self._say(_in_the_log(verdict))
        if isinstance(verdict, End):
            if self._server.alive():
                await self._add_up(adapter)
            self._finish(verdict.ending, verdict.text)
            return None
        if isinstance(verdict, Stop):
            self._stops += 1
            if not await self._stop(verdict.ending, adapter) or self._stops >= STOP_TRIES:
                self._give_up(verdict.ending)
        elif isinstance(verdict, Resend):
            return await self._resume()
        elif isinstance(verdict, Reap):
            await asyncio.to_thread(self._watch.end, self._holders, REAP_GRACE_S)
            self._processless_polls = 0
        elif isinstance(verdict, Nudge | Correct):
            self._store.update(self.job.id, followup=Followup(new_message_id(), new_part_id(), verdict.note))
            self._refresh()
            await self._follow_up(adapter)
        elif isinstance(verdict, Answer):
            await self._reply(adapter, verdict.ask, verdict.reply.reply, verdict.reply.message)
        elif isinstance(verdict, Block):
            await self._wait_for_reply(adapter, verdict.ask)
        elif isinstance(verdict, Continue):
            self._report(verdict.phase)
        return adapter if self.job.active else None

    # Observing

    async def _reconcile(self, adapter: Adapter) -> bool:
        """Ask the server how things stand. False if it is gone."""
        whole, self._stale = self._stale, False
        self._reconciled_at = now_ms()
        if not await self._read_turn(adapter, whole):
            return False
        try:
            around = await self._server.surroundings(adapter)
            if around.at > self._state_told_at:
                self._set_states(around.states)
            if around.asks is not None and around.at > self._asks_told_at:
                await self._sort_asks(around.asks, adapter)
            self._look_at_processes()
            return True
        except ServerUnreachable:
            return self._missed(adapter)

    async def _read_turn(self, adapter: Adapter, whole: bool) -> bool:
        """Read the turn from the server's record. False if the server is gone."""
        assert self.job.opencode_session
        before = self._log.steps()
        newest = None if whole else RECONCILE_MESSAGES
        try:
            self._log.take(await adapter.turn(self.job.opencode_session, self._ours(), newest))
        except ServerUnreachable:
            return self._missed(adapter)
        self._server.answered(True)
        if self._log.steps() != before:
            self._moved_at = now_ms()
        return True

    def _missed(self, adapter: Adapter) -> bool:
        """The server did not answer: look again later, unless it is gone or another one has taken its place."""
        self._stale = True
        self._server.answered(False)
        return self._server.managed and self._server.serves(adapter)

    async def _sort_asks(self, asks: Iterable[Ask], adapter: Adapter) -> None:
        """Pick those of this job's session and of its subagents'."""
        assert self.job.opencode_session
        family = self._hub.family(self.job.opencode_session)
        for ask in asks:
            if ask.session not in family:
                await self._hub.resolve(ask.session, adapter)
        family = self._hub.family(self.job.opencode_session)
        self._take_asks([ask for ask in asks if ask.session in family])

    def _take_asks(self, asks: Iterable[Ask]) -> None:
        """These are pending; each keeps the time at which it was first seen."""
        known, now = self._asks, now_ms()
        self._asks = {ask.id: known.get(ask.id) or replace(ask, seen_at=now) for ask in asks}

    def _look_at_processes(self) -> None:
        """A live child resets the idle clock; a running command without its shell counts towards being stuck."""
        for part_id, tool in self._log.tools(self._sent_at):
            self._watch.saw(self.job.id, part_id, tool)
        sight = self._watch.look(self.job.id, self._server.pid) if self._server.pid is not None else None
        self._live_children = sight.live if sight else None
        self._holders = sight.holders if sight else ()
        stuck = sight is not None and sight.shell_gone and not self._asks
        self._processless_polls = self._processless_polls + 1 if stuck else 0
        if self._live_children and not stuck:
            self._moved_at = now_ms()

    def _set_states(self, states: Mapping[str, SessionState]) -> None:
        assert self.job.opencode_session
        self._set_state(states.get(self.job.opencode_session, IDLE))

    def _set_state(self, state: SessionState) -> bool:
        """Take note of the session's state. True if it changed."""
        changed = state != self._state
        self._state = state
        if state.kind != "idle":
            self._idle_since = None
        elif self._idle_since is None or changed:
            self._idle_since = now_ms()
        if state.kind != "retry":
            self._retrying_since = None
        elif self._retrying_since is None:
            self._retrying_since = now_ms()
        return changed

    def _observe(self, reachable: bool) -> Observation:
        return Observation(
            reachable=reachable,
            state=self._state,
            idle_since=self._idle_since,
            retrying_since=self._retrying_since,
            sent_at=self._sent_at,
            user_message=self._log.user_message,
            superseded=self._log.superseded,
            steps=self._log.steps(),
            asks=tuple(self._asks.values()),
            failure=self._failure,
            moved_at=self._moved_at,
            live_children=self._live_children,
            processless_polls=self._processless_polls,
            holders=len(self._holders),
            correction=self._checker.correction if self._checker else "",
        )

    async def _check_answer(self) -> None:
        """Where answers are checked: look at the newest one. It may take reading files."""
        if self._checker is not None:
            steps = self._log.steps()
            text = steps[-1].text if steps and steps[-1].finish == "stop" else ""
            await asyncio.to_thread(self._checker.look, text)

    def _waits_for_clock(self) -> bool:
        """Whether a decision only waits for time to pass."""
        return self._idle_since is not None or self._failure is not None

    # Acting

    async def _stop(self, ending: Ending, adapter: Adapter) -> bool:
        """End the run, and then what it left behind. The intention is on disk first. False if the server is silent."""
        if self.job.ending is None:
            self._store.update(self.job.id, ending=ending, phase=Phase.CANCELLING.value)
        answered = await self._abort(adapter)
        if self._server.pid is not None:
            leftovers = self._watch.leftovers(self.job.id, self._server.pid)
            await asyncio.to_thread(self._watch.end, leftovers, REAP_GRACE_S)
        return answered

    async def _abort(self, adapter: Adapter) -> bool:
        """Stop the run and wait until the server says so. False if it does not answer."""
        answered = True
        assert self.job.opencode_session
        try:
            await asyncio.wait_for(adapter.abort(self.job.opencode_session), ABORT_LIMIT_S)
            deadline = asyncio.get_running_loop().time() + ABORT_LIMIT_S
            while self._state.kind != "idle" and asyncio.get_running_loop().time() < deadline:
                self._wake.clear()
                try:
                    await asyncio.wait_for(self._wake.wait(), RECHECK_MS / 1000)
                except asyncio.TimeoutError:
                    self._set_states(await adapter.states())
            for ask in list(self._asks.values()):
                await adapter.answer(ask, "reject", "The job has ended.")
        except (ServerUnreachable, asyncio.TimeoutError):
            answered = False  # a server that is gone or frozen runs nothing
        # Whatever the server says by now, the run was given its time: the job ends as decided.
        self._set_state(IDLE)
        self.poke()
        return answered

    async def _follow_up(self, adapter: Adapter) -> None:
        """Stop the run if it hangs, and send the second message of the turn."""
        if self._state.kind != "idle":
            await self._abort(adapter)
        self._asks.clear()
        self._log.members |= frozenset(self._ours())
        await self._send(adapter)

    async def _resume(self) -> Adapter:
        """The run was lost: send the same message again, to the same server or a new one."""
        self._store.update(
            self.job.id, resends=self.job.resends + 1, recovered=True, phase=Phase.RECOVERING.value, alive_at=now_ms()
        )
        self._refresh()
        return await self._anyhow(self._send_again)

    async def _send_again(self) -> Adapter:
        adapter = await self._server.adapter()
        await self._hub.wait_connected(STREAM_LIMIT_S)
        self._asks.clear()
        await self._send(adapter)
        return adapter

    async def _reply(self, adapter: Adapter, ask: Ask, reply: str, message: str) -> None:
        self._asks.pop(ask.id, None)
        self._asks_told_at = now_ms()
        await adapter.answer(ask, reply, message)
        self._watch.answered(self.job.id)
        self.poke()

    async def _wait_for_reply(self, adapter: Adapter, ask: Ask) -> None:
        given = self._store.replies(self.job.id)
        for pending in list(self._asks.values()):
            if pending.id in given:
                reply, message = given[pending.id]
                await self._reply(adapter, pending, reply, message or "")
                self._store.update(self.job.id, blocked=None)
                return
        blocked = Blocked(ask.kind, ask.id, ask.summary)
        if self.job.blocked != blocked:
            self._store.update(self.job.id, blocked=blocked, phase=Phase.WAITING.value, alive_at=now_ms())

    async def _add_up(self, adapter: Adapter) -> None:
        """Add the subagents' tokens and cost to the turn's own."""
        assert self.job.opencode_session
        tokens, cost = self._log.usage()
        try:
            for child in self._hub.family(self.job.opencode_session) - {self.job.opencode_session}:
                usage = await adapter.usage(child)
                tokens, cost = tokens.plus(usage.tokens), cost + usage.cost
        except ServerError:
            pass  # the answer matters more than the sum
        self.job = self.job._replace(tokens=tokens, cost=cost)

    # Writing down

    def _say(self, what: object) -> None:
        print(f"{now_ms()} {self.job.id} {what}", flush=True)

    def _refresh(self) -> None:
        self.job = self._store.get(self.job.id) or self.job

    def _note(self, activity: Activity | None) -> None:
        if activity is None:
            return
        if self._activity is None or (self._activity.tool, self._activity.detail) != (activity.tool, activity.detail):
            self.poke()
        self._activity = activity
        self._unwritten = True
        if activity.tool != "answer":
            line = f"{activity.tool}: {activity.detail}" if activity.detail else activity.tool
            if self._progress[-1:] != [line]:
                self._progress = [*self._progress, line][-PROGRESS_LINES:]

    def _report(self, phase: Phase) -> None:
        """Write what has changed, so that a crash or a look from outside finds it; not more often than needed."""
        now = now_ms()
        tokens, cost = self._log.usage()
        current = (phase, self._activity, tuple(self._progress), tokens, cost, self._partial())
        due = now - self._written_at >= (PROGRESS_EVERY_MS if current != self._written else ALIVE_EVERY_MS)
        self._unwritten = current != self._written and not due
        if not due and self.job.blocked is None:
            return
        self._store.update(
            self.job.id,
            phase=phase.value,
            activity=self._activity,
            progress=tuple(self._progress),
            tokens=tokens,
            cost=cost,
            result=self._partial(),
            blocked=None,
            # Only what runs is alive: a run that was lost long ago must not look fresh because someone looks at it.
            alive_at=now if self._state.kind != "idle" else self.job.alive_at,
        )
        self._written_at, self._written = now, current

    def _partial(self) -> str | None:
        return produced(self._observe(True)) or self.job.result

    def _give_up(self, ending: Ending) -> None:
        """End the job with what there is by now."""
        end = not_worse(End(ending, self._partial()), self.job, self._observe(True))
        self._finish(end.ending, end.text)

    def _finish(self, ending: Ending, text: str | None) -> None:
        result, review = text if text is not None else self.job.result, None
        if self._checker is not None:
            if ending.status is Status.COMPLETED and text is not None:
                result, review = self._checker.outcome(text)
            self._checker.close()
        tokens, cost = self._log.usage()
        if self.job.tokens.input + self.job.tokens.output > tokens.input + tokens.output:
            tokens, cost = self.job.tokens, self.job.cost
        self._store.finish(
            self.job.id,
            ending.status,
            ending.reason or None,
            result=result,
            review=review,
            error_message=ending.message or None,
            tokens=tokens,
            cost=cost,
            activity=self._activity,
            progress=tuple(self._progress),
            files=_relative(self._log.files(), self.job.workspace),
        )
        self._refresh()


def _in_the_log(verdict: Verdict) -> str:
    """A verdict without the words of users and models."""
    name = type(verdict).__name__
    if isinstance(verdict, End | Stop):
        return f"{name} {verdict.ending.status.value} {verdict.ending.reason}"
    if isinstance(verdict, Resend):
        return f"{name}: {verdict.why}"
    return f"{name} {verdict.ask.permission} {verdict.reply.reply}" if isinstance(verdict, Answer) else name


def _unknown(job: Job, catalog: Catalog) -> Ending | None:
    """Why the agent or the model of a job does not exist, with the nearest names; opencode itself says nothing."""
    if job.agent and job.agent not in catalog.agents:
        shown = [agent.name for agent in catalog.agents.values() if not agent.hidden]
        message = f"There is no agent {job.agent!r}. {_nearest(job.agent, shown)}"
        return Ending(Status.FAILED, "unknown_agent", message)
    if job.model and job.model not in catalog.models:
        message = (
            f"There is no model {job.model!r} among the configured providers. {_nearest(job.model, catalog.models)}"
        )
        return Ending(Status.FAILED, "unknown_model", message)
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = (
        difflib.get_close_matches(name, known, 3, 0.4)
        or [candidate for candidate in known if name.rsplit("/", 1)[-1] in candidate][:3]
    )
    if near:
        return f"Nearest: {', '.join(near)}."
    return f"Known: {', '.join(known[:8])}{', …' if len(known) > 8 else ''}." if known else "None is configured."


def _relative(paths: Iterable[str], workspace: str) -> tuple[str, ...]:
    inside = [os.path.relpath(path, workspace) if os.path.isabs(path) else path for path in paths]
    return tuple(sorted({re.sub(r"^\./", "", path) for path in inside}))
