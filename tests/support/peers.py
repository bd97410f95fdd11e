"""Peers of batching connections, in the test's own event loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from websockets.asyncio.server import serve

from chassis.websocket import MAX_MESSAGE, BatchingServer

DEADLINE = 10.0

Run = Callable[[Coroutine[Any, Any, None]], None]


@contextlib.asynccontextmanager
async def peer(handle: Callable[[BatchingServer], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve with `handle`; yields the URL."""

    async def handler(connection: Any) -> None:
        await handle(connection)

    async with serve(
        handler, "127.0.0.1", 0, create_connection=BatchingServer, compression=None,
        max_size=MAX_MESSAGE, ping_interval=None, close_timeout=0.1,
    ) as server:  # fmt: skip
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"
