"""Batching connections with peers that mean no good, over loopback, with either event loop."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.protocol import OPEN

from chassis import websocket
from chassis.websocket import BatchingServer, dial
from tests.support.peers import Run, peer


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


@pytest.mark.parametrize("kind", ["pings", "fragments"])
def test_a_flood_of_what_is_no_message_is_cut(
    kind: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer could keep a service busy, and fill its memory, with frames that no inbox counts."""
    monkeypatch.setattr(websocket._Batching, "EXTRA_BURST", 1000)
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
