"""Finds the lines and sinks of all lanes, whether anybody is at work on them or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from chassis import clock
from chassis.lease import lease_key
from chassis.redis import Link
from relay import keys

FRESH = 5.0
"""Seconds for which a scan holds good; it passes over all keys, as no list has these names."""

SCAN = 1000
"""Keys that one step passes over."""

_OWNER = re.compile(r"\{([^}]*)\}:(.*)", re.DOTALL)


class Peers:
    """The roles of all feeds' lines and sinks."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._scanned = -FRESH
        self._roles: dict[str, set[str]] = {}

    async def of(self, lane: str) -> Sequence[str]:
        """List the roles of a lane that there are leases for, now or lately.

        Raises what the link raises.
        """
        if clock.monotonic() - self._scanned >= FRESH:
            leases = await self._scan(lease_key("*", "*"))
            sinks = await self._scan(keys.sink("*", "*", "*"))
            self._roles = roles(leases, sinks)
            self._scanned = clock.monotonic()
        return sorted(self._roles.get(lane, ()))

    async def _scan(self, pattern: str) -> list[str]:
        cursor, found = b"0", list[str]()
        while True:
            cursor, names = await self._link.send("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN)
            found += [name.decode(errors="replace") for name in names]
            if cursor == b"0":
                return found


def roles(leases: Iterable[str], sinks: Iterable[str]) -> dict[str, set[str]]:
    """Sort the names of keys by lane: who works under a lease, and what sinks have a position."""
    found: dict[str, set[str]] = {}
    for key in leases:
        if owned := _OWNER.search(key):
            found.setdefault(owned[1], set()).add(owned[2])
    for key in sinks:
        if owned := _OWNER.search(key):
            found.setdefault(owned[1], set()).add(keys.sink_role(owned[1], owned[1], owned[2]))
    return found
