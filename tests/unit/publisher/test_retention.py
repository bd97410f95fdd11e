"""What is kept behind a sink, against a model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.retention import COARSEST, MARKS, Retention
from relay.entry import START, position
from relay.ordered import Entry, entry_id, pack

PLENTY = 1 << 40
"""Bytes, more than there are."""


def entry(last: int, messages: int) -> Entry:
    """Make the entry that ends with the id `last`."""
    values = pack("", last - messages + 1, [b"x"] * messages, [(1, messages)], 1, last)
    return entry_id(1, last).encode(), [b"%d" % v if isinstance(v, int) else v for v in values]


def test_nothing_is_trimmed_before_the_first_confirmation() -> None:
    """A sink that has never been connected would find its messages gone."""
    retention = Retention(0, START)
    retention.note([entry(5, 5)])
    assert retention.trimmable(START, PLENTY) is None


def test_nothing_kept_is_all_trimmed() -> None:
    """Messages would be kept that nobody asked for."""
    retention = Retention(0, START)
    retention.note([entry(5, 5)])
    assert retention.trimmable(b"1-5", PLENTY) == b"1-5"


@pytest.mark.parametrize("retain", [10, 640, 100_000])
def test_less_than_is_kept_stays(retain: int) -> None:
    """What tells a replay from a restart would be gone."""
    retention = Retention(retain, START)
    for last in range(5, retain, 5):
        retention.note([entry(last, 5)])
        assert retention.trimmable(b"1-%d" % last, PLENTY) is None


def test_counting_back_ends() -> None:
    """At each start the whole stream would be read."""
    retention = Retention(100, b"1-500")
    assert retention.count_back([entry(last, 10) for last in range(500, 410, -10)], PLENTY)
    assert not retention.count_back([entry(last, 10) for last in range(410, 0, -10)], PLENTY)
    assert retention.trimmable(b"1-500", PLENTY) == b"1-400"


def test_what_is_read_again_is_not_counted_again() -> None:
    """Less would be kept than should be, whenever a sink has fallen back."""
    retention = Retention(10, START)
    for _ in range(5):
        retention.note([entry(last, 1) for last in range(1, 20)])
    assert retention.trimmable(b"1-19", PLENTY) == b"1-9"


def test_few_large_messages_are_not_kept() -> None:
    """Redis would be full of what is delivered, long before there are enough messages of it."""
    retention = Retention(1000, START)
    large = b"x" * COARSEST
    retention.note(
        (b"1-%d" % last, [b"t", b"1", b"seq", b"1:%d" % last, b"%d" % last, large])
        for last in range(1, 101)
    )
    assert retention.trimmable(b"1-100", PLENTY) is None
    assert retention.trimmable(b"1-100", 10 * COARSEST) == b"1-90"
    assert retention.trimmable(b"1-100", 0) == b"1-100"


def test_counting_back_ends_where_bytes_do() -> None:
    """At each start more would be read than is ever kept."""
    retention = Retention(10**6, b"1-500")
    size = sum(map(len, entry(500, 10)[1]))
    entries = [entry(last, 10) for last in range(500, 0, -10)]
    assert not retention.count_back(entries, 20 * size)
    assert position(retention.trimmable(b"1-500", 20 * size) or b"")[1] >= 290


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    retain=st.one_of(st.integers(0, 300), st.just(6400)),
    sizes=st.lists(st.integers(1, 40), max_size=120),
    start=st.integers(0, 120),
    strides=st.lists(st.integers(1, 5), max_size=120),
    chunk=st.integers(1, 7),
)
def test_trims_all_that_it_may_and_nothing_else(
    retain: int, sizes: list[int], start: int, strides: list[int], chunk: int
) -> None:
    """Messages would be gone before they are confirmed, or kept for ever.

    The stream holds entries of `sizes`; a publisher starts behind `start` of them, counts back in
    chunks, reads the others, and then some more are confirmed at a time (`strides`).
    """
    ends = [sum(sizes[: at + 1]) for at in range(len(sizes))]
    stream = [entry(end, size) for end, size in zip(ends, sizes, strict=True)]
    at = min(start, len(stream))
    retention = Retention(retain, stream[at - 1][0] if at else START)
    back = stream[:at][::-1]
    while back and retention.count_back(back[:chunk], PLENTY):
        back = back[chunk:]
    retention.note(stream[at:])
    step = max(1, retain // MARKS)
    largest = max([1, *sizes])

    def check() -> None:
        confirmed = ends[at - 1] if at else 0
        trimmable = retention.trimmable(stream[at - 1][0] if at else START, PLENTY)
        if trimmable is None:
            assert confirmed < retain + 2 * step + widest or not at
            return
        last = position(trimmable)[1]
        kept = confirmed - last
        assert last <= confirmed
        assert kept >= retain
        assert kept < retain + 2 * step + widest

    widest = 2 * largest
    check()
    for stride in strides:
        if at + stride > len(stream):
            break
        at += stride
        check()
