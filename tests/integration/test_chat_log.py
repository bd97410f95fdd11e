"""The script that gives a room its one order, called in every wrong way."""

from __future__ import annotations

import asyncio

import pytest

from chassis import logs
from chassis.redis import Link
from chat.log import NOWHERE, Draft, Log, Outcome, unpack
from chat.records import Position
from tests.support.servers import Server


def drafts(*texts: str, **options: object) -> list[Draft]:
    return [Draft(b'{"message":"%s"' % text.encode(), **options) for text in texts]  # type: ignore[arg-type]


async def test_the_order_is_given_once(redis: Server) -> None:
    """A call that is repeated, late or out of date would double messages or reuse numbers."""
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log, other = (Log(link, "main", name, 1000) for name in ("a", "b"))
    listener = redis.client.pubsub()
    listener.subscribe("chat:{main}")
    assert await log.end() == NOWHERE
    start = await log.begin()
    assert start.seq == 0
    assert await other.begin() == start
    first = await log.publish(1, drafts("x", "y"), start, 1)
    assert first == [Outcome(Position(start.epoch, seq), False) for seq in (1, 2)]
    # The reply was lost: the same call again. And one that comes late.
    assert await log.publish(1, drafts("x", "y"), start, 1) == first
    await other.publish(1, drafts("z"), start, 1)
    await log.publish(2, drafts("w"), start, 1)
    with pytest.raises(RuntimeError, match="stale"):
        await log.publish(1, drafts("x", "y"), start, 1)
    found = await log.after(start, 100)
    assert [record.data for record in found] == [
        b'{"message":"%s","seq":%d,"epoch":%d}' % (text, seq, start.epoch)
        for seq, text in enumerate((b"x", b"y", b"z", b"w"), 1)
    ]
    heard = []
    while (message := listener.get_message(timeout=0.2)) is not None:
        if message["type"] == "message":
            heard += unpack(message["data"]).records
    assert heard == found
    await link.close()


async def test_numbers_are_not_given_twice(redis: Server) -> None:
    """After a loss of the log's end, two messages would have the same number."""
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log = Log(link, "main", "a", 1000)
    start = await log.begin()
    outcomes = await log.publish(1, drafts("1", "2", "3"), start, 0)
    seen = outcomes[-1].position
    redis.client.xdel("chat:{main}:log", str(seen))
    (after,) = await log.publish(2, drafts("4"), seen, 0)
    assert after.position.epoch > seen.epoch
    assert after.position.seq == 1
    redis.client.flushall()
    (again,) = await log.publish(3, drafts("5"), after.position, 0)
    assert again.position.epoch > after.position.epoch
    await link.close()
