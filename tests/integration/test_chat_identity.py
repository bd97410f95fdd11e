"""Who a client is, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis import logs
from chassis.redis import Link, transient
from chat.identity import Clients
from tests.support.servers import Server

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

CROWD = 500


@pytest_asyncio.fixture
async def clients(redis: Server) -> AsyncIterator[Clients]:
    """Name clients; nobody else does."""
    link = Link(redis.url, logs.get("chat"), timeout=5.0, stop=asyncio.Event())
    await link.send("PING")
    link.succeeded()
    yield Clients(link, "main", lambda: 0)
    await link.close()


async def test_a_crowd_is_named_together(redis: Server, clients: Clients) -> None:
    """Each would wait for all before it, and who had gone meanwhile would be kept in memory."""
    named = await asyncio.gather(*(clients.admit("") for _ in range(CROWD)))
    assert named == [(f"Client_{number}", False) for number in range(1, CROWD + 1)]
    assert redis.client.info("commandstats")["cmdstat_evalsha"]["calls"] < 10


async def test_a_token_proves_a_name(clients: Clients) -> None:
    """Anybody could come back as somebody else, or nobody as who he was."""
    name, _ = await clients.admit("")
    assert await clients.admit(clients.token(name)) == (name, True)
    assert await clients.admit(f"{name}.{'0' * 32}") == ("Client_2", False)


async def test_a_counter_that_is_lost_gives_no_number_twice(
    redis: Server, clients: Clients
) -> None:
    """Two clients in one room would have one name."""
    await asyncio.gather(*(clients.admit("") for _ in range(3)))
    redis.client.flushall()
    assert await clients.admit("") == ("Client_4", False)


async def test_who_goes_while_he_waits(clients: Clients) -> None:
    """Those behind him would wait for ever."""
    crowd = [asyncio.ensure_future(clients.admit("")) for _ in range(CROWD)]
    await asyncio.sleep(0)
    for one in crowd[::2]:
        one.cancel()
    named = await asyncio.gather(*crowd[1::2])
    assert len(set(named)) == CROWD // 2


async def test_without_redis_all_are_told(redis: Server, clients: Clients) -> None:
    """A crowd would wait for Redis one after the other."""
    await clients.admit("")
    redis.kill()
    crowd = (clients.admit("") for _ in range(CROWD))
    for told in await asyncio.gather(*crowd, return_exceptions=True):
        assert isinstance(told, Exception)
        assert transient(told) is not None
