"""Rows of the gap ledger, packed and unpacked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.gaps import Row, pack, unpack

numbers = st.integers(0, 2**63)


@settings(deadline=None, derandomize=True)
@given(st.builds(Row, *[numbers] * 5, st.sampled_from(["timeout", "reset"]), numbers))
def test_round_trip(row: Row) -> None:
    """After a start, late messages would be counted with another gap."""
    values = [value if isinstance(value, bytes) else str(value).encode() for value in pack(row)]
    assert unpack(values) == row
