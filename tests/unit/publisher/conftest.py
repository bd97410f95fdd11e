"""A real server that holds a feed `x`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from chassis import logs
from chassis.redis import Link
from relay import keys
from tests.support import servers
from tests.support.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey for all tests here."""
    program = servers.binary("valkey")
    assert program is not None
    running = Server(program, tmp_path_factory.mktemp("valkey"))
    yield running
    running.close()


@pytest.fixture
async def link(server: Server) -> AsyncIterator[Link]:
    server.client.flushall()
    link = Link(server.url, logs.get("example"), timeout=5.0, stop=asyncio.Event())
    await link.send("HSET", keys.order("x"), keys.ORDER_INCARNATION, "abc")
    yield link
    await link.close()
