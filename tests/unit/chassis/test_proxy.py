"""Reaching a peer through proxies, with either event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from chassis.websocket import BatchingServer, dial
from tests.support.peers import DEADLINE, Run, peer

Handshake = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Awaitable[tuple[str, int] | None]
]


@contextlib.asynccontextmanager
async def proxied(handshake: Handshake) -> AsyncIterator[int]:
    """Serve as a proxy, once the handshake has told where to; yields the port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            where = await handshake(reader, writer)
            if where is not None:
                there, back = await asyncio.open_connection(*where)
                await asyncio.gather(pump(reader, back), pump(there, writer))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def echo(connection: BatchingServer) -> None:
    connection.write(await connection.receive())
    await connection.wait_closed()


def tunnel(asked: list[bytes], answer: bytes = b"HTTP/1.1 200 OK\r\nVia: us\r\n\r\n") -> Handshake:
    async def handshake(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        writer.write(answer)
        port = head.split(b" ")[1].rpartition(b":")[2]
        return ("127.0.0.1", int(port)) if b" 200 " in answer else None

    return handshake


def socks(asked: list[bytes], method: int = 0, login: int = 0, reply: int = 0) -> Handshake:
    async def handshake(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        asked.append(await reader.readexactly(2))
        asked.append(await reader.readexactly(asked[-1][1]))
        writer.write(bytes((5, method)))
        if method == 2:
            head = await reader.readexactly(2)
            name = await reader.readexactly(head[1])
            [size] = await reader.readexactly(1)
            asked.extend([name, await reader.readexactly(size)])
            writer.write(bytes((1, login)))
        head = await reader.readexactly(5)
        host = (head[4:] + await reader.readexactly(3)) if head[3] == 1 else b""
        if head[3] == 3:
            host = await reader.readexactly(head[4])
        asked.append(host)
        port = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(bytes((5, reply, 0, 3, 4)) + b"name" + b"\0\0")
        return None if reply else ("127.0.0.1", port)

    return handshake


async def talk(url: str, proxy: str) -> list[bytes]:
    async with asyncio.timeout(DEADLINE), dial(url, proxy=proxy) as connection:
        connection.write([b"hello"])
        return await connection.receive()


def test_http_connect(run: Run) -> None:
    """A network that lets nothing out but through its proxy would have no feeds."""

    async def scenario() -> None:
        asked: list[bytes] = []
        async with peer(echo) as url, proxied(tunnel(asked)) as port:
            there = url.removeprefix("ws://").rstrip("/")
            assert await talk(url, f"http://us%65r:p%40ss@127.0.0.1:{port}") == [b"hello"]
            assert asked[0].startswith(f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n".encode())
            assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in asked[0]
            assert await talk(url, f"http://127.0.0.1:{port}") == [b"hello"]
            assert b"Authorization" not in asked[1]

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "the proxy answered with HTTP 407"),
        (b"HTTP/1.1 502 No\r\n\r\n", "the proxy answered with HTTP 502"),
        (b"SSH-2.0-x\r\n\r\n", "the proxy does not speak HTTP"),
        (b"HTTP/1.1 200", "the proxy hung up"),
        (b"x" * 20_000, "the proxy's answer has no end"),
    ],
)
def test_http_refusals(run: Run, answer: bytes, why: str) -> None:
    """A proxy's no would be taken for the feed's, or be waited for."""

    async def scenario() -> None:
        async with proxied(tunnel([], answer)) as port:
            with pytest.raises(OSError, match=why):
                await talk("ws://feed.invalid:80/", f"http://127.0.0.1:{port}")

    run(scenario())


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socks(run: Run, scheme: str) -> None:
    """A network that lets nothing out but through its proxy would have no feeds."""

    async def scenario() -> None:
        asked: list[bytes] = []
        async with peer(echo) as url:
            async with proxied(socks(asked)) as port:
                assert await talk(url, f"{scheme}://127.0.0.1:{port}") == [b"hello"]
                assert asked == [b"\5\1", b"\0", bytes((127, 0, 0, 1))]
                named = url.replace("127.0.0.1", "feed.invalid")
                assert await talk(named, f"{scheme}://127.0.0.1:{port}") == [b"hello"]
                assert asked[-1] == b"feed.invalid"  # the proxy looks it up
            async with proxied(socks(asked, method=2)) as port:
                assert await talk(url, f"{scheme}://us:pass@127.0.0.1:{port}") == [b"hello"]
                assert asked[-3:-1] == [b"us", b"pass"]

    run(scenario())


@pytest.mark.parametrize(
    ("handshake", "why"),
    [
        (socks([], method=255), "the proxy wants a login"),
        (socks([], method=2), "the proxy wants a login"),
        (socks([], reply=5), "the proxy does not connect: connection refused"),
        (socks([], reply=99), "the proxy does not connect: error 99"),
    ],
)
def test_socks_refusals(run: Run, handshake: Handshake, why: str) -> None:
    """A proxy's no would be taken for the feed's, or be waited for."""

    async def scenario() -> None:
        async with proxied(handshake) as port:
            with pytest.raises(OSError, match=why):
                await talk("ws://feed.invalid:80/", f"socks5://127.0.0.1:{port}")

    run(scenario())


def test_a_login_that_is_not_accepted(run: Run) -> None:
    """A wrong password would look like a feed that is away."""

    async def scenario() -> None:
        async with proxied(socks([], method=2, login=1)) as port:
            with pytest.raises(OSError, match="the proxy does not accept the login") as error:
                await talk("ws://feed.invalid:80/", f"socks5://u:hunter2@127.0.0.1:{port}")
            assert "hunter2" not in str(error.value)

    run(scenario())
