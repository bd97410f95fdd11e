"""Which entries may follow on one connection, and which are written together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.entries import batches, fitting
from relay.ordered import Entry


def entry(epoch: int, first: int, last: int) -> Entry:
    values = [b"t", b"17"]
    for seq in range(first, last + 1):
        values += [b"%d" % seq, b'{"id":%d}' % seq]
    return b"%d-%d" % (epoch, last), values


FIRST, SECOND, THIRD = entry(1, 1, 9), entry(1, 10, 12), entry(1, 20, 20)


def test_what_goes_on_upwards_fits() -> None:
    """A connection would end for no reason."""
    assert fitting([], None) == fitting([], b"1-3") == []
    assert fitting([FIRST, SECOND, THIRD], None) == [FIRST, SECOND, THIRD]
    assert fitting([SECOND, THIRD], FIRST[0]) == [SECOND, THIRD]


@pytest.mark.parametrize("odd", [entry(2, 21, 22), entry(12, 1, 2), entry(2, 1, 2)])
def test_another_numbering_does_not(odd: Entry) -> None:
    """Messages of two numberings would be sent on one connection."""
    assert fitting([FIRST, SECOND, odd, THIRD], None) == [FIRST, SECOND]
    assert fitting([odd], FIRST[0]) == []
    assert fitting([odd], None) == [odd]


@pytest.mark.parametrize("odd", [entry(1, 12, 15), entry(1, 5, 30)])
def test_what_goes_back_does_not(odd: Entry) -> None:
    """Ids would go back on one connection when Redis has lost its last moments."""
    assert fitting([FIRST, SECOND, odd], None) == [FIRST, SECOND]
    assert fitting([odd], SECOND[0]) == []


def test_ids_compare_as_numbers() -> None:
    """Id 10 would seem to go back behind 9."""
    assert fitting([entry(1, 10, 10)], b"1-9") == [entry(1, 10, 10)]
    assert fitting([entry(1, 9, 11)], b"1-10") == []


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
