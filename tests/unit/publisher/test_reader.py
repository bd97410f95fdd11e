"""Who reads a lane for all, and who lags and reads for itself, with a real server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from chassis.redis import Link
from publisher import reader
from publisher.position import Position
from publisher.reader import Reader, Stream, Tail
from relay import keys
from relay.entry import START
from relay.feeds import Peer
from relay.ordered import Entry
from relay.reading import ReadSize
from tests.support.peers import DEADLINE


@pytest.fixture
async def made(link: Link) -> AsyncIterator[Reader]:
    made = Reader(link)
    running = asyncio.ensure_future(made.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def tail(stream: Stream, feed: str, confirmed: bytes = START) -> Tail:
    """Make the tail of a sink that has confirmed so much."""
    sink = Position(feed)
    sink.confirmed = confirmed
    return stream.tail(Peer(feed, "s", "ws://s"), sink)


def nothing(_entries: list[Entry]) -> None:
    """Note nothing."""


async def publish(link: Link, first: int, last: int, lane: str = "x", feeds: str = "") -> None:
    """Append entries of a message each, of feeds in turn."""
    for seq in range(first, last + 1):
        field = f"{feeds[seq % len(feeds)]}:{seq}" if feeds else seq
        await link.send(
            "XADD", keys.ordered(lane), f"1-{seq}", "t", 1000 + seq, "seq", f"1:{seq}", field,
            b"x" * 100,
        )  # fmt: skip


async def taken(one: Tail, upto: int) -> list[int]:
    """Take until the entry of the number `upto`."""
    found: list[int] = []
    async with asyncio.timeout(DEADLINE):
        while not found or found[-1] < upto:
            found += [int(entry.partition(b"-")[2]) for entry, _ in await one.take()]
    return found


async def test_all_get_what_is_read_once(link: Link, made: Reader) -> None:
    """One sink would take another's messages from it."""
    stream = made.follow("x", START, nothing)
    tails = [tail(stream, "x") for _ in range(3)]
    takes = [asyncio.ensure_future(taken(each, 50)) for each in tails]
    await publish(link, 1, 50)
    assert await asyncio.gather(*takes) == [list(range(1, 51))] * 3


async def test_feeds_of_a_lane(link: Link, made: Reader) -> None:
    """A feed's messages would go to another's endpoint."""
    stream = made.follow("+1", START, nothing)
    tails = {feed: tail(stream, feed) for feed in "abc"}
    takes = [asyncio.ensure_future(taken(tails[feed], 48 + at)) for at, feed in enumerate("abc")]
    await publish(link, 1, 50, "+1", "abc")
    assert await asyncio.gather(*takes) == [
        [seq for seq in range(1, 51) if seq % 3 == at] for at in range(3)
    ]


async def test_who_joins_reads_what_was_before(link: Link, made: Reader) -> None:
    """What waits for one sink would be passed over because another is farther."""
    await publish(link, 1, 40)
    stream = made.follow("x", b"1-40", nothing)
    ahead = asyncio.ensure_future(taken(tail(stream, "x", b"1-40"), 60))
    await publish(link, 41, 50)
    behind = asyncio.ensure_future(taken(tail(stream, "x", b"1-5"), 60))
    await publish(link, 51, 60)
    assert await ahead == list(range(41, 61))
    assert await behind == list(range(6, 61))


async def test_who_begins_alone_begins_where_it_stands(link: Link, made: Reader) -> None:
    """After a reconnect, messages would be passed over, or come a second later."""
    await publish(link, 1, 40)
    stream = made.follow("x", START, nothing)
    for cursor in (b"1-30", b"1-5", b"1-39"):
        one = tail(stream, "x", cursor)
        assert await taken(one, 40) == list(range(int(cursor[2:]) + 1, 41))
        waiting = asyncio.ensure_future(one.take())
        await asyncio.sleep(0.01)
        one.close()
        one.wake()
        assert await waiting == []


async def test_what_waits_for_a_slow_one_is_bounded(
    link: Link, made: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One endpoint that is stuck would take all memory, or hold up the lane's others."""
    monkeypatch.setattr(reader, "AHEAD", 2000)
    stream = made.follow("x", START, nothing)
    slow, quick = tail(stream, "x"), tail(stream, "x")
    joining = asyncio.ensure_future(slow.take())
    taking = asyncio.ensure_future(taken(quick, 500))
    await publish(link, 1, 500)
    assert await taking == list(range(1, 501))
    first = [int(entry.partition(b"-")[2]) for entry, _ in await joining]
    assert slow._size < 2 * 2000 + ReadSize.BYTES
    assert len(slow._entries) < 490
    assert first + await taken(slow, 500) == list(range(1, 501))


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_missed_or_comes_twice(
    link: Link, made: Reader, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """When sinks come, go, lag and catch up, one would miss messages, or have them twice."""
    monkeypatch.setattr(reader, "AHEAD", 500)
    dice = random.Random(seed)
    shared = dice.random() < 0.5
    lane, feeds = ("+1", "abc") if shared else ("x", "x")
    stream = made.follow(lane, START, nothing)

    async def sink(feed: str) -> None:
        expected = [seq for seq in range(1, 201) if not shared or "abc"[seq % 3] == feed]
        confirmed = 0
        while expected[-1] > confirmed:
            await session(stream, feed, confirmed, expected)
            published = await link.send("XLEN", keys.ordered(lane))
            confirmed = min(confirmed + dice.choice([0, dice.randint(0, 60)]), published)

    async def session(stream: Stream, feed: str, confirmed: int, expected: list[int]) -> None:
        one = tail(stream, feed, b"1-%d" % confirmed)
        left = [seq for seq in expected if seq > confirmed]
        for _ in range(dice.randint(1, 12)):
            taking = asyncio.ensure_future(one.take())
            await asyncio.sleep(dice.choice([0.0, 0.0, 0.003]))
            one.wake()
            came = [int(entry.partition(b"-")[2]) for entry, _ in await taking]
            assert came == left[: len(came)]
            del left[: len(came)]
        one.close()

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(
            publish(link, 1, 200, lane, "abc" if shared else ""),
            *(sink(dice.choice(feeds)) for _ in range(5)),
        )
    assert stream.tails == {}
