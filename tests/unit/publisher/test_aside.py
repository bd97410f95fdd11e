"""What is set aside of a shared lane, with a real server."""

from __future__ import annotations

import asyncio
import random

import pytest

from chassis.lease import Lease
from chassis.redis import Link
from publisher import aside
from publisher.aside import Aside, Superseded
from publisher.position import Position
from publisher.reader import Reader
from relay import keys
from relay.entry import position
from relay.feeds import Peer
from tests.support.peers import DEADLINE

LANE = "+1"
FEEDS = "abc"
PEERS = {feed: Peer(feed, "s", "ws://s") for feed in FEEDS}


@pytest.fixture
async def ours(link: Link) -> Lease:
    """The lease on the lane, which is held; the sinks' positions have been saved."""
    ours = Lease(link, LANE, keys.PUBLISHER, "me", 60.0)
    assert await ours.acquire()
    for feed in FEEDS:
        await link.send("HSET", keys.sink(LANE, feed, "s"), keys.SINK_POSITION, "0-0")
    return ours


async def publish(link: Link, first: int, last: int) -> None:
    """Append entries of a message each, of the feeds in turn."""
    for at in range(first, last + 1):
        field = f"{FEEDS[at % 3]}:{at}"
        await link.send(
            "XADD", keys.ordered(LANE), f"1-{at}", "t", 9, "seq", f"1:{at}", field, b"x" * 100
        )


async def entries(link: Link, stream: str) -> list[int]:
    """List the numbers of a stream's entries."""
    return [position(entry)[1] for entry, _ in await link.send("XRANGE", stream, "-", "+")]


async def test_what_is_the_feeds_and_nothing_else(
    link: Link, ours: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint would get another feed's messages, or some of its own never."""
    monkeypatch.setattr(aside, "AT_A_TIME", 4)
    one, sink = Aside(link, LANE, ours.key), Position("a")
    sink.confirmed = b"1-6"
    await publish(link, 1, 31)
    await one.add(PEERS["a"], sink, ours.value)
    assert await entries(link, keys.aside(LANE, "a", "s")) == list(range(9, 31, 3))
    assert sink.held_for == b"1-31"
    await publish(link, 32, 40)
    await one.add(PEERS["a"], sink, ours.value)
    assert await entries(link, keys.aside(LANE, "a", "s")) == list(range(9, 40, 3))
    again = Position("a")
    found = await link.send("HGETALL", keys.sink(LANE, "a", "s"))
    again.load(dict(zip(found[::2], found[1::2], strict=True)))
    assert again.held_for == b"1-40"


async def test_nothing_is_set_aside_for_a_feed_that_was_forgotten(link: Link, ours: Lease) -> None:
    """Its stream would be there for ever: nobody is left who could get it."""
    one, sink = Aside(link, LANE, ours.key), Position("a")
    await publish(link, 1, 30)
    await link.send("DEL", keys.sink(LANE, "a", "s"))
    await one.add(PEERS["a"], sink, ours.value)
    assert await link.send("EXISTS", keys.aside(LANE, "a", "s"), keys.sink(LANE, "a", "s")) == 0


async def test_what_is_confirmed_goes(link: Link, ours: Lease) -> None:
    """What was set aside would fill Redis, or be kept for ever by a sink that is back."""
    one, sink = Aside(link, LANE, ours.key), Position("a")
    await publish(link, 1, 30)
    await one.add(PEERS["a"], sink, ours.value)
    sink.confirmed = b"1-12"
    await one.look([(PEERS["a"], sink)], ours.value)
    assert await entries(link, keys.aside(LANE, "a", "s")) == list(range(12, 31, 3))
    size, *whose = one.summary.split()
    assert int(size) > 700
    assert whose == ["a"]
    sink.confirmed = b"1-30"
    await one.look([(PEERS["a"], sink)], ours.value)
    assert not sink.aside
    assert not one.summary
    assert not await link.send("EXISTS", keys.aside(LANE, "a", "s"))
    assert await link.send("HGET", keys.sink(LANE, "a", "s"), "aside") is None


async def test_a_stale_publisher_sets_nothing_aside(link: Link, ours: Lease) -> None:
    """It would drop what its successor has set aside."""
    stale, one, sink = ours.value, Aside(link, LANE, ours.key), Position("a")
    await publish(link, 1, 30)
    await one.add(PEERS["a"], sink, stale)
    await Lease(link, LANE, keys.PUBLISHER, "other", 60.0).seize()
    sink.confirmed = b"1-30"
    with pytest.raises(Superseded):
        await one.look([(PEERS["a"], sink)], stale)
    with pytest.raises(Superseded):
        await one.add(PEERS["a"], sink, stale)
    assert len(await entries(link, keys.aside(LANE, "a", "s"))) == 10


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_missed_though_the_lane_is_trimmed(
    link: Link, ours: Lease, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Who comes, goes and catches up would miss what is trimmed meanwhile, or get it twice."""
    monkeypatch.setattr("publisher.reader.AHEAD", 500)
    dice = random.Random(seed)
    one, reader = Aside(link, LANE, ours.key), Reader(link)
    stream = reader.follow(LANE, b"0-0", lambda _: None)
    sinks = {PEERS[feed]: Position(feed) for feed in FEEDS}
    done = 0

    async def follow(peer: Peer, sink: Position) -> None:
        nonlocal done
        expected = [at for at in range(1, 301) if FEEDS[at % 3] == peer.feed]
        while expected:
            tail, left = stream.tail(peer, sink), list(expected)
            for _ in range(dice.randint(1, 12)):
                taking = asyncio.ensure_future(tail.take())
                await asyncio.sleep(dice.choice([0.0, 0.0, 0.003, 0.02]))
                tail.wake()
                came = [position(entry)[1] for entry, _ in await taking]
                assert came == left[: len(came)]
                del left[: len(came)]
                confirmed = dice.randint(0, len(expected) - len(left))
                if confirmed and (dice.random() < 0.5 or not left):
                    sink.confirmed = b"1-%d" % expected[confirmed - 1]
                    del expected[:confirmed]
            tail.close()
            await asyncio.sleep(dice.choice([0.0, 0.01, 0.05]))
        done += 1

    async def trim() -> None:
        while done < len(FEEDS):
            await one.look(sinks.items(), ours.value)
            for peer, sink in sinks.items():
                if dice.random() < 0.3:
                    await one.add(peer, sink, ours.value)
            ends = [stream.needed, *(sink.held_for for sink in sinks.values())]
            least = min(ends, key=position)
            await link.send("XTRIM", keys.ordered(LANE), "MINID", b"%d-%d" % position(least))
            await asyncio.sleep(dice.choice([0.0, 0.002, 0.01]))

    running = asyncio.ensure_future(reader.run())
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(publish(link, 1, 300), trim(), *map(follow, sinks, sinks.values()))
    running.cancel()
    for sink in sinks.values():
        sink.confirmed = b"1-300"
    await one.look(sinks.items(), ours.value)
    assert not one.summary
