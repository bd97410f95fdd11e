"""A sink's confirmed position in `ordered`, as Redis keeps it."""

from __future__ import annotations

from chassis.redis import Link, pairs
from relay import keys
from relay.entry import START


class Position:
    """Where a sink stands; all methods raise what the link raises."""

    def __init__(self, link: Link, feed: str, sink: str) -> None:
        """Describe the position of `sink`; `load` it before anything else."""
        self.confirmed = START
        """The last entry that is confirmed."""
        self._link = link
        self._key = keys.sink(feed, sink)
        self._order = keys.order(feed)
        self._incarnation: bytes | None = None

    async def load(self) -> bool:
        """Read the position; returns False when it belongs to a numbering that Redis lost.

        The position then is before the first entry.
        """
        stored = pairs(await self._link.send("HGETALL", self._key))
        self._incarnation = await self._current()
        known = stored.get(keys.SINK_INCARNATION)
        lost = known is not None and known != self._incarnation
        self.confirmed = START if lost else stored.get(keys.SINK_POSITION, START)
        return not lost

    async def lost(self) -> bool:
        """Tell whether Redis has lost the numbering that this position belongs to."""
        current = await self._current()
        if self._incarnation is None:
            self._incarnation = current
        return current != self._incarnation

    async def save(self, confirmed: bytes) -> None:
        """Advance to the entry `confirmed`."""
        if self._incarnation is None:
            self._incarnation = await self._current()
        values: list[bytes] = [keys.SINK_POSITION, confirmed]
        if self._incarnation is not None:
            values += [keys.SINK_INCARNATION, self._incarnation]
        await self._link.send("HSET", self._key, *values)
        self.confirmed = confirmed

    async def forget(self) -> None:
        """Drop the position, which belongs to a numbering that Redis lost."""
        await self._link.send("DEL", self._key)

    async def _current(self) -> bytes | None:
        current: bytes | None = await self._link.send("HGET", self._order, keys.ORDER_INCARNATION)
        return current
