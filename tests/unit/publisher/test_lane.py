"""A lane's positions, and what is done for it once a second, with a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from chassis import logs
from chassis.lease import Lease
from chassis.redis import Link
from publisher.aside import Superseded
from publisher.lane import Lane, Lost
from publisher.reader import Reader
from relay import entry, keys
from relay.allowance import KEPT, RELAY, Allowance
from relay.entry import START
from relay.feeds import Peer
from relay.forgotten import Forgotten, pack

S = Peer("x", "s", "ws://example/s")
SLOW = Peer("x", "slow", "ws://example/slow")


class Sink:
    """Notes what it is told; nothing is sent."""

    def __init__(self) -> None:
        self.losses = 0
        self.waiting_since: int | None = None
        self.since: int | None = None

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()

    def wake(self) -> None:
        pass

    def tell_lag(self, since: int | None) -> None:
        self.since = since

    def data_loss(self) -> None:
        self.losses += 1


class Held:
    """A lane of which this publisher has the lease, and its sinks."""

    def __init__(self, link: Link, lease: Lease, peers: Sequence[Peer], retain: int) -> None:
        log = logs.get("example")
        self.sinks = {peer: Sink() for peer in peers}
        allowance = Allowance(link, log)
        self.lane = Lane(
            link, lease.feed, lease, Reader(link), retain, lambda: 0.02, allowance, log
        )

    async def advance(self, seq: int, peer: Peer = S) -> None:
        await self.lane.save(peer, b"1-%d" % seq, seq)


@asynccontextmanager
async def held(
    link: Link, lease: Lease, *peers: Peer, retain: int = 100
) -> AsyncIterator[Held]:  # fmt: skip
    holding = Held(link, lease, peers or (S,), retain)
    await holding.lane.load(holding.sinks)
    saving = asyncio.ensure_future(holding.lane.keep_saving())
    yield holding
    saving.cancel()
    with suppress(asyncio.CancelledError):
        await saving


async def publish(link: Link, first: int, last: int) -> None:
    """Append entries of one message each, ids `first` to `last`."""
    await link.send_all(
        [
            ("XADD", keys.ordered("x"), f"1-{seq}", "t", 1000 + seq, "seq", f"1:{seq}", seq, "some")
            for seq in range(first, last + 1)
        ]
    )
    await link.send("HSET", keys.order("x"), keys.ORDER_GENERATION, 1, keys.ORDER_SERIAL, last)


async def kept(link: Link) -> list[int]:
    found = await link.send("XRANGE", keys.ordered("x"), "-", "+")
    return [entry.position(name)[1] for name, _ in found]


async def read(link: Link, holding: Held) -> None:
    """Let the lane know what is in its stream, as the reader does."""
    holding.lane._retention.note(await link.send("XRANGE", keys.ordered("x"), "-", "+"))


async def renumber(link: Link, incarnation: str) -> None:
    await link.send("HSET", keys.order("x"), keys.ORDER_INCARNATION, incarnation)


# Positions ----------------------------------------------------------------------------------


async def test_is_remembered(link: Link, lease: Lease) -> None:
    """A restarted publisher would send everything again, or skip something."""
    async with held(link, lease, S, SLOW) as before:
        await asyncio.gather(before.advance(7), before.advance(3, SLOW))
    async with held(link, lease, S, SLOW) as again:
        found = [(at.confirmed, at.serial) for at in again.lane.positions.values()]
        assert found == [(b"1-7", 7), (b"1-3", 3)]
        assert [sink.losses for sink in again.sinks.values()] == [0, 0]


async def test_a_numbering_that_was_lost(link: Link, lease: Lease) -> None:
    """After a loss of data, everything up to the old position would be withheld."""
    async with held(link, lease) as holding:
        await holding.advance(7)
        await renumber(link, "def")
        with pytest.raises(Lost):
            await holding.lane.look()
        await holding.lane._link.send("HSET", keys.sink("x", "x", "s"), "incarnation", "abc")
    async with held(link, lease) as again:
        assert again.lane.positions[S].confirmed == START
        assert again.sinks[S].losses == 1


async def test_a_publisher_that_is_there_before_any_numbering(link: Link, lease: Lease) -> None:
    """It would take the first numbering for one that replaces what was lost, or never notice."""
    await link.send("DEL", keys.order("x"))
    async with held(link, lease) as holding:
        await holding.lane.look()
        await renumber(link, "first")
        await holding.lane.look()
        await holding.advance(7)
        await renumber(link, "second")
        with pytest.raises(Lost):
            await holding.lane.look()


async def test_a_numbering_that_went_back_with_the_clock(link: Link, lease: Lease) -> None:
    """What comes out of a Redis that went back, as did a clock, would be passed over."""
    await link.send("HSET", keys.order("x"), keys.ORDER_GENERATION, 9, keys.ORDER_SERIAL, 70)
    async with held(link, lease) as holding:
        await holding.lane.save(S, b"9-70", 70)
        await holding.lane.look()
        await link.send("HSET", keys.order("x"), keys.ORDER_GENERATION, 8, keys.ORDER_SERIAL, 90)
    async with held(link, lease) as again:
        assert again.lane.positions[S].confirmed == START
    with pytest.raises(Lost):
        await holding.lane.look()


async def test_a_publisher_that_was_superseded(link: Link, lease: Lease) -> None:
    """One that wakes up late would move the position back, and all since would be sent again."""
    async with held(link, lease) as late:
        await late.advance(7)
        other = Lease(link, "x", keys.PUBLISHER, "other", 60.0)
        await other.seize()
        async with held(link, other) as successor:
            await successor.advance(1000)
        with pytest.raises(Superseded):
            await late.lane._save({S: (b"1-110", 110)})
        # Also if it has the lease again meanwhile: what it knows is older than that.
        await other.release()
        assert await lease.acquire()
        with pytest.raises(Superseded):
            await late.lane._save({S: (b"1-110", 110)})
    async with held(link, lease) as again:
        assert again.lane.positions[S].confirmed == b"1-1000"


# What is kept -------------------------------------------------------------------------------


@pytest.mark.parametrize("retain", [0, 10, 640])
async def test_keeps_what_it_should(retain: int, link: Link, lease: Lease) -> None:
    """Messages would be gone before they are confirmed or kept for ever."""
    async with held(link, lease, retain=retain) as holding:
        await publish(link, 1, 2000)
        await read(link, holding)
        for seq in range(5, 1501, 5):
            await holding.advance(seq)
            if seq % 100 == 0:
                await holding.lane.look()
                behind = seq - (await kept(link))[0] + 1
                assert behind >= min(seq, retain)
                assert behind <= retain + 2 * max(5, retain // 64 + 5)
        assert len(await kept(link)) >= 500
        assert await link.send("HGET", keys.confirmed("x"), "x") == b"1500"


async def test_what_is_kept_is_counted_at_start(link: Link, lease: Lease) -> None:
    """A publisher that is restarted often would never trim."""
    await publish(link, 1, 2000)
    async with held(link, lease) as holding:
        await holding.advance(1500)
    async with held(link, lease, retain=100) as again:
        await again.lane.look()
        assert await kept(link) == list(range(1400, 2001))


@pytest.mark.parametrize("other", [20, None])
async def test_waits_for_the_slowest(other: int | None, link: Link, lease: Lease) -> None:
    """A slow sink, or one that has never been connected, would lose messages."""
    await publish(link, 1, 100)
    async with held(link, lease, S, SLOW, retain=0) as holding:
        await read(link, holding)
        if other is not None:
            await holding.advance(other, SLOW)
        await holding.advance(100)
        await holding.lane.look()
        assert (await kept(link))[0] == (other or 1)
        assert await link.send("HGET", keys.confirmed("x"), "x") == b"%d" % (other or 0)


async def test_nobody_waits_for_who_was_taken_out(link: Link, lease: Lease) -> None:
    """A feed that is held back for an endpoint that is no more would be so for good."""
    await publish(link, 1, 100)
    async with held(link, lease, S, SLOW) as before:
        await before.advance(100)
        await before.lane.look()
    async with held(link, lease) as holding:
        await holding.lane.look()
        assert await link.send("HGET", keys.confirmed("x"), "x") == b"100"


async def test_works_while_a_server_is_full(link: Link, lease: Lease) -> None:
    """A Redis that is full of confirmed messages would stay full for ever."""
    await publish(link, 1, 100)
    async with held(link, lease, retain=0) as holding:
        await read(link, holding)
        await link.send("CONFIG", "SET", "maxmemory", 1)
        try:
            await holding.advance(100)
            await holding.lane.look()
            assert await kept(link) == [100]
            assert await link.send("HGET", keys.confirmed("x"), "x") == b"100"
            await lease.release()
            assert await lease.acquire()
        finally:
            await link.send("CONFIG", "SET", "maxmemory", 0)


async def test_keeps_nothing_while_memory_is_short(link: Link, lease: Lease) -> None:
    """What nobody needs any more would stand in the way of what is yet to be delivered."""
    await publish(link, 1, 100)
    await link.send("SET", "another's", b"x" * 9 * 2**20)
    await link.send("CONFIG", "SET", "maxmemory", 10 * 2**20)
    try:
        async with held(link, lease, retain=0) as holding:
            await read(link, holding)
            await holding.advance(50)
            await holding.lane.look()
            assert await kept(link) == list(range(50, 101))
    finally:
        await link.send("CONFIG", "SET", "maxmemory", 0)


async def test_keeps_no_more_bytes_than_are_allowed(link: Link, lease: Lease) -> None:
    """Large messages that are delivered would fill Redis, however few of them are to be kept."""
    await publish(link, 1, 100)
    await link.send("CONFIG", "SET", "maxmemory", 100 * 2**20)
    try:
        async with held(link, lease, retain=1000) as holding:
            large = b"x" * 2**20
            holding.lane._retention.note(
                (b"1-%d" % seq, [b"t", b"1", b"seq", b"1:%d" % seq, b"%d" % seq, large])
                for seq in range(1, 101)
            )
            await holding.advance(100)
            await holding.lane.look()
            allowed = 100 * RELAY * KEPT
            assert 100 - allowed - 2 <= (await kept(link))[0] <= 100 - allowed + 2
    finally:
        await link.send("CONFIG", "SET", "maxmemory", 0)


# Lags ---------------------------------------------------------------------------------------


async def test_the_lag(link: Link, lease: Lease) -> None:
    """The lag would be that of another message."""
    async with held(link, lease) as holding:
        sink = holding.sinks[S]

        async def since() -> int | None:
            await holding.lane.look()
            return sink.since

        assert await since() is None
        await publish(link, 1, 3)
        assert await since() == 1001
        await holding.advance(2)
        assert await since() == 1003
        sink.waiting_since = 1234
        assert await since() == 1234
        await holding.advance(3)
        assert await since() is None


async def test_the_lag_in_a_lane_of_many(link: Link) -> None:
    """A feed in which nothing waits would seem to lag behind its neighbours."""
    lease = Lease(link, "+1", keys.PUBLISHER, "me", 60.0)
    assert await lease.acquire()
    a, b = Peer("a", "s", "ws://example/a"), Peer("b", "s", "ws://example/b")
    for serial, feed in enumerate("aab", 1):
        words = ("t", 1000 + serial, "seq", f"1:{serial}", f"{feed}:{serial}", "some")
        await link.send("XADD", keys.ordered("+1"), f"1-{serial}", *words)
    await link.send("HSET", keys.order("+1"), "generation", 1, "serial", 3, "serial:a", 2)
    await link.send("HSET", keys.order("+1"), "incarnation", "abc", "serial:b", 1)
    async with held(link, lease, a, b) as holding:
        await holding.lane.save(a, b"1-2", 2)
        await holding.lane.look()
        assert [sink.since for sink in holding.sinks.values()] == [None, 1003]
        assert holding.lane.positions[a].confirmed == b"1-3"


# A feed is forgotten --------------------------------------------------------------------------

A, B = Peer("a", "s", "ws://example/a"), Peer("b", "s", "ws://example/b")


async def forget(link: Link, feed: str, left: Forgotten) -> None:
    """Do what the verb does to a feed that shares a lane, as far as a publisher sees it."""
    await link.send("HSET", keys.order("+1"), f"forgotten:{feed}", pack(left))
    await link.send("DEL", keys.sink("+1", feed, "s"))
    await link.send("HDEL", keys.confirmed("+1"), feed)


async def test_a_sink_of_a_feed_that_was_forgotten_is_not_saved(link: Link) -> None:
    """A publisher that has not noticed would revive it, or save none of the others."""
    lease = Lease(link, "+1", keys.PUBLISHER, "me", 60.0)
    assert await lease.acquire()
    await link.send("HSET", keys.order("+1"), "incarnation", "abc", "generation", 1, "serial", 9)
    await link.send("HSET", keys.order("+1"), "serial:a", 4, "serial:b", 5)
    async with held(link, lease, A, B) as holding:
        await asyncio.gather(holding.advance(3, A), holding.advance(4, B))
        await forget(link, "a", Forgotten(b"5-0", b"1-9", 2, 1))
        await asyncio.gather(holding.advance(4, A), holding.advance(5, B))
        await holding.lane.look()
        await holding.advance(5, A)
    assert await link.send("EXISTS", keys.sink("+1", "a", "s")) == 0
    assert await link.send("HGETALL", keys.confirmed("+1")) == [b"b", b"5"]
    assert await link.send("HGET", keys.sink("+1", "b", "s"), "position") == b"1-5"


async def test_a_new_sink_begins_behind_what_a_forgotten_namesake_has_left(link: Link) -> None:
    """An endpoint would get messages of a feed that was forgotten."""
    lease = Lease(link, "+1", keys.PUBLISHER, "me", 60.0)
    assert await lease.acquire()
    await link.send("HSET", keys.order("+1"), "incarnation", "abc", "generation", 1, "serial", 9)
    await forget(link, "a", Forgotten(b"5-0", b"1-7", 2, 1))
    await link.send("HSET", keys.order("+1"), "serial:a", 1, "serial:b", 5)
    async with held(link, lease, A, B) as holding:
        assert holding.lane.positions[A].confirmed == b"1-7"
        assert holding.lane.positions[B].confirmed == START
        await holding.lane.saved(A)
        assert await link.send("HGET", keys.sink("+1", "a", "s"), "position") == b"1-7"
        await holding.advance(8, A)
    assert await link.send("HGET", keys.sink("+1", "a", "s"), "position") == b"1-8"
