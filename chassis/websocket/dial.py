"""Connect to a WebSocket server, and bound how long a peer may be silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.exceptions import InvalidHandshake, WebSocketException

from chassis.tasks import end

from .batching import MAX_MESSAGE, WRITE_LIMIT, BatchingClient


@contextlib.asynccontextmanager
async def dial(
    url: str, *, stop: asyncio.Event | None = None, silence: float = 30.0, **options: Any
) -> AsyncIterator[BatchingClient]:
    """Connect to `url` for the length of the `async with` block, without compression or proxy.

    `stop` ends a handshake that is under way; sent bytes may stay unacknowledged for `silence`
    seconds. `options` go to `websockets.connect`. Raises OSError, TimeoutError or
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


async def _connect(url: str, stop: asyncio.Event, options: dict[str, Any]) -> BatchingClient:
    async def handshake() -> BatchingClient:
        connection = await connect(url, create_connection=BatchingClient, **options)
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
