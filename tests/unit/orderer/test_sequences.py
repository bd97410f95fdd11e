"""Keys that are laid down while nothing goes on in them."""

from __future__ import annotations

import gc
import math
import tracemalloc

from orderer.feed import Options
from orderer.lane import Entry, Lane, LaneState
from orderer.reorder.limits import Limits, Order
from orderer.reorder.outputs import Gap, Run
from relay.frames.path import parse_path
from relay.frames.reader import Reader, Words
from tests.support.lane import committed, outputs, part

IDLE = 200
"""Bytes that an idle key may take, its name included, but for the fingerprints."""


def keyed(order: Order = Order.DENSE, timeout: float = math.inf) -> Lane:
    """Make a lane whose feed has an order for each key."""
    link = parse_path("p") if order is Order.CHAIN else None
    reader = Reader(Words(id=parse_path("id"), key=(parse_path("of"),), link=link))
    limits = Limits(1000, 2**63, 1000, 0, of_key=True, order=order)
    options = Options(limits, "", timeout, reader=reader)
    return Lane("f", LaneState(), lambda _: options, 2**63)


def came(lane: Lane, number: int, *frames: bytes) -> None:
    lane.take_in([Entry(b"%d-0" % number, [("f", part(number)._replace(frames=list(frames)))])])


def message(key: str, id: int, before: int = -1) -> bytes:
    return b'{"id":%d,"of":"%s","p":%d}' % (id, key.encode(), before)


def test_an_idle_key_takes_little() -> None:
    """Twenty thousand symbols, nearly all of them in order, would need tens of megabytes."""
    lane, count = keyed(), 2000
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 61):
            id, at = divmod(number - 1, 20)
            some = range(100 * at, 100 * at + 100)
            came(lane, number, *(message(f"{key:08}", id) for key in some))
            lane.commit()
        for number in range(61, 200):
            came(lane, number)
        lane.commit()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(lane.feeds["f"].sequences) == count
    assert not lane.feeds["f"].sequences.awake
    assert (after - before) / count <= IDLE


def test_they_are_laid_down_with_a_checkpoint() -> None:
    """A busy key would be laid down and taken up with each of its messages."""
    lane = keyed()
    came(lane, 1, message("a", 0), message("b", 0))
    assert lane.commit(checkpoint=False) is not None
    sequences = lane.feeds["f"].sequences
    assert list(sequences.awake) == ["a", "b"]
    came(lane, 2, message("b", 2))
    lane.commit()
    assert list(sequences.awake) == ["b"], "it waits"
    came(lane, 3, message("b", 1))
    lane.commit()
    assert not sequences.awake
    assert list(sequences) == ["a", "b"]


def test_what_is_amiss_is_told_after_rest() -> None:
    """Repeats and late messages of keys at rest would vanish from what is counted."""
    lane = keyed(timeout=1.0)
    came(lane, 1, message("a", 0), message("a", 2))
    for number in (2, 3):
        came_at = part(number)._replace(listened=float(number))
        lane.take_in([Entry(b"%d-0" % number, [("f", came_at)])])
    gaps = [item for item in outputs(committed(lane)) if isinstance(item, Gap)]
    assert [(gap.first, gap.last) for gap in gaps] == [(1, 1)]
    feed = lane.feeds["f"]
    assert not feed.sequences.awake
    came(lane, 4, message("a", 1), message("a", 3))
    (move,) = committed(lane).moves
    assert [(gap.first, gap.late) for gap in move.amended] == [(1, 1)]
    assert not feed.sequences.awake
    assert (feed.late, feed.duplicates) == (1, 0)


def test_an_operator_finds_who_is_at_rest() -> None:
    """`reset` would do nothing to a key in which nothing is amiss."""
    lane = keyed()
    came(lane, 1, message("a", 0))
    lane.commit()
    feed = lane.feeds["f"]
    assert not feed.sequences.awake
    one = lane.touch("f").sequence("a")
    assert feed.decide(one, reset=True)
    (move,) = committed(lane).moves
    assert (move.before.epoch, move.after.epoch) == (1, 2)
    assert one.reorder.epoch == 2


def test_who_names_a_number_that_is_too_large_stays() -> None:
    """A link of 70 bits would end the orderer, again and again."""
    lane = keyed(Order.CHAIN, 1.0)
    came(lane, 1, message("a", 5, 7), message("b", 5))
    came(lane, 2, message("a", 6, 2**70))
    for number in range(3, 9):
        came_at = part(number)._replace(listened=float(number))
        lane.take_in([Entry(b"%d-0" % number, [("f", came_at)])])
    runs = [item.frames for item in outputs(committed(lane)) if isinstance(item, Run)]
    assert sum(map(len, runs)) == 3
    assert list(lane.feeds["f"].sequences.awake) == ["a"]
