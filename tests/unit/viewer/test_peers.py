"""Names of keys, sorted by the feed whose they are."""

from __future__ import annotations

from chassis.lease import lease_key
from relay import keys
from viewer.peers import roles


def test_a_peer_is_known_by_its_lease_or_its_position() -> None:
    """An endpoint that nobody sends to any longer would be missing, or stand twice."""
    line, sink, gone = "h:9000/raw", "[::1]:9000/in{x}:y", "h/old"
    leases = [
        lease_key("a", keys.ORDERER),
        lease_key("a", keys.line_role(line)),
        lease_key("b", keys.sink_role("b", "b", sink)),
    ]
    assert roles(leases, [keys.sink("b", "b", sink), keys.sink("a", "a", gone)]) == {
        "a": {keys.ORDERER, keys.line_role(line), keys.sink_role("a", "a", gone)},
        "b": {keys.sink_role("b", "b", sink)},
    }
