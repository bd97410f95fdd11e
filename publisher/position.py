"""A sink's confirmed position in `ordered`, as Redis keeps it."""

from __future__ import annotations

import math
from importlib import resources

from chassis.lease import Lease
from chassis.redis import Link, Script, pairs
from relay import entry, keys
from relay.entry import START

_SAVE = Script(resources.files(__package__).joinpath("save.lua").read_text())


class Superseded(Exception):
    """Another publisher has the sink."""


class Position:
    """Where a sink stands; all methods raise what the link raises."""

    def __init__(self, link: Link, lane: str, feed: str, sink: str, lease: Lease) -> None:
        """Describe the position of a feed's `sink`; `load` it before anything else."""
        self.fence = ""
        """Value of the lease when it was loaded; under a later one, another may have saved."""
        self.confirmed = START
        """The last entry that is confirmed."""
        self.serial: int | None = None
        """Serial of the last message that is; None: not known."""
        self._link = link
        self._key = keys.sink(lane, feed, sink)
        self._order = keys.order(lane)
        self._lease = lease
        self._incarnation: bytes | None = None

    async def load(self) -> bool:
        """Read the position; returns False when it belongs to a numbering that Redis lost.

        The position then is before the first entry.
        """
        self.fence = self._lease.value
        stored = pairs(await self._link.send("HGETALL", self._key))
        self._incarnation, end = await self._current()
        known = stored.get(keys.SINK_INCARNATION)
        lost = known is not None and known != self._incarnation
        lost |= entry.position(stored.get(keys.SINK_POSITION, START)) > end
        self.confirmed = START if lost else stored.get(keys.SINK_POSITION, START)
        serial = stored.get(keys.SINK_SERIAL, b"")
        self.serial = int(serial) if serial and not lost else None
        return not lost

    async def lost(self) -> bool:
        """Tell whether Redis has lost the numbering that this position belongs to.

        Or the end of it, and goes on with lower ids, since a clock was set back as well.
        """
        confirmed = self.confirmed
        current, end = await self._current()
        if self._incarnation is None:
            self._incarnation = current
        return current != self._incarnation or entry.position(confirmed) > end

    async def save(self, confirmed: bytes, serial: int | None) -> None:
        """Advance to the entry `confirmed`, whose last message has the `serial`.

        Raises Superseded if that is another's to do.
        """
        if self._incarnation is None:
            self._incarnation, _ = await self._current()
        saved = await self._link.send(
            *_SAVE(
                keys=[self._lease.key, self._key],
                args=[
                    self.fence, confirmed, "" if serial is None else serial,
                    self._incarnation or "",
                ],
            )
        )  # fmt: skip
        if not saved:
            raise Superseded
        self.confirmed, self.serial = confirmed, serial

    async def forget(self) -> None:
        """Drop the position, which belongs to a numbering that Redis lost."""
        await self._link.send("DEL", self._key)

    async def _current(self) -> tuple[bytes | None, tuple[float, float]]:
        """Read the numbering's identity, and how far the ids of its output go."""
        incarnation, generation, serial = await self._link.send(
            "HMGET", self._order, keys.ORDER_INCARNATION, keys.ORDER_GENERATION, keys.ORDER_SERIAL
        )
        if generation is None or serial is None:  # an earlier version's, or nothing came out yet
            return incarnation, (math.inf, math.inf)
        return incarnation, (int(generation), int(serial))
