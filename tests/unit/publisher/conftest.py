"""A real server that holds a feed `x`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chassis import logs
from chassis.lease import Lease
from chassis.redis import Link
from relay import keys
from tests.support.servers import Server


@pytest.fixture
async def link(server: Server) -> AsyncIterator[Link]:
    server.client.flushall()
    link = Link(server.url, logs.get("example"), timeout=5.0, stop=asyncio.Event())
    await link.send("HSET", keys.order("x"), keys.ORDER_INCARNATION, "abc")
    yield link
    await link.close()


@pytest.fixture
async def lease(link: Link) -> Lease:
    """The lease on the lane `x`, which is held."""
    lease = Lease(link, "x", keys.PUBLISHER, "me", 60.0)
    assert await lease.acquire()
    return lease
