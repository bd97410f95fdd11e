"""Batching connections over loopback, with either event loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.client import ClientProtocol
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol
from websockets.uri import parse_uri

from chassis.websocket import WRITE_LIMIT, BatchingClient, BatchingServer, batching, dial
from tests.support.peers import Run, peer
from tests.support.waiting import eventually


def texts(count: int) -> list[bytes]:
    """Make messages of many sizes, around those at which frames change their form."""
    rng = random.Random(1)
    sizes = [0, 1, 125, 126, 127, 1000, 65535, 65536]
    return [
        b"%d " % at + b"x" * (rng.choice(sizes) if at % 50 == 0 else at % 200)
        for at in range(count)
    ]


async def collect(connection: BatchingClient | BatchingServer, count: int) -> list[list[bytes]]:
    """Receive batches until there are so many messages."""
    batches: list[list[bytes]] = []
    while sum(map(len, batches)) < count:
        batches.append(await connection.receive())
    return batches


def test_complete_and_in_order(run: Run) -> None:
    """Messages would be lost, doubled or swapped, or handed over one by one."""
    sent = texts(5000)

    async def scenario() -> None:
        echoed: list[list[bytes]] = []

        async def echo(connection: BatchingServer) -> None:
            count = 0
            while count < len(sent):
                batch = await connection.receive()
                assert batch
                echoed.append(batch)
                count += len(batch)
                connection.write(batch)
                await connection.drain()
            await connection.wait_closed()

        async with peer(echo) as url, dial(url) as client:
            receiving = asyncio.ensure_future(collect(client, len(sent)))
            for start in range(0, len(sent), 500):
                client.write(sent[start : start + 500])
                await client.drain()
            batches = await receiving
        assert [message for batch in echoed for message in batch] == sent
        assert [message for batch in batches for message in batch] == sent
        assert len(batches) < len(sent) / 5

    run(scenario())


def test_any_kind_of_message(run: Run) -> None:
    """Fragmented or binary messages, or broken text, would be lost or end the connection."""

    async def scenario() -> None:
        got: asyncio.Future[list[list[bytes]]] = asyncio.get_running_loop().create_future()

        async def take(connection: BatchingServer) -> None:
            got.set_result(await collect(connection, 7))

        async with peer(take) as url, connect(url, proxy=None) as plain:
            await plain.send("text")
            await plain.send(b"binary")
            await plain.send(b"\xff", text=True)
            await plain.send(["a", "", "b" * 70000, "c"])
            await plain.ping()
            await plain.send([b"\x00", b"\x01"])
            await plain.send("")
            await plain.send("end")
            batches = await got
        assert [message for batch in batches for message in batch] == [
            b"text", b"binary", b"\xff", b"a" + b"b" * 70000 + b"c", b"\x00\x01", b"", b"end",
        ]  # fmt: skip

    run(scenario())


@pytest.mark.parametrize(("frames", "size"), [(50, 10**9), (10**9, 100_000)])
def test_a_full_inbox_holds_the_sender_back(
    frames: int, size: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reader would fill its memory instead of slowing the sender."""
    monkeypatch.setattr(batching._Batching, "INBOX_FRAMES", frames)
    monkeypatch.setattr(batching._Batching, "INBOX_BYTES", size)
    message = b"x" * 10_000
    sent = 0

    async def scenario() -> None:
        accepted: asyncio.Future[BatchingServer] = asyncio.get_running_loop().create_future()

        async def take(connection: BatchingServer) -> None:
            accepted.set_result(connection)
            await connection.wait_closed()

        async def send(client: BatchingClient) -> None:
            nonlocal sent
            while True:
                client.write([b"%d " % sent + message])
                sent += 1
                await client.drain()

        async with peer(take) as url, dial(url) as client:
            sending = asyncio.ensure_future(send(client))
            reader = await accepted
            await eventually(
                lambda: reader.reading_paused and client.unwritten >= WRITE_LIMIT,
                "the sender is held back",
            )
            assert not sending.done()
            # What one read from the socket may bring comes on top.
            assert len(reader._inbox) < 200
            halted = sent
            received: list[bytes] = []
            while len(received) < 2 * halted:
                received += await reader.receive()
            sending.cancel()
            assert sent > halted
            assert [int(text.split()[0]) for text in received] == list(range(len(received)))
            assert all(text.endswith(message) for text in received)

    run(scenario())


@pytest.mark.parametrize("frames", [10, 10**9])
def test_everything_is_handed_over_before_the_end(
    frames: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last messages before a close would be lost, above all those of a paused connection."""
    monkeypatch.setattr(batching._Batching, "INBOX_FRAMES", frames)
    sent = texts(1000)

    async def scenario() -> None:
        async def send(connection: BatchingServer) -> None:
            connection.write(sent)
            await connection.close(4000, "enough")

        async with peer(send) as url, dial(url) as client:
            if frames > 10:
                await client.wait_closed()
            else:
                await eventually(lambda: client.reading_paused, "reading is paused")
            got: list[bytes] = []
            with pytest.raises(ConnectionClosedError) as closed:
                while True:
                    got += await client.receive()
            assert got == sent
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "enough")
            with pytest.raises(ConnectionClosed):
                await client.receive()

    run(scenario())


def test_a_waiting_receiver_learns_of_the_end(run: Run) -> None:
    """A service would wait for ever on a connection that has ended."""

    async def scenario() -> None:
        async def drop(connection: BatchingServer) -> None:
            await connection.receive()
            connection.abort()

        async def leave(connection: BatchingServer) -> None:
            await connection.receive()

        for handle, kind in ((drop, ConnectionClosedError), (leave, ConnectionClosedOK)):
            async with peer(handle) as url, dial(url) as client:
                receiving = asyncio.ensure_future(client.receive())
                await asyncio.sleep(0)
                client.write([b"go"])
                with pytest.raises(kind):
                    await receiving

    run(scenario())


def test_a_dropped_connection_whose_inbox_is_full(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming to read from a dead connection would fail otherwise than with ConnectionClosed."""
    monkeypatch.setattr(batching._Batching, "INBOX_FRAMES", 1)

    async def scenario() -> None:
        async def send(connection: BatchingServer) -> None:
            connection.write([b"x"])
            await connection.wait_closed()

        async with peer(send) as url, dial(url) as client:
            await eventually(lambda: client.reading_paused, "reading is paused")
            client.abort()
            await client.wait_closed()
            assert await client.receive() == [b"x"]
            with pytest.raises(ConnectionClosedError):
                await client.receive()

    run(scenario())


def test_pongs(run: Run) -> None:
    """A sink would never learn, or too early, that what it sent has been read."""

    async def scenario() -> None:
        read: list[bytes] = []

        async def take(connection: BatchingServer) -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    read.extend(await connection.receive())

        async with peer(take) as url, dial(url, ping_interval=None) as client:
            pongs: list[bytes] = []
            client.on_pong = pongs.append
            client.write([b"a", b"b"], ping=b"1")
            client.write([], ping=b"2")
            client.write([b"c"], ping=b"")
            await eventually(lambda: len(pongs) == 3, "three pongs")
            assert pongs == [b"1", b"2", b""]
            await eventually(lambda: len(read) == 3, "three messages")
            # websockets' own pings still work beside ours.
            await (await client.ping())

    run(scenario())


def test_writing_after_the_end(run: Run) -> None:
    """Messages for a closed connection would vanish as if they had been sent."""

    async def scenario() -> None:
        hold = asyncio.Event()

        async def stall(connection: BatchingServer) -> None:
            connection.transport.pause_reading()
            await hold.wait()
            connection.transport.resume_reading()

        async with peer(stall) as url, dial(url) as client:
            closing = asyncio.ensure_future(client.close(1001, "leaving"))
            await eventually(lambda: client.protocol.state is not OPEN, "the closing handshake")
            with pytest.raises(ConnectionClosed, match="leaving"):
                client.write([b"x"])
            hold.set()
            await closing
            with pytest.raises(ConnectionClosed):
                client.write([], ping=b"1")

    run(scenario())


def test_too_large_a_message(run: Run) -> None:
    """A hostile peer could fill the memory with a single message."""

    async def scenario() -> None:
        async def send(connection: BatchingServer) -> None:
            connection.write([b"small", b"x" * 2000])
            await connection.wait_closed()

        async with peer(send) as url, dial(url, max_size=1000) as client:
            assert await client.receive() == [b"small"]
            with pytest.raises(ConnectionClosedError) as closed:
                await client.receive()
            assert closed.value.sent is not None
            assert closed.value.sent.code == 1009

    run(scenario())


def test_heard(run: Run) -> None:
    """A line would be thought silent although something comes, or alive although nothing does."""

    async def scenario() -> None:
        async def echo(connection: BatchingServer) -> None:
            connection.write(await connection.receive())
            await connection.wait_closed()

        async with peer(echo) as url, dial(url, ping_interval=None) as client:
            before = client.heard
            await eventually(lambda: asyncio.get_running_loop().time() > before, "time goes by")
            assert client.heard == before
            client.write([b"x"])
            await client.receive()
            assert client.heard > before

    run(scenario())


@pytest.mark.parametrize("kind", ["pings", "fragments"])
def test_a_flood_of_what_is_no_message_is_cut(
    kind: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer could keep a service busy, and fill its memory, with frames that no inbox counts."""
    monkeypatch.setattr(batching._Batching, "EXTRA_BURST", 1000)
    frames = b"\x89\x00" if kind == "pings" else b"\x00\x00"

    async def scenario() -> None:
        async def flood(connection: BatchingServer) -> None:
            if kind == "fragments":
                connection.transport.write(b"\x01\x00")
            while connection.protocol.state is OPEN:
                connection.transport.write(frames * 500)
                await asyncio.sleep(0.001)

        async with peer(flood) as url, dial(url) as client:
            with pytest.raises(ConnectionClosed):
                await client.receive()
            assert len(client._fragments) < 2000

    run(scenario())


def test_the_insides_of_websockets() -> None:
    """A new version of websockets would break batching in ways that show only under load."""
    protocol = ClientProtocol(parse_uri("ws://x/"))
    protocol.state = OPEN
    # The parser is a generator that is suspended inside of others; `_between_frames` looks there.
    protocol.parser = Protocol.parse(protocol)
    next(protocol.parser)
    awaited: Any = protocol.parser
    while awaited.gi_yieldfrom is not None:
        awaited = awaited.gi_yieldfrom
    assert awaited.__name__ == "at_eof"
    for name in ("current_size", "max_message_size", "max_fragment_size"):
        assert getattr(protocol, name) is None or isinstance(getattr(protocol, name), int)
    assert protocol.extensions == []
    assert len(protocol.reader.buffer) == 0
    # What is sent is queued as bytes, and taken all at once.
    protocol.send_text(b"a")
    protocol.send_ping(b"b")
    written = b"".join(protocol.data_to_send())
    assert [written[0] & 0x0F, written[7] & 0x0F] == [Opcode.TEXT, Opcode.PING]
    assert protocol.data_to_send() == []
    # What is received comes as frames, one event for each.
    stream = Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=False)
    stream += Frame(Opcode.PONG, b"p").serialize(mask=False)
    stream += Frame(Opcode.CONT, b"b").serialize(mask=False)
    protocol.receive_data(stream)
    events = [event for event in protocol.events_received() if isinstance(event, Frame)]
    assert [(event.opcode, bytes(event.data), event.fin) for event in events] == [
        (Opcode.TEXT, b"a", False), (Opcode.PONG, b"p", True), (Opcode.CONT, b"b", True),
    ]  # fmt: skip
    assert "process_event" in vars(Connection)
    assert "data_received" in vars(Connection)
