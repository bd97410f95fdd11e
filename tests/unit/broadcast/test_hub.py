"""What is written to all reaches those who are here, and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.connection import Connection as Plain
from websockets.protocol import CLOSING, OPEN
from websockets.server import ServerProtocol

from broadcast.closing import SLOW
from broadcast.connection import SLOW_BYTES, Connection
from broadcast.hub import CHUNK, Hub
from chassis.metrics import Counter, Gauge


class Wire:
    """Stands where the socket's transport would: keeps what is written, takes it or does not."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, *_limits: Any) -> None: ...


class Open(Connection):
    """A connection without a server around it, its handshake behind it."""

    wire: Wire

    def connection_made(self, transport: Any) -> None:
        Plain.connection_made(self, transport)
        self.wire = transport


def connected() -> Open:
    protocol = ServerProtocol()
    protocol.state = OPEN
    connection = Open(protocol, None)
    connection.connection_made(Wire())
    return connection


@pytest.fixture
def cut() -> list[Connection]:
    """Those of whom `on_slow` was told."""
    return []


@pytest.fixture
def registry() -> CollectorRegistry:
    """The metrics of one test."""
    return CollectorRegistry()


@pytest.fixture
def hub(registry: CollectorRegistry, cut: list[Connection]) -> Hub:
    return Hub(
        Gauge("here", "Who is here", registry=registry).labels(),
        Counter("deliveries", "Deliveries", registry=registry).labels(),
        cut.append,
    )


async def test_who_leaves_during_a_write_gets_nothing_more(
    hub: Hub, registry: CollectorRegistry
) -> None:
    """A client would get what was written after the server had confirmed that it had left."""
    connections = [connected() for _ in range(2 * CHUNK + 1)]
    for connection in connections:
        hub.add(connection)
    writing = asyncio.ensure_future(hub.write(b"frame", 1))
    await asyncio.sleep(0)
    assert [len(connection.wire.written) for connection in connections].count(1) == CHUNK
    leaving, late = connections[-1], connected()
    hub.discard(leaving)
    hub.add(late)
    await writing
    assert leaving.wire.written == late.wire.written == []
    assert all(connection.wire.written == [b"frame"] for connection in connections[:-1])
    assert registry.get_sample_value("deliveries_total") == 2 * CHUNK


async def test_who_is_closing_gets_nothing(hub: Hub, registry: CollectorRegistry) -> None:
    """A frame would follow a close frame, which breaks the protocol, or be counted unsent."""
    staying, closing = connected(), connected()
    closing.protocol.state = CLOSING
    for connection in (staying, closing):
        hub.add(connection)
    await hub.write(b"frames", 3)
    assert (staying.wire.written, closing.wire.written) == ([b"frames"], [])
    assert registry.get_sample_value("deliveries_total") == 3


async def test_who_does_not_take_it_is_cut_once(hub: Hub, cut: list[Connection]) -> None:
    """What waits for one client would grow without bound, or the others would be cut, too."""
    good, slow = connected(), connected()
    slow.wire.waiting = SLOW_BYTES + 1
    for connection in (good, slow):
        hub.add(connection)
    await hub.write(b"one")
    await hub.write(b"two")
    assert cut == [slow]
    assert slow.ending is SLOW
    assert slow.wire.aborted
    assert not good.wire.aborted
    assert good.ending is None
