"""Which entries may follow on one connection, and which are written together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.entries import batches, fitting
from relay.ordered import Entry, Span, span


def entry(epoch: int, first: int, last: int) -> Entry:
    values = [b"t", b"17", b"seq", b"%d:%d" % (epoch, last)]
    for seq in range(first, last + 1):
        values += [b"%d" % seq, b'{"id":%d}' % seq]
    return b"1-%d" % last, values


FIRST, SECOND, THIRD = entry(1, 1, 9), entry(1, 10, 12), entry(1, 20, 20)


def after(entry: Entry) -> dict[bytes, Span]:
    return {b"": span(*entry)}


def spans(*entries: Entry) -> list[Span]:
    return [span(*entry) for entry in entries]


def test_what_goes_on_upwards_fits() -> None:
    """A connection would end for no reason."""
    assert fitting([], {}) == fitting([], after(FIRST)) == []
    assert fitting([FIRST, SECOND, THIRD], {}) == spans(FIRST, SECOND, THIRD)
    assert fitting([SECOND, THIRD], after(FIRST)) == spans(SECOND, THIRD)


@pytest.mark.parametrize("odd", [entry(2, 21, 22), entry(12, 1, 2), entry(2, 1, 2)])
def test_another_numbering_does_not(odd: Entry) -> None:
    """Messages of two numberings would be sent on one connection."""
    assert fitting([FIRST, SECOND, odd, THIRD], {}) == spans(FIRST, SECOND)
    assert fitting([odd], after(FIRST)) == []
    assert fitting([odd], {}) == spans(odd)


@pytest.mark.parametrize("odd", [entry(1, 12, 15), entry(1, 5, 30)])
def test_what_goes_back_does_not(odd: Entry) -> None:
    """Ids would go back on one connection when Redis has lost its last moments."""
    assert fitting([FIRST, SECOND, odd], {}) == spans(FIRST, SECOND)
    assert fitting([odd], after(SECOND)) == []


def test_ids_compare_as_numbers() -> None:
    """Id 10 would seem to go back behind 9."""
    assert fitting([entry(1, 10, 10)], after(FIRST)) == spans(entry(1, 10, 10))
    assert fitting([entry(1, 9, 11)], after(entry(1, 10, 10))) == []


def keyed(key: str, epoch: int, first: int, last: int) -> Entry:
    name, values = entry(epoch, first, last)
    return name, [
        f"{key}:".encode() + field if at >= 4 and at % 2 == 0 else field
        for at, field in enumerate(values)
    ]


def test_each_key_has_an_order_of_its_own() -> None:
    """A connection would end whenever another key's message follows, or ids go back on it."""
    entries = [keyed("a", 1, 5, 6), keyed("b:c", 1, 1, 2), keyed("a", 1, 7, 7)]
    assert [span.key for span in fitting(entries, {})] == [b"a", b"b:c", b"a"]
    anew = keyed("a", 2, 1, 2)
    assert len(fitting([*entries, anew], {})) == 4
    assert len(fitting([*entries, keyed("b:c", 1, 2, 3), anew], {})) == 3


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 30), max_size=30), st.integers(1, 2000))
def test_batches_are_as_long_as_they_should(counts: list[int], limit: int) -> None:
    """An entry would be lost or moved, or much more written at once than there is room for."""
    entries = [entry(1, 100 * at + 1, 100 * at + count) for at, count in enumerate(counts)]
    cut = list(batches(entries, limit))
    assert [entry for batch in cut for entry in batch] == entries
    sizes = [[sum(map(len, values)) for _, values in batch] for batch in cut]
    assert all(sum(batch[:-1]) < limit for batch in sizes)
    assert all(sum(batch) >= limit for batch in sizes[:-1])
