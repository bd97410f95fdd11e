"""Connect to a WebSocket server, and bound how long a peer may be silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Any

from websockets import http11
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.exceptions import InvalidHandshake, InvalidURI, SecurityError, WebSocketException
from websockets.uri import parse_uri

from chassis import network, proxy
from chassis.tasks import end

from .batching import MAX_MESSAGE, WRITE_LIMIT, BatchingClient


@contextlib.asynccontextmanager
async def dial(
    url: str, *, stop: asyncio.Event | None = None, silence: float = 30.0, **options: Any
) -> AsyncIterator[BatchingClient]:
    """Connect to `url` for the length of the `async with` block, without compression.

    A `proxy` among the options is the URL of one that `chassis.proxy` knows. `stop` ends a
    handshake that is under way; sent bytes may stay unacknowledged for `silence` seconds.
    `options` go to `websockets.connect`. Raises OSError, TimeoutError or
    websockets.exceptions.InvalidHandshake when there is no connection to be had.
    """
    options = {
        "compression": None,
        "proxy": None,
        "max_size": MAX_MESSAGE,
        "write_limit": WRITE_LIMIT,
        "open_timeout": 10,
        "close_timeout": 2,
        **options,
    }
    connection = await _connect(url, stop or asyncio.Event(), options)
    limit_silence(connection, silence)
    try:
        yield connection
    finally:
        # A close frame cannot pass a peer that has stopped reading.
        if connection.unwritten > 0:
            connection.abort()
        await connection.close()


class Connect(connect):
    """`websockets.connect`, which leads to the server that was named, and to no other."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow a redirect to the same server only: nobody shall send us elsewhere."""
        target = super().process_redirect(exc)
        if isinstance(target, str):
            here, there = self.ws_uri, parse_uri(target)
            upgrade = (here.port, there.port, there.secure) == (80, 443, True)
            if here.host != there.host or not (here.port == there.port or upgrade):
                where = f"{there.host}:{there.port}"
                return SecurityError(f"a redirect to another server, {where}, is not followed")
        return target


class _Connect(Connect):
    """The same, but for how it gets there."""

    async def open_tcp_connection(self) -> ClientConnection:
        """Open a connection, with TLS if the URL says so."""
        uri = self.ws_uri
        if isinstance(self.proxy, str):
            sock = await proxy.connect(self.proxy, uri.host, uri.port)
        else:
            sock = await network.connect(uri.host, uri.port)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: self.factory(uri),
            sock=sock,
            ssl=True if uri.secure else None,
            server_hostname=uri.host if uri.secure else None,
        )
        return connection


def _read_no_body(*_: Any) -> Generator[None, None, bytes]:
    """Read no page that refuses us; the status says enough.

    websockets reads up to a megabyte of it, in chunks of a byte if the peer likes, each of which
    it appends to a copy: that holds up the event loop for half a minute.
    """
    yield from ()
    return b""


http11.read_body = _read_no_body  # type: ignore[assignment]


async def _connect(url: str, stop: asyncio.Event, options: dict[str, Any]) -> BatchingClient:
    async def handshake() -> BatchingClient:
        connection = await _Connect(url, create_connection=BatchingClient, **options)
        assert isinstance(connection, BatchingClient)
        return connection

    connecting = asyncio.ensure_future(handshake())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            return connecting.result()
        raise ConnectionAbortedError("stopped during the handshake")
    except asyncio.CancelledError:
        if connecting.done() and not connecting.cancelled() and not connecting.exception():
            connecting.result().abort()
        raise
    except (InvalidHandshake, OSError):
        raise
    except InvalidURI as error:
        # Its own words begin with the whole address, and that may hold a secret.
        raise InvalidHandshake(f"not a WebSocket address: {error.msg}") from None
    except (WebSocketException, ValueError, LookupError) as error:
        # A redirect can lead anywhere, and what comes back can be anything.
        raise InvalidHandshake(str(error)) from error
    finally:
        for task in (connecting, stopping):
            if not task.done():
                await end(task)


def limit_silence(connection: Connection, seconds: float) -> None:
    """Have the kernel drop the connection when sent bytes stay unacknowledged for `seconds`."""
    sock = connection.transport.get_extra_info("socket")
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
