"""Clients of chat and wisdom that keep to the letter of WebSocket, but not to its spirit."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import chat, wisdom
from tests.support.processes import Service
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually, until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


@pytest.fixture(params=["chat", "wisdom"])
def service(request: pytest.FixtureRequest, start: Stack, tmp_path: Path) -> Service:
    """One replica of either."""
    if request.param == "chat":
        return chat.replica(start, tmp_path)
    return wisdom.replica(start)


def port(service: Service) -> int:
    bound: int = service.wait_for(f"{service.module} listens")["port"]
    return bound


@contextlib.contextmanager
def plug(port: int, greet: bool = True, receives: int = 0) -> Iterator[socket.socket]:
    """Connect a socket, with the handshake behind it or not even begun."""
    with socket.socket() as plugged:
        if receives:
            plugged.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        plugged.settimeout(20)
        plugged.connect(("127.0.0.1", port))
        if greet:
            key = base64.b64encode(os.urandom(16)).decode()
            plugged.sendall(
                f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            head = b""
            while b"\r\n\r\n" not in head:
                head += plugged.recv(1)
            assert b" 101 " in head
        yield plugged


def connections(service: Service) -> float:
    return service.metric(f"{service.module}_connections")


def masked(first: int, payload: bytes = b"") -> bytes:
    """Make a client's frame of less than 126 bytes; a mask of zeros is one."""
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


FLOODS = {
    "pings": masked(0x89),
    "pongs": masked(0x8A, b"x" * 100),
    "fragments": masked(0x00),
}


@pytest.mark.parametrize("what", FLOODS)
def test_floods_that_are_no_messages_are_cut(service: Service, what: str) -> None:
    """Control frames or empty fragments, which no inbox counts, would keep a replica busy."""
    with plug(port(service)) as flood:
        if what == "fragments":
            flood.sendall(masked(0x01))
        with contextlib.suppress(OSError):
            for _ in range(2000):
                flood.sendall(FLOODS[what] * 1000)
    until(
        lambda: service.metric(f"{service.module}_closes_total", reason="flood") == 1, "it is cut"
    )
    assert connections(service) == 0


def test_answers_to_who_does_not_read_are_bounded(service: Service) -> None:
    """A client that only asks would fill the server's memory with answers."""
    before = service.memory
    with plug(port(service), receives=4096) as deaf:
        with contextlib.suppress(OSError):
            for _ in range(40_000):
                deaf.sendall(masked(0x89, b"x" * 125) * 10)
        until(lambda: connections(service) == 0, "it is cut")
    assert service.memory - before < 20_000_000


@pytest.mark.parametrize("said", [masked(0x88, b"\x03\xe8"), b"\x83\x80\0\0\0\0"])
def test_who_closes_but_does_not_hang_up_is_freed(service: Service, said: bytes) -> None:
    """A closing handshake or a broken protocol without an end would hold a place for ever."""
    with plug(port(service)) as lingering:
        until(lambda: connections(service) == 1, "it is there")
        lingering.sendall(said)
        until(lambda: connections(service) == 0, "it is freed", 10)


def test_nobody_holds_up_the_end(service: Service) -> None:
    """Somebody who says nothing, or reads nothing, would have a replica killed, not stopped."""
    ops = service.wait_for("ops endpoint listens")["port"]
    with plug(port(service), greet=False), plug(ops, greet=False), plug(port(service)):
        until(lambda: connections(service) == 1, "one is there")
        service.ask_to_stop()
        began = time.monotonic()
        assert service.wait() == 0
        assert time.monotonic() - began < 8


async def test_a_stalled_reader_does_not_hold_up_the_end(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A farewell that nobody takes would be waited for until the process is killed."""
    service = chat.replica(start, tmp_path, CHAT_RATE=100_000)
    with plug(port(service), receives=4096):
        async with chat.visit(chat.url(service)) as talker:
            said = 0
            while service.metric("chat_deliveries_total", room="main") < 60:
                await talker.say("x" * 6000)
                said += 1
            assert said < 100
            await asyncio.to_thread(service.ask_to_stop)
            began = time.monotonic()
            assert await asyncio.to_thread(service.wait) == 0
            assert time.monotonic() - began < 8


def test_redis_away_does_not_hold_up_the_end(redis: Server, service: Service) -> None:
    """A replica would exit with an error, or be killed, because Redis is away when it stops."""
    until(lambda: service.events("active"), "it works")
    redis.freeze()
    service.wait_ready(False)
    assert service.terminate() == 0


async def test_a_query_of_many_fields(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Anybody could have the chat log errors with an odd address."""
    service = chat.replica(start, tmp_path)
    query = "/?" + "&".join(f"f{number}=1" for number in range(50))
    async with chat.visit(chat.url(service, query)) as visitor:
        await eventually(lambda: visitor.of("welcome"), "it is greeted")
