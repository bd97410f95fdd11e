"""Batching connections hand over exactly what websockets' own parser finds in the same bytes."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.connection import Connection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from chassis.websocket import BatchingClient, BatchingServer, batching

payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([125, 126, 127, 65535, 65536, 70000]).map(bytes),
)
messages = st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), payloads, st.just(True))
controls = st.tuples(
    st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125), st.just(True)
)
# A fragmented message may have control frames inside.
fragmented = st.lists(st.one_of(st.binary(max_size=20), controls), min_size=2, max_size=5)


class Wire:
    """Stands where the socket's transport would: what is written is kept."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, *_limits: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        pass


class OpenServer(BatchingServer):
    """A server's connection without a server around it."""

    def connection_made(self, transport: Any) -> None:
        Connection.connection_made(self, transport)


def opened(kind: str) -> Any:
    """Make a connection of `kind` that has its handshake behind it."""
    protocol: Protocol
    protocol = ServerProtocol() if kind == "server" else ClientProtocol(parse_uri("ws://x/"))
    protocol.state = OPEN
    protocol.parser = Protocol.parse(protocol)
    next(protocol.parser)
    return protocol


Found = tuple[list[tuple[bytes, bool]], list[bytes], State]
"""Messages and whether they are binary, the payloads of pongs, and the state at the end."""


def plainly(kind: str, stream: bytes) -> Found:
    """Let websockets alone find the messages and pongs in `stream`."""
    protocol = opened(kind)
    protocol.receive_data(stream)
    found: list[tuple[bytes, bool]] = []
    pongs: list[bytes] = []
    message, binary = b"", False
    for frame in protocol.events_received():
        if frame.opcode is Opcode.PONG:
            pongs.append(bytes(frame.data))
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            message += bytes(frame.data)
            if frame.opcode is not Opcode.CONT:
                binary = frame.opcode is Opcode.BINARY
            if frame.fin:
                found.append((message, binary))
                message = b""
    return found, pongs, protocol.state


def connected(kind: str, wire: Wire) -> Any:
    """Make a batching connection of `kind` on `wire`."""
    protocol = opened(kind)
    connection: Any
    if kind == "server":
        connection = OpenServer(protocol, server=None)
        connection.request = connection.response = object()
    else:
        connection = BatchingClient(protocol)
        connection.response = object()
    connection.connection_made(wire)
    return connection


async def batched(kind: str, stream: bytes, cuts: list[int], takes: int) -> Found:
    """Let a batching connection find them, with the bytes coming in pieces."""
    connection = connected(kind, Wire())
    pongs: list[bytes] = []
    connection.on_pong = pongs.append
    found: list[tuple[bytes, bool]] = []

    async def take() -> None:
        if connection._inbox:
            taken = await connection.receive()
            found.extend((data, place in connection.binary) for place, data in enumerate(taken))

    at = 0
    for count, cut in enumerate([*cuts, len(stream)]):
        connection.data_received(stream[at : at + cut])
        at += cut
        if count % takes == 0:
            await take()
        if at >= len(stream):
            break
    await take()
    # What had to wait for others to have their turn.
    while connection._halted or connection._inbox:
        connection._go_on()
        await take()
    return found, pongs, connection.protocol.state


@st.composite
def streams(draw: st.DrawFn) -> list[Frame]:
    frames: list[Frame] = []
    for item in draw(st.lists(st.one_of(messages, controls, fragmented), max_size=20)):
        if isinstance(item, tuple):
            frames.append(Frame(*item))
            continue
        pieces = [piece for piece in item if isinstance(piece, bytes)]
        opcode, left = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY])), len(pieces)
        for piece in item:
            if isinstance(piece, tuple):
                frames.append(Frame(*piece))
            else:
                left -= 1
                frames.append(Frame(opcode, piece, fin=left == 0))
                opcode = Opcode.CONT
    return frames


cuttings = st.lists(st.sampled_from([1, 2, 3, 5, 7, 50, 1000, 100_000]), max_size=300)
takings = st.sampled_from([1, 3, 1000])
"""How many pieces come in between two calls of `receive()`."""


@pytest.mark.parametrize("kind", ["client", "server"])
@settings(max_examples=300, deadline=None, derandomize=True)
@given(frames=streams(), cuts=cuttings, takes=takings)
def test_same_messages_as_websockets(
    kind: str, frames: list[Frame], cuts: list[int], takes: int
) -> None:
    """A message would be lost, changed or reordered between the socket and the service."""
    stream = b"".join(frame.serialize(mask=kind == "server") for frame in frames)
    assert asyncio.run(batched(kind, stream, cuts, takes)) == plainly(kind, stream)


@pytest.mark.parametrize("kind", ["client", "server"])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    frames=streams(), cuts=cuttings, takes=takings, rubbish=st.binary(max_size=20),
    piece=st.sampled_from([300, 3000, 100_000]), slice=st.sampled_from([100, 5000]),
    room=st.sampled_from([1, 3, 1000]),
)  # fmt: skip
def test_same_when_others_have_their_turn(
    kind: str, frames: list[Frame], cuts: list[int], takes: int, rubbish: bytes, piece: int,
    slice: int, room: int,
) -> None:  # fmt: skip
    """What waits while others have their turn, or until there is room, would come to harm."""
    stream = b"".join(frame.serialize(mask=kind == "server") for frame in frames) + rubbish
    with (
        mock.patch.multiple(batching, TURN=-1.0, _PIECE=piece, _SLICE=slice),
        mock.patch.object(batching._Batching, "INBOX_FRAMES", room),
    ):
        assert asyncio.run(batched(kind, stream, cuts, takes)) == plainly(kind, stream)


@pytest.mark.parametrize("kind", ["client", "server"])
@settings(max_examples=300, deadline=None, derandomize=True)
@given(frames=streams(), cuts=cuttings, takes=takings, rubbish=st.binary(min_size=1, max_size=20))
def test_same_end_as_websockets(
    kind: str, frames: list[Frame], cuts: list[int], takes: int, rubbish: bytes
) -> None:
    """A violation of the protocol would be taken for a message, or keep its connection."""
    stream = b"".join(frame.serialize(mask=kind == "server") for frame in frames) + rubbish
    assert asyncio.run(batched(kind, stream, cuts, takes)) == plainly(kind, stream)


@pytest.mark.parametrize("kind", ["client", "server"])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(batches=st.lists(st.tuples(st.lists(payloads, max_size=5), st.booleans()), max_size=5))
def test_websockets_reads_what_is_written(
    kind: str, batches: list[tuple[list[bytes], bool]]
) -> None:
    """The peer would get other messages than were written, or end the connection."""

    async def written() -> bytes:
        wire = Wire()
        connection = connected(kind, wire)
        for messages, pinged in batches:
            connection.write(messages, ping=b"ping" if pinged else None)
        return wire.written

    peer = opened("client" if kind == "server" else "server")
    peer.receive_data(asyncio.run(written()))
    assert [(frame.opcode, bytes(frame.data)) for frame in peer.events_received()] == [
        item
        for messages, pinged in batches
        for item in [
            *((Opcode.TEXT, message) for message in messages),
            *[(Opcode.PING, b"ping")] * pinged,
        ]
    ]
    assert peer.state is OPEN


def test_no_two_messages_have_the_same_mask() -> None:
    """An endpoint's proxy could be made to see what somebody else puts into messages."""

    async def written() -> bytes:
        wire = Wire()
        connected("client", wire).write([b"the same"] * 2)
        return wire.written

    frames = asyncio.run(written())
    assert frames[: len(frames) // 2] != frames[len(frames) // 2 :]


@pytest.mark.parametrize(
    ("first", "frame"),
    [(b"", b"\x81\x00"), (b"", b"\x89\x00"), (b"\x01\x00", b"\x00\x00")],
    ids=["messages", "pings", "fragments"],
)
def test_others_have_their_turn(first: bytes, frame: bytes) -> None:
    """A peer that sends thousands of frames at once would have the service to itself meanwhile."""

    async def taken() -> int:
        wire = Wire()
        connection = connected("client", wire)
        stream = first + frame * 150_000
        with mock.patch.object(batching, "TURN", -1.0):
            connection.data_received(stream)
        assert not wire.reading
        return len(stream) - len(connection._partial)

    assert asyncio.run(taken()) <= 64 * 1024
