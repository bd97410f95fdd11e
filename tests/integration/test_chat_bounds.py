"""What strangers send and do not finish, or do not read, costs a bounded amount of memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.support.chat import Visitor, port, replica, url, visit
from tests.support.processes import Service
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually, settled

MIB = 2**20

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def shake_hands(service: Service, path: str = "/", limit: int = 2 * MIB) -> Streams:
    """Connect as a client that does what a library would not, and reads so much ahead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(service), limit=limit)
    ours: socket.socket = writer.get_extra_info("socket")
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, limit)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port(service)}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def begin(size: int, part: int) -> bytes:
    """Make the beginning of a masked frame of `size` bytes, with `part` of them."""
    return b"\x82\xff" + struct.pack(">Q", size) + b"\0\0\0\0" + os.urandom(part)


@contextlib.asynccontextmanager
async def crowd(service: Service, number: int, path: str = "/") -> AsyncIterator[list[Streams]]:
    """Have so many such clients."""
    everybody: list[Streams] = []
    try:
        for _ in range(number):
            everybody.append(await shake_hands(service, path))  # noqa: PERF401 # also on failure
        yield everybody
    finally:
        for _, writer in everybody:
            writer.transport.abort()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in everybody), return_exceptions=True
        )


async def test_half_messages(redis: Server, start: Stack, tmp_path: Path) -> None:
    """All but the end of a message, from a few hundred connections, would end the process."""
    service = replica(start, tmp_path)
    before = service.memory
    async with crowd(service, 300, "/echo") as everybody:
        for _, writer in everybody:
            writer.write(begin(MIB, MIB // 2))
            with contextlib.suppress(OSError):
                await writer.drain()
        async with visit(url(service)) as honest:
            await honest.say("hello")
            await eventually(lambda: honest.texts == ["hello"], "the chat goes on")
        # 300 times half a megabyte was sent.
        assert service.memory - before < 80 * MIB
        cut = service.metric("chat_closes_total", room="echo", reason="flood")
        assert 200 < cut < 300


async def test_a_message_must_come(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Who sends a byte every ten seconds would keep its part of the memory for ever."""
    service = replica(start, tmp_path, "tests.support.hasty_chat")
    async with (
        crowd(service, 1) as [(reader, writer)],
        connect(url(service, "/echo"), proxy=None) as patient,
    ):
        writer.write(begin(5000, 100))
        async with asyncio.timeout(20):
            said = await reader.read(-1)
        assert b"A message took too long to come." in said
        # Whoever has nothing to say may stay.
        await patient.send("x")
        assert await patient.recv() == "x"


async def test_newcomers_who_do_not_read(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Each would pin half a megabyte of history: a thousand of them end the process."""
    service = replica(start, tmp_path, CHAT_RATE=1000)
    async with visit(url(service)) as talker:
        for _ in range(70):
            await talker.say("x" * 8000)
        before = service.memory
        async with crowd(service, 400):
            await talker.say("still here")
            assert service.memory - before < 80 * MIB  # it would be 200


async def test_what_was_said_is_for_those_who_were_there(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A stranger could read all that was ever said, and have it read out as often as he likes."""
    service = replica(start, tmp_path, CHAT_HISTORY=3)
    async with visit(url(service)) as talker:
        welcome = await talker.get("welcome")
        for number in range(10):
            await talker.say(f"{number}")
    resume = "/?epoch={epoch}&seq={seq}".format(**welcome)
    async with visit(url(service, resume)) as stranger:
        assert (await stranger.get("welcome"))["recovered"] is False
        assert stranger.texts == ["7", "8", "9"]
        seq = stranger.records[0]["seq"]
    async with visit(url(service, f"/?epoch={welcome['epoch']}&seq={seq}")) as stranger:
        assert (await stranger.get("welcome"))["recovered"] is True
        assert stranger.texts == ["8", "9"]
    async with visit(url(service, f"{resume}&token={welcome['token']}")) as known:
        assert (await known.get("welcome"))["recovered"] is True
        assert known.texts == [f"{number}" for number in range(10)]


async def fill(talker: Visitor, messages: int) -> str:
    """Say so many long messages; returns the query of somebody who has heard none of them."""
    welcome = await talker.get("welcome")
    for number in range(1, messages + 1):
        await talker.connection.send("x" * 8000)
        if number % 50 == 0:
            await talker.get("ack", number)
    return "/?epoch={epoch}&seq={seq}&token={token}".format(**welcome)


def told(redis: Server) -> int:
    """Tell how many bytes Redis has sent to anybody."""
    sent: int = redis.client.info("stats")["total_net_output_bytes"]
    return sent


async def told_in_all(redis: Server) -> int:
    """Tell how many when it sends no more, to the log file neither."""
    await asyncio.to_thread(settled, lambda: told(redis) // (MIB // 2), "Redis", 1.0)
    return told(redis)


@pytest.mark.parametrize("how", ["closes", "breaks"])
async def test_who_comes_back_and_leaves_is_not_read_out_to(
    redis: Server, start: Stack, tmp_path: Path, how: str
) -> None:
    """The whole log would be read for somebody who is gone, as often as he likes."""
    service = replica(start, tmp_path, CHAT_RATE=10_000)
    async with visit(url(service), max_queue=None) as talker:
        back = await fill(talker, 2000)
    before = await told_in_all(redis)
    reader, writer = await shake_hands(service, back, limit=4096)
    if how == "closes":
        writer.write(b"\x88\x80\0\0\0\0")
        while await reader.read(MIB):
            pass
    writer.transport.abort()
    assert await told_in_all(redis) - before < 4 * MIB


async def test_a_message_is_as_long_as_its_json(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """Six times as much as the limit says would be stored and sent to everybody."""
    service = replica(start, tmp_path, CHAT_MESSAGE_BYTES=600)
    async with visit(url(service)) as talker:
        await talker.connection.send("\x01" * 101)
        assert (await talker.get("error"))["code"] == "too_long"
        await talker.say("\x01" * 100)


async def test_a_key_is_its_author_s(redis: Server, start: Stack, tmp_path: Path) -> None:
    """What Bob says under the same key as Alice would be swallowed, though acknowledged."""
    service = replica(start, tmp_path)
    async with visit(url(service)) as alice:
        welcome = await alice.get("welcome")
        await alice.say("ok", "1")
        async with visit(url(service, "/?epoch={epoch}&seq={seq}".format(**welcome))) as bob:
            assert "repeated" not in await bob.say("ok", "1")
            assert (await bob.say("ok", "1"))["repeated"]
        await eventually(lambda: alice.texts == ["ok", "ok"], "both are heard")
    token = json.dumps(welcome["token"])[1:-1]
    async with visit(url(service, f"/?token={token}")) as alice:
        assert (await alice.say("ok", "1"))["repeated"]


async def test_many_ask_who_is_here(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Each would have Redis list everybody, all at once; or the list would lack who has come."""
    service = replica(start, tmp_path)

    def lists() -> int:
        calls: int = redis.client.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"]
        return calls

    async with contextlib.AsyncExitStack() as stack:
        visitors = [await stack.enter_async_context(visit(url(service))) for _ in range(30)]
        before = lists()
        for visitor in visitors:
            await visitor.connection.send('{"type":"who"}')
        for visitor in visitors:
            assert len((await visitor.get("who"))["clients"]) == 30
        assert lists() - before < 10
        late = await stack.enter_async_context(visit(url(service)))
        await visitors[0].connection.send('{"type":"who"}')
        who = await visitors[0].get("who", 2)
        assert (await late.get("welcome"))["client_id"] in who["clients"]
