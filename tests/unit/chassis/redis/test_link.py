"""The link to Redis: patient with a server that is away, not with bugs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
from prometheus_client import REGISTRY

from chassis.logs import Log
from chassis.redis import Link, Script, Unavailable, checked, pairs
from chassis.redis import link as link_module
from tests.support import servers
from tests.support.servers import Server, free_port
from tests.support.waiting import DEADLINE, eventually


class Recorded(Log):
    """A log that keeps its events."""

    def __init__(self) -> None:
        super().__init__("example")
        self.events: list[str] = []

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        self.events.append(event)


@pytest.fixture
def log() -> Recorded:
    return Recorded()


@pytest.fixture
async def link(server: Server, log: Recorded) -> AsyncIterator[Link]:
    server.client.flushall()
    link = Link(server.url, log, timeout=0.2, stop=asyncio.Event())
    yield link
    await link.close()


def failures(reason: str) -> float:
    value = REGISTRY.get_sample_value("redis_failures_total", {"reason": reason})
    assert value is not None
    return value


async def test_goes_on_when_redis_comes(log: Recorded, tmp_path: Path) -> None:
    """A service that is started before Redis would fail, flood the log, or wait for ever."""
    with servers.running("valkey", tmp_path) as server:
        server.stop()
        link = Link(server.url, log, timeout=0.5, stop=asyncio.Event())
        before = failures("connection")
        asking = asyncio.ensure_future(link.patiently(lambda: link.send("INCR", "n")))
        await eventually(lambda: failures("connection") >= before + 3, "three attempts")
        assert log.events == ["waiting for Redis"]
        assert (link.up, REGISTRY.get_sample_value("redis_up")) == (False, 0)
        server.start()
        async with asyncio.timeout(DEADLINE):
            assert await asking == 1
        assert log.events == ["waiting for Redis", "Redis answers again"]
        assert (link.up, REGISTRY.get_sample_value("redis_up")) == (True, 1)
        await link.close()


async def test_up_only_after_an_answer(link: Link) -> None:
    """A service would say that it is ready before it has ever spoken to Redis."""
    assert not link.up
    assert await link.patiently(lambda: link.send("PING"))
    assert link.up


async def test_no_patience_with_bugs(link: Link, log: Recorded) -> None:
    """A wrong command would be tried for ever."""
    await link.send("SET", "text", "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        await link.patiently(lambda: link.send("XLEN", "text"))

    async def bug() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await link.patiently(bug)
    assert log.events == []


async def test_a_frozen_server(server: Server, link: Link, log: Recorded) -> None:
    """A server that does not answer would hold a service up without a word."""
    await link.patiently(lambda: link.send("PING"))
    before = failures("timeout")
    server.freeze()
    try:
        asking = asyncio.ensure_future(link.patiently(lambda: link.send("INCR", "n")))
        await eventually(lambda: failures("timeout") >= before + 2, "two attempts")
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
        asking = asyncio.ensure_future(link.patiently(lambda: link.send("SET", "key", "value")))
        await eventually(lambda: failures("memory") >= before + 2, "two attempts")
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
    asking = asyncio.ensure_future(link.patiently(lambda: link.send("PING")))
    await eventually(lambda: failures("connection") > before, "an attempt")
    stop.set()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Unavailable):
            await asking
        # The patience is the service's, not each operation's.
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await link.patiently(lambda: link.send("PING"))
        assert time.monotonic() - began < 0.2
    await link.close()


async def test_a_command_runs_once(server: Server, link: Link) -> None:
    """A command whose reply was lost would be sent again unseen, and counted twice."""
    await link.send("PING")
    server.freeze()
    try:
        with pytest.raises(redis.exceptions.TimeoutError):
            await link.send("INCR", "once")
    finally:
        server.thaw()
    assert int(await link.send("GET", "once") or 0) <= 1


async def test_blocking_reads_outlast_the_time_out(link: Link) -> None:
    """Waiting for something new would look like a dead server."""
    began = time.monotonic()
    assert not await link.read({"raw": b"0-0"}, count=1)
    assert time.monotonic() - began >= 0.9
    assert await link.send("PING")


async def test_replies_are_as_redis_sends_them(link: Link) -> None:
    """Fields with the same name would be lost, and each entry cost more."""
    values: list[Any] = ["0", b"x", "1", b"y", "0", b"z"]
    await link.send("XADD", "raw", "1-1", *values)
    expected = [b"1-1", [b"0", b"x", b"1", b"y", b"0", b"z"]]
    assert await link.send("XRANGE", "raw", "-", "+") == [expected]
    assert await link.send("XREVRANGE", "raw", "+", "-", "COUNT", 1) == [expected]
    found = await link.read({"raw": b"0-0", "none": b"0-0"}, count=9)
    assert {stream: [list(entry) for entry in entries] for stream, entries in found.items()} == {
        "raw": [expected]
    }
    assert await link.read({"raw": b"1-1"}, count=9, block=False) == {}
    await link.send("HSET", "hash", "a", 1, "b", b"2")
    assert await link.send("HGETALL", "hash") == [b"a", b"1", b"b", b"2"]
    assert pairs(await link.send("HGETALL", "hash")) == {b"a": b"1", b"b": b"2"}


async def test_one_of_many_fails_alone(link: Link) -> None:
    """One feed's broken key would keep all the others from being served."""
    await link.send("SET", "text", "x")
    replies = await link.send_all([("INCR", "n"), ("XLEN", "text"), ("INCR", "n")])
    assert replies[::2] == [1, 2]
    assert "WRONGTYPE" in str(replies[1])
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        checked(replies)
    assert await link.send_all([]) == []


async def test_scripts_survive_a_flush(link: Link) -> None:
    """A server that was restarted would not know our scripts any more."""
    script = Script("return {KEYS[1], ARGV[1]}")
    for _ in range(2):
        assert await link.send(*script(["k"], ["v"])) == [b"k", b"v"]
        await link.send("SCRIPT", "FLUSH")
        replies = await link.send_all([("INCR", "n"), script(["k"], ["w"]), ("INCR", "n")])
        assert replies[1] == [b"k", b"w"]
        await link.send("SCRIPT", "FLUSH")


async def test_attempts_note_what_may_pass(link: Link) -> None:
    """What cannot be mended would be hidden, or what passes by itself end a service."""

    async def away() -> None:
        raise redis.exceptions.ConnectionError("away")

    assert await link.attempt(lambda: link.send("PING"))
    assert not await link.attempt(away)
    with pytest.raises(redis.exceptions.ResponseError):
        await link.attempt(lambda: link.send("NONSENSE"))


async def test_what_is_published_is_heard(link: Link) -> None:
    """A replica would not hear the others."""
    subscriber = link.listen()
    await subscriber.subscribe(b"one")
    assert await subscriber.next(5.0) == (b"one", None)
    await link.send("PUBLISH", "one", "hello")
    assert await subscriber.next(5.0) == (b"one", b"hello")
    assert await subscriber.next(0.01) is None
    await subscriber.close()
