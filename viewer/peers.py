"""Finds the lines and sinks of all lanes, whether anybody is at work on them or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chassis import clock
from chassis.lease import lease_key
from chassis.redis import Link
from relay import keys

FRESH = 5.0
"""Seconds for which a scan holds good; it passes over all keys, as no list has these names."""

_OWNER = re.compile(r"\{([^}]*)\}:(.*)", re.DOTALL)


class Found(NamedTuple):
    """What there is of a lane."""

    roles: Sequence[str]
    """Those that there are leases for."""
    sinks: Sequence[str]
    """Those that have a position: `<name>`, or `<feed>:<name>` in a lane that feeds share."""


class Peers:
    """The roles and sinks of all lanes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._scanned = -FRESH
        self._roles: dict[str, list[str]] = {}
        self._sinks: dict[str, list[str]] = {}

    async def of(self, lane: str) -> Found:
        """List what there is of a lane, now or lately.

        Raises what the link raises.
        """
        if clock.monotonic() - self._scanned >= FRESH:
            self._roles = by_lane(await self._link.scan(lease_key("*", "*")))
            self._sinks = by_lane(await self._link.scan(keys.sink("*", "*", "*")))
            self._scanned = clock.monotonic()
        return Found(self._roles.get(lane, []), self._sinks.get(lane, []))


def by_lane(names: Iterable[bytes]) -> dict[str, list[str]]:
    """Sort what names of keys say behind the lane's, by the lane."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        if owned := _OWNER.search(name.decode(errors="replace")):
            found.setdefault(owned[1], []).append(owned[2])
    return found
