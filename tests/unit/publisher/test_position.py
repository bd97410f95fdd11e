"""Where a sink stands, and what an orderer says of the output."""

from __future__ import annotations

import pytest

from publisher.position import Order, Position
from relay import keys
from relay.entry import START

FEEDS = ["a", "b"]


def order(generation: int | None, serial: int | None, **serials: int) -> Order:
    words = [None if word is None else b"%d" % word for word in (generation, serial)]
    return Order.read(FEEDS, [b"abc", *words, *(b"%d" % serials.get(feed, 0) for feed in FEEDS)])


def position(confirmed: bytes, serial: int | None, feed: str = "a") -> Position:
    sink = Position(feed)
    stored = {keys.SINK_POSITION: confirmed}
    sink.load(stored if serial is None else stored | {keys.SINK_SERIAL: b"%d" % serial})
    return sink


def test_begins_before_the_first_entry() -> None:
    """A new sink would miss what was there before it."""
    sink = Position("a")
    sink.load({})
    assert (sink.confirmed, sink.serial) == (START, None)


def test_is_remembered() -> None:
    """A restarted publisher would send everything again, or skip something."""
    sink = position(b"1-7", 5)
    assert (sink.confirmed, sink.serial) == (b"1-7", 5)
    sink.forget()
    assert (sink.confirmed, sink.serial) == (START, None)


def test_who_has_confirmed_all_is_at_the_end() -> None:
    """One feed in which nothing comes would keep what all others of its lane have put out."""
    now = order(9, 70, a=5, b=65)
    (done, behind, other, unknown) = sinks = [
        position(b"9-6", 5),
        position(b"9-6", 4),
        position(b"9-66", 64, "b"),
        position(b"9-6", None),
    ]
    for sink in sinks:
        now.advance(sink)
    assert (done.confirmed, done.serial) == (b"9-70", 5)
    assert [sink.confirmed for sink in (behind, other, unknown)] == [b"9-6", b"9-66", b"9-6"]
    order(8, 99, a=5).advance(done)
    assert done.confirmed == b"9-70"


@pytest.mark.parametrize(
    ("now", "lower"),
    [(order(9, 70), False), (order(9, 69), True), (order(8, 90), True), (order(None, 0), False)],
)
def test_an_output_that_ends_before_the_position(now: Order, lower: bool) -> None:
    """What comes out of a Redis that went back, as did a clock, would be passed over."""
    assert now.before(b"9-70") is lower


def test_names_the_fields_that_it_reads() -> None:
    """It would be told of another feed, or nothing."""
    assert Order.fields("+1", FEEDS)[-2:] == [b"serial:a", b"serial:b"]
    assert Order.fields("a", ["a"])[-1] == keys.ORDER_SERIAL
