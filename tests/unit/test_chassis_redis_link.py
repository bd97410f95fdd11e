"""The link to Redis: patient with a server that is away, not with bugs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
from prometheus_client import REGISTRY

from chassis.logs import Log
from chassis.redis import Link, Unavailable
from chassis.redis import link as link_module
from tests.support import servers
from tests.support.servers import Server, free_port

DEADLINE = 10.0


class Recorded(Log):
    """A log that keeps its events."""

    def __init__(self) -> None:
        super().__init__("example")
        self.events: list[str] = []

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        self.events.append(event)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey for all tests here."""
    program = servers.binary("valkey")
    assert program is not None
    running = Server(program, tmp_path_factory.mktemp("valkey"))
    yield running
    running.close()


@pytest.fixture
def log() -> Recorded:
    return Recorded()


@pytest.fixture
async def link(server: Server, log: Recorded) -> AsyncIterator[Link]:
    server.client.flushall()
    link = Link(server.url, log, timeout=0.2, stop=asyncio.Event())
    yield link
    await link.close()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        await asyncio.sleep(0.005)


def failures(reason: str) -> float:
    value = REGISTRY.get_sample_value("redis_failures_total", {"reason": reason})
    assert value is not None
    return value


async def test_goes_on_when_redis_comes(log: Recorded, tmp_path: Path) -> None:
    """A service that is started before Redis would fail, flood the log, or wait for ever."""
    program = servers.binary("valkey")
    assert program is not None
    server = Server(program, tmp_path)
    server.stop()
    link = Link(server.url, log, timeout=0.5, stop=asyncio.Event())
    before = failures("connection")
    asking = asyncio.ensure_future(link.patiently(lambda: link.client.incr("n")))
    try:
        await until(lambda: failures("connection") >= before + 3, "three attempts")
        assert log.events == ["waiting for Redis"]
        assert (link.up, REGISTRY.get_sample_value("redis_up")) == (False, 0)
        server.start()
        async with asyncio.timeout(DEADLINE):
            assert await asking == 1
        assert log.events == ["waiting for Redis", "Redis answers again"]
        assert (link.up, REGISTRY.get_sample_value("redis_up")) == (True, 1)
    finally:
        await link.close()
        server.close()


async def test_up_only_after_an_answer(link: Link) -> None:
    """A service would say that it is ready before it has ever spoken to Redis."""
    assert not link.up
    assert await link.patiently(link.client.ping)
    assert link.up


async def test_no_patience_with_bugs(link: Link, log: Recorded) -> None:
    """A wrong command would be tried for ever."""
    await link.client.set("text", "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        await link.patiently(lambda: link.client.xlen("text"))

    async def bug() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await link.patiently(bug)
    assert log.events == []


async def test_a_frozen_server(server: Server, link: Link, log: Recorded) -> None:
    """A server that does not answer would hold a service up without a word."""
    await link.patiently(link.client.ping)
    before = failures("timeout")
    server.freeze()
    try:
        asking = asyncio.ensure_future(link.patiently(lambda: link.client.incr("n")))
        await until(lambda: failures("timeout") >= before + 2, "two attempts")
        assert log.events == ["waiting for Redis"]
    finally:
        server.thaw()
    async with asyncio.timeout(DEADLINE):
        assert await asking >= 1
    assert log.events == ["waiting for Redis", "Redis answers again"]


async def test_a_full_server(server: Server, link: Link) -> None:
    """A write that finds no memory would fail the service, or be thought of as done."""
    before = failures("memory")
    server.configure("maxmemory", "1")
    try:
        asking = asyncio.ensure_future(link.patiently(lambda: link.client.set("key", "value")))
        await until(lambda: failures("memory") >= before + 2, "two attempts")
        assert not asking.done()
    finally:
        server.configure("maxmemory", "0")
    async with asyncio.timeout(DEADLINE):
        assert await asking


async def test_gives_up_when_stopping(log: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service could not be stopped while Redis is away."""
    monkeypatch.setattr(link_module, "DRAIN", 0.2)
    stop = asyncio.Event()
    link = Link(f"redis://127.0.0.1:{free_port()}/0", log, timeout=0.5, stop=stop)
    before = failures("connection")
    asking = asyncio.ensure_future(link.patiently(link.client.ping))
    await until(lambda: failures("connection") > before, "an attempt")
    stop.set()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Unavailable):
            await asking
        # The patience is the service's, not each operation's.
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await link.patiently(link.client.ping)
        assert time.monotonic() - began < 0.2
    await link.close()


async def test_a_command_runs_once(server: Server, link: Link) -> None:
    """A command whose reply was lost would be sent again unseen, and counted twice."""
    await link.client.ping()
    server.freeze()
    try:
        with pytest.raises(redis.exceptions.TimeoutError):
            await link.client.incr("once")
    finally:
        server.thaw()
    assert int(await link.client.get("once") or 0) <= 1


async def test_blocking_reads_outlast_the_time_out(link: Link) -> None:
    """Waiting for something new would look like a dead server."""
    began = time.monotonic()
    assert not await link.reader.xread({"raw": "0-0"}, block=400)
    assert time.monotonic() - began >= 0.35
    assert await link.client.ping()


async def test_streams_come_as_lists(link: Link) -> None:
    """Fields with the same name would be lost, and each entry cost more."""
    pairs: list[Any] = ["0", b"x", "1", b"y", "0", b"z"]
    await link.client.execute_command("XADD", "raw", "1-1", *pairs)
    expected = [b"1-1", [b"0", b"x", b"1", b"y", b"0", b"z"]]
    assert await link.client.xrange("raw") == [expected]
    assert await link.client.xrevrange("raw", count=1) == [expected]
    assert await link.reader.xread({"raw": "0-0"}) == [[b"raw", [expected]]]


async def test_options(link: Link) -> None:
    """redis-py's own retries or RESP3 would come back with an update of the library."""
    for client in (link.client, link.reader):
        connection = client.connection_pool.make_connection()
        assert connection.protocol == 2
        assert connection.retry.get_retries() == 0
    assert link.client.connection_pool.connection_kwargs["socket_timeout"] == 0.2
    assert link.reader.connection_pool.connection_kwargs["socket_timeout"] > 1.0
