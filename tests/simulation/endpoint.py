"""Simulated endpoints, and connections to them that may break at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from websockets.exceptions import ConnectionClosedError

from .loop import VirtualLoop
from .network import HOP, Process


class Connection:
    """One connection, as a publisher's session sees it."""

    def __init__(self, loop: VirtualLoop, process: Process, dice: random.Random) -> None:
        self.on_pong: Callable[[bytes], None] | None = None
        self.received: list[bytes] = []
        """What the endpoint has read, in order."""
        self._loop = loop
        self._process = process
        self._dice = dice
        self._closed = loop.create_future()
        self._arrives = 0.0
        self._on_the_way: deque[tuple[list[bytes], bytes | None]] = deque()

    @property
    def stands(self) -> bool:
        """Whether anything still goes through."""
        return self._process.alive and not self._closed.done()

    @property
    def unwritten(self) -> int:
        """Nothing waits: the kernel takes it all."""
        return 0

    def write(self, messages: Iterable[bytes], ping: bytes | None = None) -> None:
        """Send messages, then perhaps a ping; they arrive in their order, or never."""
        if self._closed.done():
            raise ConnectionClosedError(None, None)
        self._arrives = max(self._arrives, self._loop.time() + HOP * (1 + self._dice.random()))
        self._on_the_way.append((list(messages), ping))
        self._loop.call_at(self._arrives, self._arrive)

    def _arrive(self) -> None:
        messages, ping = self._on_the_way.popleft()
        if self.stands:
            self.received += messages
            if ping is not None:
                self._loop.call_later(HOP * (1 + self._dice.random()), self._answer, ping)

    def _answer(self, ping: bytes) -> None:
        if self.stands and self.on_pong is not None:
            self.on_pong(ping)

    async def receive(self) -> list[bytes]:
        """Wait for the end: the endpoint says nothing."""
        await asyncio.shield(self._closed)
        raise ConnectionClosedError(None, None)

    def abort(self) -> None:
        """Break, with all that is on its way."""
        if not self._closed.done():
            self._closed.set_result(None)

    async def close(self) -> None:
        """Close."""
        self.abort()


class Endpoint:
    """What one feed's messages are sent to; it keeps all that it has ever read."""

    def __init__(self, loop: VirtualLoop, dice: random.Random) -> None:
        self.connections: list[Connection] = []
        self._loop = loop
        self._dice = dice

    def connect(self, process: Process) -> Connection:
        """Accept a connection."""
        self.connections.append(Connection(self._loop, process, self._dice))
        return self.connections[-1]

    def cut(self) -> None:
        """Break the latest connection."""
        if self.connections:
            self.connections[-1].abort()

    @property
    def messages(self) -> set[bytes]:
        """All that was ever read."""
        return {message for made in self.connections for message in made.received}


def dial(endpoints: dict[str, Endpoint], process: Process) -> Any:
    """Make what a publisher's process connects with; a URL's path names the feed."""

    @contextlib.asynccontextmanager
    async def connect(url: str, **_options: Any) -> AsyncIterator[Connection]:
        await asyncio.sleep(HOP)
        connection = endpoints[url.rpartition("/")[2]].connect(process)
        try:
            yield connection
        finally:
            connection.abort()

    return connect
