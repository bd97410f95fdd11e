"""The orderer alone, at the beginning of a numbering: the test writes `raw` and reads `ordered`."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import pytest

from tests.support import streams
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import Heartbeat, frame, frames, ordered_ids, write_event, write_raw
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def wait_for(redis: Server, expected: list[bytes]) -> None:
    until(
        lambda: streams.ordered_frames(redis.client) == expected,
        f"{len(expected)} messages are ordered",
        10,
    )


def anew(numbering: int, first: int, last: int) -> list[bytes]:
    """Make the frames `first` … `last` of a numbering."""
    return [b'{"id":%d,"numbering":%d}' % (seq, numbering) for seq in range(first, last + 1)]


def test_short_connections_that_number_anew(redis: Server, start: Stack) -> None:
    """A feed that sends a little and closes would deliver nothing, or its first numbering only."""
    start.orderer()
    expected: list[bytes] = []
    for connection in range(1, 4):
        write_event(redis.client, "connected")
        wait_for(redis, expected)
        expected += anew(connection, 1, 30)
        write_raw(redis.client, expected[-30:])
        write_event(redis.client, "disconnected")
    write_event(redis.client, "connected")
    wait_for(redis, expected)
    assert streams.order(redis.client)["epoch"] == "3"
    assert streams.gaps(redis.client) == []


def test_a_new_numbering_below_where_we_joined(redis: Server, start: Stack) -> None:
    """Whoever joins in the middle would drop a new numbering as late, up to where it joined."""
    orderer = start.orderer()
    write_event(redis.client, "connected")
    write_raw(redis.client, frames([*range(5000, 5300), 4999]))
    until(partial(orderer.metric, "orderer_frames_total", fate="late"), "one is a straggler")
    assert ordered_ids(redis.client) == list(range(5000, 5300))
    write_event(redis.client, "disconnected")
    write_event(redis.client, "connected")
    begun = anew(2, 1, 4000)
    for at in range(0, len(begun), 200):
        write_raw(redis.client, begun[at : at + 200])
    wait_for(redis, [*map(frame, range(5000, 5300)), *begun])
    assert orderer.metric("orderer_frames_total", fate="late") == 1


def test_a_short_connection_alone(redis: Server, start: Stack) -> None:
    """What a feed sends before it goes for good would come out only if it came back."""
    start.orderer()
    write_event(redis.client, "connected")
    write_raw(redis.client, frames([3, 1, 2]))
    write_event(redis.client, "disconnected")
    wait_for(redis, frames([1, 2, 3]))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_new_numbering_of_ids_that_were_delivered_and_dropped(
    redis: Server, start: Stack, *, restarted: bool
) -> None:
    """Where few delivered messages are kept, a new numbering would pass for an old one's replay."""
    orderer = start.orderer(ORDERER_FIRST_ID=0)
    write_event(redis.client, "connected")
    for at in range(0, 5000, 500):
        write_raw(redis.client, frames(range(at, at + 500)))
    wait_for(redis, frames(range(5000)))
    redis.client.xtrim("ordered:{default}", maxlen=1, approximate=False)
    if restarted:
        orderer.kill()
        orderer = start.orderer(ORDERER_FIRST_ID=0)
    write_event(redis.client, "connected")
    write_raw(redis.client, frames(range(100, 200)))
    until(
        lambda: orderer.metric("orderer_frames_total", fate="duplicate") == 100,
        "a replay is one, whatever is left",
    )
    begun = anew(2, 0, 300)
    write_raw(redis.client, begun)
    until(
        lambda: streams.ordered_frames(redis.client)[-301:] == begun, "the new numbering comes out"
    )
    assert streams.order(redis.client)["epoch"] == "2"


def test_a_new_numbering_below_where_a_former_orderer_joined(redis: Server, start: Stack) -> None:
    """An orderer that has started anew would drop a numbering that begins below as repeats."""
    first = start.orderer()
    write_event(redis.client, "connected")
    write_raw(redis.client, frames(range(5000, 5300)))
    wait_for(redis, frames(range(5000, 5300)))
    first.kill()
    start.orderer()
    write_event(redis.client, "disconnected")
    write_event(redis.client, "connected")
    begun = anew(2, 1, 4000)
    for at in range(0, len(begun), 200):
        write_raw(redis.client, begun[at : at + 200])
    wait_for(redis, [*frames(range(5000, 5300)), *begun])


STRAGGLER = ((range(100), 1), ([101], 1), ([1], 2), ([100], 1), ([2, 3, 4, 5], 2))
"""Among the frames that prove the second numbering stands one of the first."""


@pytest.mark.parametrize("again", range(3))
def test_a_straggler_among_the_frames_that_prove_a_numbering(
    redis: Server, start: Stack, again: int
) -> None:
    """After a crash, a frame of the old numbering would be sent once more, as the new one's."""
    orderer = start.orderer(ORDERER_FIRST_ID=0)
    write_event(redis.client, "connected")
    for ids, numbering in STRAGGLER:
        sent = [message for seq in ids for message in anew(numbering, seq, seq)]
        for part in [sent] if again < 2 else [[message] for message in sent]:
            write_raw(redis.client, part)
    until(lambda: streams.order(redis.client).get("epoch") == "2", "the second numbering begins")
    orderer.kill()
    start.orderer(ORDERER_FIRST_ID=0)
    rest = [*anew(2, 0, 0), *anew(2, 6, 119)]
    for part in [rest] if again == 0 else [[message] for message in rest]:
        write_raw(redis.client, part)
    wait_for(redis, [*anew(1, 0, 101), *anew(2, 0, 119)])
    assert streams.gaps(redis.client) == []


FEW = {
    "midnight": ([1, 2, 3, 4], [1, 2, 3, 4]),
    "reconnect": ([1], [1]),
    "jump": ([2**53 + 1, 2**53 + 2], [2**53 + 1, 2**53 + 2]),
    "odd": ([30], []),
}
"""What a slow feed sends before it falls silent, and what of it is believed then."""


def test_the_few_messages_of_a_slow_feed(redis: Server, start: Stack) -> None:
    """What a slow feed sends after a restart would wait for messages that come a day later."""
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=0.5)
    expected = {}
    for feed, (sent, believed) in FEW.items():
        write_event(redis.client, "connected", feed=feed)
        for seq in range(1, 51):
            write_raw(redis.client, [frame(seq)], feed=feed)
        if feed == "reconnect":
            write_event(redis.client, "disconnected", feed=feed)
            write_event(redis.client, "connected", feed=feed)
        for seq in sent:
            write_raw(redis.client, [b'{"id":%d,"day":2}' % seq], feed=feed)
        expected[feed] = [*range(1, 51), *believed]
    with ExitStack() as beats:
        for feed in FEW:
            beats.enter_context(Heartbeat(redis.url, feed=feed))
        until(
            lambda: {feed: ordered_ids(redis.client, feed) for feed in FEW} == expected,
            "what is believed comes out",
            20,
        )
    assert orderer.metric("orderer_epochs_total", feed="odd") == 0
    assert orderer.metric("orderer_held", feed="odd") == 1
