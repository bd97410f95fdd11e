"""Everybody who listens to a room on this replica; and one write to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from websockets.protocol import OPEN

from . import metrics
from .connection import SLOW_BYTES, Connection
from .endings import Ending

CHUNK = 250
"""Connections written to before other work gets its turn."""


class Audience:
    """The connections of a room. `on_slow` is told of each that is cut because it lags."""

    def __init__(self, room: str, on_slow: Callable[[Connection], None]) -> None:
        self._connections: dict[Connection, None] = {}
        self._on_slow = on_slow
        self._deliveries = metrics.DELIVERIES.labels(room)
        self._gauge = metrics.CONNECTIONS.labels(room)

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    def add(self, connection: Connection) -> None:
        """Let a connection have everything that is written from now on."""
        self._connections[connection] = None
        self._gauge.set(len(self._connections))

    def discard(self, connection: Connection) -> None:
        """Let a connection have nothing more."""
        self._connections.pop(connection, None)
        self._gauge.set(len(self._connections))

    async def write(self, frames: bytes, messages: int = 0) -> None:
        """Write `frames`, which carry so many messages, to all who are here now.

        A connection that does not take them fast enough is cut: what waits for one client must
        not grow without bound. Calls must not overlap if their order matters.
        """
        listening = list(self._connections)
        for start in range(0, len(listening), CHUNK):
            if start:
                await asyncio.sleep(0)
            for connection in listening[start : start + CHUNK]:
                if connection.protocol.state is OPEN:
                    transport = connection.transport
                    transport.write(frames)
                    if transport.get_write_buffer_size() > SLOW_BYTES:
                        self.cut_slow(connection)
        if messages:
            self._deliveries.inc(messages * len(listening))

    def cut_slow(self, connection: Connection) -> None:
        """Cut a connection that does not read."""
        if connection.ending is None:
            self._on_slow(connection)
            connection.cut(Ending.SLOW)
