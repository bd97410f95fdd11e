"""The script that gives a room its one order, called in every wrong way."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis import logs
from chassis.redis import Link
from chat.log import NOWHERE, Draft, Log, Outcome, unpack
from chat.records import Position, Record
from tests.support.servers import Server


def drafts(*texts: str, **options: object) -> list[Draft]:
    return [Draft(b'{"message":"%s"' % text.encode(), **options) for text in texts]  # type: ignore[arg-type]


def without_time(data: bytes) -> bytes:
    """Take the time out of a record, which must begin with it."""
    time, _, rest = data.partition(b",")
    assert re.fullmatch(rb'{"time":"[0-9T:.-]{23}\+00:00"', time)
    return b"{" + rest


async def test_the_order_is_given_once(redis: Server) -> None:
    """A call that is repeated, late or out of date would double messages or reuse numbers."""
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log, other = (Log(link, "main", name, 1000, 1.0) for name in ("a", "b"))
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
    assert [without_time(record.data) for record in found] == [
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
    log = Log(link, "main", "a", 1000, 1.0)
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


async def test_the_log_is_bounded_in_bytes(redis: Server) -> None:
    """Few long messages would fill Redis, which the relay lives on, too."""
    redis.configure("maxmemory", str(64 * 2**20))
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log = Log(link, "main", "a", 1_000_000, 1 / 16)
    seen = await log.begin()
    for serial in range(1, 101):
        long = drafts(*("x" * 8000 for _ in range(20)))
        seen = (await log.publish(serial, long, seen, 0))[-1].position
    assert seen.seq == 2000
    used = redis.client.memory_usage("chat:{main}:log", samples=0)
    assert 3 * 2**20 < used < 6 * 2**20
    records = await log.after(Position(seen.epoch, 0), 10_000)
    assert [record.position.seq for record in records] == list(range(2001 - len(records), 2001))
    # What is counted is what there is, also by one that begins to count only now.
    counted = int(redis.client.get("chat:{main}:size"))
    redis.client.delete("chat:{main}:size")
    await log.begin(seen)
    assert int(redis.client.get("chat:{main}:size")) == counted
    await link.close()


async def test_the_log_is_bounded_in_records(redis: Server) -> None:
    """Coming and going would fill Redis."""
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log = Log(link, "main", "a", 1000, 1.0)
    seen = await log.begin()
    for serial in range(1, 31):
        seen = (await log.publish(serial, drafts(*"x" * 100), seen, 0))[-1].position
    assert redis.client.xlen("chat:{main}:log") == 1000
    await link.close()


async def test_a_full_server_takes_what_has_room(redis: Server) -> None:
    """Where the log is as long as it may be, a full Redis would end the chat."""
    redis.configure("maxmemory-policy", "noeviction")
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log = Log(link, "main", "a", 1000, 1.0)
    seen = await log.begin()
    seen = (await log.publish(1, drafts(*"x" * 1000), seen, 0))[-1].position
    redis.configure("maxmemory", "1")
    (outcome,) = await log.publish(2, drafts("y"), seen, 0)
    assert outcome.position.seq == seen.seq + 1
    assert redis.client.xlen("chat:{main}:log") == 1000
    redis.configure("maxmemory", "0")
    await link.close()


async def test_keys_go_with_their_records(redis: Server) -> None:
    """Keys alone could fill Redis, ten minutes long."""
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log = Log(link, "main", "a", 1000, 1.0)
    seen = await log.begin()
    for serial in range(1, 31):
        batch = [Draft(b'{"message":"x"', digest=f"{serial}-{number}") for number in range(100)]
        seen = (await log.publish(serial, batch, seen, 0))[-1].position
    assert len(list(redis.client.scan_iter("chat:{main}:key:*"))) == 1000
    (again,) = await log.publish(31, [Draft(b'{"message":"x"', digest="30-99")], seen, 0)
    assert again == Outcome(seen, True)
    await link.close()


async def test_time_does_not_go_back(redis: Server) -> None:
    """A Redis whose clock is set back, or that is another host's now, would turn time back."""
    link = Link(redis.url, logs.get("test"), timeout=5, stop=asyncio.Event())
    log = Log(link, "main", "a", 1000, 1.0)

    def times(records: list[Record]) -> list[str]:
        return [json.loads(record.data)["time"] for record in records]

    def redis_time() -> datetime:
        clock: Any = redis.client.time()
        return datetime.fromtimestamp(clock[0] + clock[1] // 1000 / 1000, UTC)

    before = redis_time()
    start = await log.begin()
    outcomes = await log.publish(1, drafts("x"), start, 0)
    said = times(await log.after(NOWHERE, 10))
    assert before <= datetime.fromisoformat(said[0])
    assert datetime.fromisoformat(said[0]) <= datetime.fromisoformat(said[1]) <= redis_time()
    ahead = "2999-12-31T23:59:59.999+00:00"
    seen = Position(start.epoch, outcomes[0].position.seq + 1)
    redis.client.xadd("chat:{main}:log", {"m": b'{"time":"%s"}' % ahead.encode()}, str(seen))
    (outcome,) = await log.publish(2, drafts("y"), seen, 0)
    # What comes after a loss of the log's end is no earlier, either.
    redis.client.xdel("chat:{main}:log", str(outcome.position))
    (outcome,) = await log.publish(3, drafts("z"), outcome.position, 0)
    assert outcome.position.epoch > seen.epoch
    assert times(await log.after(seen, 10)) == [ahead, ahead]
    await link.close()
