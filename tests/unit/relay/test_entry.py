"""Ids of entries are compared as numbers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.entry import START, position

halves = st.integers(0, 2**64 - 1)


@settings(deadline=None, derandomize=True)
@given(halves, halves)
def test_round_trip(first: int, second: int) -> None:
    """Positions would compare as text, and 10 come before 9."""
    assert position(b"%d-%d" % (first, second)) == (first, second)
    assert position(START) <= (first, second)


def test_half_an_id() -> None:
    """An id as people type it would not be understood."""
    assert position(b"17") == (17, 0)
