"""A sink's position in a real server, and what is kept behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from chassis import logs
from chassis.redis import Link
from publisher.position import START, Position, order
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
    server.client.hset(keys.order("x"), keys.ORDER_INCARNATION.decode(), "abc")
    link = Link(server.url, logs.get("example"), timeout=5.0, stop=asyncio.Event())
    yield link
    await link.close()


async def publish(link: Link, first: int, last: int, step: int = 1) -> None:
    """Append entries that end with `first`, `first + step`, … `last`."""
    pipeline = link.client.pipeline(transaction=False)
    for seq in range(first, last + 1, step):
        pipeline.xadd(keys.ordered("x"), {"t": 1000 + seq, str(seq): "frame"}, id=f"1-{seq}")
    await pipeline.execute()


def test_order() -> None:
    """Position 1-9 would lie behind 1-10, or epoch 2 before epoch 1."""
    positions = [b"10-0", b"2-0", b"1-10", b"1-9", b"1-0", START]
    assert sorted(positions, key=order) == positions[::-1]
    assert order(b"1-%d" % (2**63 - 1)) < order(b"1-%d" % 2**63)


async def test_begins_before_the_first_entry(link: Link) -> None:
    """A new sink would miss what was there before it."""
    position = Position(link, "x", "s", [], 100)
    assert await position.load()
    assert position.confirmed == START
    assert not await position.lost()


async def test_is_remembered(link: Link) -> None:
    """A restarted publisher would send everything again, or skip something."""
    position = Position(link, "x", "s", [], 100)
    await position.load()
    await position.save(b"1-7", 7)
    again = Position(link, "x", "s", [], 100)
    assert await again.load()
    assert again.confirmed == b"1-7"


async def test_a_numbering_that_was_lost(link: Link) -> None:
    """After a loss of data, everything up to the old position would be withheld."""
    position = Position(link, "x", "s", [], 100)
    await position.load()
    await position.save(b"1-7", 7)
    await link.client.hset(keys.order("x"), keys.ORDER_INCARNATION.decode(), "def")
    assert await position.lost()
    again = Position(link, "x", "s", [], 100)
    assert not await again.load()
    assert again.confirmed == START
    await position.forget()
    assert await Position(link, "x", "s", [], 100).load()


async def test_the_oldest_unconfirmed(link: Link) -> None:
    """The lag would be that of another message."""
    position = Position(link, "x", "s", [], 100)
    await position.load()
    assert await position.oldest_unconfirmed() is None
    await publish(link, 1, 3)
    assert await position.oldest_unconfirmed() == 1001
    await position.save(b"1-2", 2)
    assert await position.oldest_unconfirmed() == 1003
    await position.save(b"1-3", 1)
    assert await position.oldest_unconfirmed() is None


@pytest.mark.parametrize("retain", [0, 10, 640])
async def test_keeps_what_it_should(retain: int, link: Link) -> None:
    """Messages would be gone before they are confirmed or kept for ever."""
    position = Position(link, "x", "s", [], retain)
    await position.load()
    await publish(link, 1, 2000)
    for seq in range(5, 1501, 5):
        await position.save(b"1-%d" % seq, 5)
        if seq % 100 == 0:
            await position.settle()
            oldest = (await link.client.xrange(keys.ordered("x"), count=1))[0][0]
            kept = seq - order(oldest)[1] + 1
            assert kept >= min(seq, retain)
            assert kept <= retain + 2 * max(5, retain // 64 + 5)
    assert await link.client.xlen(keys.ordered("x")) >= 500


@pytest.mark.parametrize("other", [b"1-20", None])
async def test_waits_for_the_slowest(other: bytes | None, link: Link) -> None:
    """A slow sink, or one that has never been connected, would lose messages."""
    await publish(link, 1, 100)
    if other is not None:
        slow = Position(link, "x", "slow", ["s"], 0)
        await slow.load()
        await slow.save(other, 20)
    position = Position(link, "x", "s", ["slow"], 0)
    await position.load()
    await position.save(b"1-100", 100)
    await position.settle()
    assert await link.client.xlen(keys.ordered("x")) == 100
    assert await link.client.get(keys.slowest("x")) is None
