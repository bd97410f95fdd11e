"""The orderer alone, and what is written to make it die: the test writes `raw` itself."""

from __future__ import annotations

import random
from functools import partial

import pytest

from tests.support import streams
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import Heartbeat, frame, frames, ordered_ids, write_event, write_raw
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

MEBIBYTE = 1024 * 1024
PADDING = b"x" * (200 * 1024)


def is_ordered(redis: Server, last: int, feed: str = "default") -> bool:
    return streams.order(redis.client, feed).get("next") == str(last + 1)


def test_far_ids_one_by_one(redis: Server, start: Stack) -> None:
    """A feed would kill the orderer for ever, and fill Redis with what cannot be trimmed."""
    dice = random.Random(1)
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    for seq in range(1, 401):
        far = [b'{"id":%d,"x":"%s"}' % (dice.randrange(10**9, 2**62), PADDING) for _ in range(4)]
        write_raw(redis.client, [*far, frame(seq)])
        if seq == 200:
            until(partial(is_ordered, redis, seq), "the first half is ordered", 60)
            assert orderer.peak < 150 * MEBIBYTE
            orderer.kill()
            orderer = start.orderer(ORDERER_FIRST_ID=1)
    until(partial(is_ordered, redis, 400), "all is ordered", 60)
    assert orderer.peak < 150 * MEBIBYTE
    assert ordered_ids(redis.client) == list(range(1, 401))
    until(lambda: len(streams.raw(redis.client)) <= 5, "what is settled is trimmed")
    until(lambda: orderer.metric("orderer_rejected_total", reason="stray") > 700, "all are counted")


def test_feeds_that_turn_from_small_to_large_messages(redis: Server, start: Stack) -> None:
    """One read would bring as many of the largest entries of each feed as of the smallest."""
    feeds = [f"feed-{number}" for number in range(8)]
    orderer = start.orderer(ORDERER_FIRST_ID=1, LEASE_TTL=30)
    for seq in range(1, 401):
        for feed in feeds:
            write_raw(redis.client, [frame(seq)], feed=feed)
    until(lambda: all(is_ordered(redis, 400, feed) for feed in feeds), "all learn to read much")
    orderer.freeze()
    large = b"x" * MEBIBYTE
    for seq in range(401, 431):
        for feed in feeds:
            write_raw(redis.client, [b'{"id":%d,"x":"%s"}' % (seq, large)], feed=feed)
    orderer.thaw()
    until(lambda: all(is_ordered(redis, 430, feed) for feed in feeds), "all is ordered", 60)
    assert orderer.peak < 180 * MEBIBYTE


def test_an_entry_as_large_as_nobody_writes_it(redis: Server, start: Stack) -> None:
    """One entry written by hand would end the orderer at every start."""
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    write_raw(redis.client, [frame(1), b'{"id":2,"x":"%s"}' % (b"x" * 20 * MEBIBYTE), frame(3)])
    until(partial(is_ordered, redis, 3), "it is ordered")
    assert orderer.peak < 250 * MEBIBYTE
    assert orderer.running


@pytest.mark.parametrize("entries", [5000, 50])
def test_a_numbering_after_one_odd_frame(redis: Server, start: Stack, entries: int) -> None:
    """One odd frame long before a restart would cost nearly the whole new numbering."""
    orderer = start.orderer(ORDERER_GAP_TIMEOUT=0.5)
    write_event(redis.client, "connected")
    write_raw(redis.client, frames(range(5000)))
    write_raw(redis.client, [b'{"id":4990,"odd":true}'])
    write_raw(redis.client, [frame(5000)])
    with Heartbeat(redis.url):
        until(lambda: orderer.metric("orderer_held") == 1, "the odd frame waits")
        until(lambda: orderer.metric("orderer_held") == 0, "it is settled", 15)
        begun = [b'{"id":%d,"new":true}' % seq for seq in range(5000)]
        size = len(begun) // entries
        for at in range(0, len(begun), size):
            write_raw(redis.client, begun[at : at + size])
        expected = [*frames(range(5001)), *begun]
        until(lambda: streams.ordered_frames(redis.client) == expected, "all of it comes out", 20)
    assert streams.gaps(redis.client) == []
