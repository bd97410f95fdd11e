"""Names of keys, sorted by the lane whose they are."""

from __future__ import annotations

from chassis.lease import lease_key
from relay import keys
from viewer.peers import by_lane


def test_what_there_is_of_a_lane() -> None:
    """An endpoint would be missing, or stand with another lane."""
    sink, gone = "[::1]:9000/in{x}:y", "h/old"
    leases = [
        lease_key("a", keys.ORDERER),
        lease_key("a", keys.lines_role(1)),
        lease_key("b", keys.PUBLISHER),
    ]
    assert by_lane([name.encode() for name in leases]) == {
        "a": [keys.lines_role(1), keys.ORDERER],
        "b": [keys.PUBLISHER],
    }
    sinks = [keys.sink("+1", "b", sink), keys.sink("a", "a", gone)]
    assert by_lane([name.encode() for name in sinks]) == {"+1": [f"b:{sink}"], "a": [gone]}
