"""Connecting to peers that are away, stuck or mean no good, with either event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
from websockets.exceptions import InvalidHandshake

from chassis.websocket import WRITE_LIMIT, BatchingServer, dial
from tests.support.peers import DEADLINE, Run, peer


@pytest.mark.parametrize(
    "location",
    [
        "https://example.org/login",
        "ws://127.0.0.1:99999/",
        "ws://[::1/",
        "ws://a..b/",
        "ws://127.0.0.1/#part",
        "/\r\nLocation: /two",
    ],
)
def test_a_redirect_to_nonsense_is_a_refusal(run: Run, location: str) -> None:
    """A peer could end a whole service, with all its other connections, by an odd answer."""

    async def scenario() -> None:
        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            writer.write(answer.encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises((InvalidHandshake, OSError)):
                async with dial(f"ws://127.0.0.1:{port}/"):
                    pass

    run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_redirect_to_another_server_is_refused(run: Run, host: str) -> None:
    """A feed could have us ask for whatever it likes within our network."""

    async def scenario() -> None:
        reached: list[bytes] = []

        async def inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(await reader.read(100))
            writer.close()

        async with await asyncio.start_server(inside, host, 0) as other:
            port = other.sockets[0].getsockname()[1]
            location = f"ws://{host}:{port}/admin"

            async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode())
                writer.close()

            async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                with pytest.raises(InvalidHandshake, match="another server"):
                    async with dial(f"ws://127.0.0.1:{port}/"):
                        pass
        assert reached == []

    run(scenario())


def test_a_page_that_refuses_us_is_not_read(run: Run) -> None:
    """An error page in chunks of one byte would hold up all other connections for half a minute."""

    async def scenario() -> None:
        hung_up = asyncio.Event()

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                while True:  # without an end
                    writer.write(b"1\r\nx\r\n" * 1000)
                    await writer.drain()
            hung_up.set()

        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(InvalidHandshake, match="500"):
                    async with dial(f"ws://127.0.0.1:{port}/"):
                        pass
                await hung_up.wait()

    run(scenario())


def test_a_stop_ends_a_handshake(run: Run) -> None:
    """A peer that takes its time would hold up the end of a service."""

    async def scenario() -> None:
        asked = asyncio.Event()
        stop = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()
            writer.close()

        async def connecting(port: int) -> None:
            async with dial(f"ws://127.0.0.1:{port}/", stop=stop, open_timeout=3600):
                pass

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            task = asyncio.ensure_future(connecting(server.sockets[0].getsockname()[1]))
            await asked.wait()
            stop.set()
            with pytest.raises(ConnectionAbortedError):
                await task

    run(scenario())


def test_leaving_a_peer_that_does_not_read(run: Run) -> None:
    """The end of a service would wait for an endpoint that has hung up in all but name."""

    async def scenario() -> None:
        release = asyncio.Event()

        async def stall(connection: BatchingServer) -> None:
            connection.transport.pause_reading()
            await release.wait()
            connection.abort()

        async with peer(stall) as url:
            async with dial(url, close_timeout=60) as client:
                filling = [b"x" * 100_000] * 20
                while client.unwritten < WRITE_LIMIT:
                    client.write(filling)
                    await asyncio.sleep(0)
                began = time.monotonic()
            assert time.monotonic() - began < DEADLINE
            release.set()

    run(scenario())


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
def test_the_kernel_limits_silence(run: Run) -> None:
    """A peer whose machine is gone would keep what was sent to it waiting for a quarter hour."""

    async def scenario() -> None:
        async def wait(connection: BatchingServer) -> None:
            await connection.wait_closed()

        async with peer(wait) as url, dial(url) as client:
            sock = client.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000

    run(scenario())


def test_nobody_there(run: Run) -> None:
    """The lack of a peer would be raised as something that the services do not expect."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(OSError, match="Connect"):
            async with dial(f"ws://127.0.0.1:{port}/"):
                pass

    run(scenario())
