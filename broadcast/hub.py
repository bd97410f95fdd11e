"""Everybody who listens on this replica; and one write to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from websockets.protocol import OPEN

from chassis.metrics import Count, Level

from .closing import SLOW
from .connection import SLOW_BYTES, Connection

CHUNK = 250
"""Connections written to before other work gets its turn."""


class Hub:
    """The connections that get what is written to all.

    `on_slow` is told of each that is cut because it lags; `gauge` shows how many there are,
    `deliveries` counts the messages written to them.
    """

    def __init__(
        self, gauge: Level, deliveries: Count, on_slow: Callable[[Connection], None]
    ) -> None:
        self._connections: dict[Connection, None] = {}
        self._on_slow = on_slow
        self._deliveries = deliveries
        self._gauge = gauge

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    def add(self, connection: Connection) -> None:
        """Let a connection have everything that is written from now on."""
        self._connections[connection] = None
        self._gauge.set(len(self._connections))

    def discard(self, connection: Connection) -> None:
        """Let a connection have nothing more, not even of a write that is under way."""
        self._connections.pop(connection, None)
        self._gauge.set(len(self._connections))

    async def write(self, frames: bytes, messages: int = 0) -> None:
        """Write `frames`, which carry so many messages, to all who are here now.

        A connection that does not take them fast enough is cut: what waits for one client must
        not grow without bound. Calls must not overlap if their order matters.
        """
        connections = self._connections
        listening = list(connections)
        written, size = 0, len(frames)
        for start in range(0, len(listening), CHUNK):
            if start:
                await asyncio.sleep(0)
            for connection in listening[start : start + CHUNK]:
                if connection in connections and connection.protocol.state is OPEN:
                    transport = connection.transport
                    transport.write(frames)
                    connection.written += size
                    written += 1
                    if transport.get_write_buffer_size() > SLOW_BYTES:
                        self.cut_slow(connection)
        if messages:
            self._deliveries.inc(messages * written)

    def cut_slow(self, connection: Connection) -> None:
        """Cut a connection that does not read."""
        if connection.ending is None:
            self._on_slow(connection)
            connection.cut(SLOW)
