"""The testers' rooms, the page, and who may come in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import http
from tests.support.chat import port, replica, url
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import eventually

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


async def hear(connection: ClientConnection, number: int) -> list[str | bytes]:
    """Take the next messages but the regular greetings."""
    heard: list[str | bytes] = []
    async with asyncio.timeout(10):
        while len(heard) < number:
            message = await connection.recv()
            if not str(message).startswith("hello world"):
                heard.append(message)
    return heard


@one_server
async def test_the_four_cases_of_the_article(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A tester would not see one answer, two, none, or one that was not asked for."""
    replicas = [replica(start, tmp_path) for _ in range(2)]
    here, there = (url(service, "/playground") for service in replicas)
    async with connect(here, proxy=None) as first, connect(there, proxy=None) as second:
        for text in ("привет", "a double", "ignore me", "double ignore", "", "{bad json", "end"):
            await first.send(text)
        expected = ["привет", "a double #1", "a double #2", "", "{bad json", "end"]
        assert await hear(first, 6) == await hear(second, 6) == expected
        greetings = []
        async with asyncio.timeout(20):
            for connection in (first, second, first):
                message = ""
                while not message.startswith("hello world"):
                    message = str(await connection.recv())
                greetings.append(message)
        assert greetings[0].split()[:2] == ["hello", "world"]
        number = int(greetings[0].split()[2])
        assert greetings[2] == f"hello world {number + 1}"
        await first.send(b"\x00")
        with pytest.raises(ConnectionClosed):
            await hear(first, 1)
        assert first.close_code == 1003
        await second.send("x" * 10_000)
        with pytest.raises(ConnectionClosed):
            await hear(second, 1)
        assert second.close_code == 1009


@one_server
async def test_the_echo_returns_what_it_got(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A tester would blame the own client for what the echo does."""
    service = replica(start, tmp_path)
    async with connect(url(service, "/echo"), proxy=None, max_size=None) as connection:
        for message in ("", "text 🐺", b"", b"\x00\xff", "x" * 126, "y" * 70_000, b"z" * 1_000_000):
            await connection.send(message)
            assert await connection.recv() == message
        await connection.send(["frag", "men", "ted"])
        assert await connection.recv() == "fragmented"
        await connection.send([b"\xff", b"\x00"])
        await connection.ping(b"between")
        assert await connection.recv() == b"\xff\x00"
        await connection.send(b"x" * (1024 * 1024 + 1))
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 1009
    async with connect(url(service, "/%65cho?x"), proxy=None) as connection:
        await connection.send(b"\xc3\x28", text=True)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 1007


@one_server
async def test_the_echo_waits_for_who_does_not_read(
    redis: Server, start: Stack, tmp_path: Path
) -> None:
    """A client that sends and never reads would fill the server's memory."""
    service = replica(start, tmp_path)
    before = service.memory
    async with connect(url(service, "/echo"), proxy=None, max_size=None) as connection:
        connection.transport.pause_reading()
        taken = 0
        try:
            while taken < 400:
                async with asyncio.timeout(1):
                    await connection.send(b"x" * 500_000)
                taken += 1
        except TimeoutError:
            pass
        assert taken < 100
        assert service.memory - before < 30_000_000
        connection.transport.abort()


@one_server
async def test_the_page_is_served_safely(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A browser would get no page, or one in which injected scripts may run."""
    service = replica(start, tmp_path)

    def get(path: str) -> http.Answer:
        return http.get(port(service), path)

    for path, kind in (
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/style.css", "text/css"),
    ):
        response = await asyncio.to_thread(get, path)
        assert response.status == 200, path
        assert response.headers["Content-Type"].startswith(kind)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/settings.py", "/../settings.py", "/%2e%2e/settings.py", "/page/app.js", "//"):
        assert (await asyncio.to_thread(get, path)).status == 404


@one_server
async def test_only_who_may_comes_in(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Foreign pages could use a visitor's connection, or one address take all places."""
    service = replica(start, tmp_path, CHAT_CONNECTIONS=4, CHAT_CONNECTIONS_PER_ADDRESS=2)
    address = url(service)
    own = f"http://127.0.0.1:{port(service)}"

    async def status(path: str = "/", origin: str | None = None) -> int:
        try:
            async with connect(url(service, path), proxy=None, origin=origin):  # type: ignore[arg-type]
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert await status() == await status(origin=own) == 101
    assert await status(origin="http://evil.example") == 403
    assert await status(origin="null") == 403
    assert await status("/nowhere") == 404
    async with connect(address, proxy=None), connect(address, proxy=None):
        assert await status() == 429
    await eventually(lambda: service.metric("chat_connections") == 0, "all are gone")
    assert await status() == 101
    assert service.metric("chat_refused_connections_total", reason="origin") == 2


@one_server
async def test_proxies_are_believed_if_known(redis: Server, start: Stack, tmp_path: Path) -> None:
    """Behind a gateway all clients would count as one, or anybody could pretend to be others."""
    options: dict[str, Any] = {"CHAT_CONNECTIONS_PER_ADDRESS": 1, "CHAT_CONNECTIONS": 2}
    behind = replica(start, tmp_path, CHAT_PROXIES="127.0.0.0/8", **options)
    alone = replica(start, tmp_path, **options)
    for service, welcome in ((behind, True), (alone, False)):

        def forwarded(client: str) -> dict[str, str]:
            return {"X-Forwarded-For": client}

        here = url(service)
        async with connect(here, proxy=None, additional_headers=forwarded("203.0.113.1")):
            try:
                async with connect(here, proxy=None, additional_headers=forwarded("203.0.113.2")):
                    assert welcome
                    with pytest.raises(InvalidStatus, match="503"):
                        async with connect(here, proxy=None, additional_headers=forwarded("::1")):
                            pass
            except InvalidStatus as refused:
                assert (welcome, refused.response.status_code) == (False, 429)  # noqa: PT017
