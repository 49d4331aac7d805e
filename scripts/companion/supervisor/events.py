"""The one event stream of a supervisor, handed out to the jobs by session."""

from __future__ import annotations

import asyncio
from typing import Protocol

from companion.opencode.adapter import Adapter, Asked, ChildBegan, Event, ServerError

RECONNECT_S = 0.2


class Listener(Protocol):
    """A job that wants the events of its session and of its subagents' sessions."""

    def event(self, event: Event, own: bool) -> None:
        """An event; `own` is False for a subagent's."""

    def reconnected(self) -> None:
        """Events may have been missed."""

    def disconnected(self) -> None:
        """Events are being missed."""


class EventHub:
    """Reads the stream for as long as there is a server, and reconnects."""

    def __init__(self) -> None:
        self._listeners: dict[str, Listener] = {}
        self._roots: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._adapter: Adapter | None = None

    def follow(self, adapter: Adapter) -> None:
        """Read this server's stream from now on."""
        self.stop()
        self._adapter = adapter
        self._task = asyncio.create_task(self._run(adapter))

    def stop(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
        self._connected.clear()

    async def wait_connected(self, timeout_s: float) -> bool:
        """Whether the stream is connected within `timeout_s` seconds."""
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
            return True
        except asyncio.TimeoutError:
            return False

    def listen(self, session: str, listener: Listener) -> None:
        """Hand the events of this session, and of those that begin under it, to `listener`."""
        self._listeners[session] = listener

    def forget(self, session: str) -> None:
        """No more events of this session."""
        self._listeners.pop(session, None)
        self._roots = {child: root for child, root in self._roots.items() if root != session}

    def adopt(self, child: str, parent: str) -> None:
        """A session that was begun by another."""
        self._roots[child] = self._roots.get(parent, parent)

    def family(self, session: str) -> set[str]:
        """A session and all that began under it, as far as known."""
        return {session, *(child for child, root in self._roots.items() if root == session)}

    async def resolve(self, session: str, adapter: Adapter) -> None:
        """Find out whose subagent an unknown session is."""
        chain = [session]
        while chain[-1] not in self._listeners and chain[-1] not in self._roots:
            parent = await adapter.parent(chain[-1])
            if parent is None or parent in chain:
                return
            chain.append(parent)
        for child in chain[:-1]:
            self.adopt(child, chain[-1])

    async def _run(self, adapter: Adapter) -> None:
        while True:
            try:
                async for event in adapter.events():
                    if event is None:
                        self._connected.set()
                        for listener in list(self._listeners.values()):
                            listener.reconnected()
                    else:
                        await self._route(event, adapter)
            except ServerError:
                pass
            self._connected.clear()
            for listener in list(self._listeners.values()):
                listener.disconnected()
            await asyncio.sleep(RECONNECT_S)

    async def _route(self, event: Event, adapter: Adapter) -> None:
        if isinstance(event, ChildBegan):
            self.adopt(event.session, event.parent)
        if isinstance(event, Asked) and event.session not in self._listeners and event.session not in self._roots:
            try:
                await self.resolve(event.session, adapter)
            except ServerError:
                return  # the reconcile finds the ask in the list
        root = self._roots.get(event.session, event.session)
        listener = self._listeners.get(root)
        if listener is not None:
            listener.event(event, own=root == event.session)
