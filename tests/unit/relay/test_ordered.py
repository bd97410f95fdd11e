"""Receive times packed into one field and unpacked again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.ordered import pack_times, received_at, times

stretches = st.lists(
    st.tuples(st.integers(0, 2**60), st.integers(1, 5000)), min_size=1, max_size=50
)


@settings(deadline=None, derandomize=True)
@given(stretches)
def test_round_trip(stretches: list[tuple[int, int]]) -> None:
    """A frame would be given another's receive time, and delays would be wrong."""
    messages = sum(frames for _, frames in stretches)
    assert times([b"t", pack_times(stretches), *[b"1", b"{}"] * messages]) == stretches


@settings(deadline=None, derandomize=True)
@given(stretches)
def test_begins_with_the_earliest(stretches: list[tuple[int, int]]) -> None:
    """Who looks for the oldest message would have to unpack every entry."""
    assert received_at([b"t", pack_times(stretches)]) == min(time for time, _ in stretches)


@pytest.mark.parametrize(
    ("stretches", "packed"),
    [
        ([(1763757820123456, 4)], b"1763757820123456"),
        ([(1763757820124268, 3), (1763757820123456, 1)], b"1763757820123456 812*3 0*1"),
    ],
)
def test_the_form(stretches: list[tuple[int, int]], packed: bytes) -> None:
    """The field would not be what its description says, and what others read."""
    assert pack_times(stretches) == packed
