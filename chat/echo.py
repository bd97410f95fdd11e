"""The echo: whatever a client sends comes back to it, text as text and binary as binary."""

from __future__ import annotations

import asyncio

from broadcast.closing import ENCODING, Close
from broadcast.connection import Connection
from broadcast.frames import BINARY, TEXT, frame
from chassis.websocket import ConnectionClosed

from . import metrics

MAX_BYTES = 1024 * 1024
"""Bytes of a message at which the connection is closed with 1009."""


TOGETHER = 64
"""Messages after which others get their turn."""


async def serve(connection: Connection) -> None:
    """Serve a connection until it ends; who does not read is not read either."""
    room = metrics.ECHO
    metrics.JOINS.labels(room).inc()
    connected = metrics.CONNECTIONS.labels(room)
    connected.inc()
    try:
        while True:
            for count, (data, binary) in enumerate(await connection.messages(), 1):
                if count % TOGETHER == 0:
                    await asyncio.sleep(0)
                metrics.RECEIVED.labels(room).inc()
                if not binary:
                    _check(data)
                connection.write_frames(frame(data, BINARY if binary else TEXT))
                metrics.DELIVERIES.labels(room).inc()
                await connection.drain()
    except Close as close:
        await connection.part(close.reason)
    except (ConnectionClosed, OSError):
        pass
    finally:
        connected.dec()


def _check(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise Close(ENCODING) from None
