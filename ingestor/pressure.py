"""Holds a feed back while too much of it waits in Redis."""

from __future__ import annotations

import asyncio
import math

from chassis import clock
from chassis.logs import Log
from chassis.redis import Link, checked
from chassis.tasks import until
from relay import keys, lanes, raw
from relay.allowance import Allowance
from relay.entry import START
from relay.feeds import Peer

from .backlog import Backlog
from .metrics import LineMetrics
from .writer import Writer

GONE = 3 / 4
"""Share of what may wait at which a feed that was held back is read again."""

LEAST_PAUSE = 0.05
"""Seconds between two looks at what waits, while a feed is held back, at least."""

REST = 20
"""How many times as long as a look it is until the next: to measure 500 MiB takes Redis 30 ms."""

COUNT_ENTRIES = 50
"""Entries of `raw` to read at a time when what waits there is counted."""


class Pressure:
    """The back-pressure of one line: what waits, and whether there is room for more."""

    def __init__(
        self, link: Link, peer: Peer, backlog: Backlog, limit: int, allowance: Allowance,
        metrics: LineMetrics, log: Log,
    ) -> None:  # fmt: skip
        """Watch over `backlog`: `limit` frames may wait, and bytes as the `allowance` says."""
        self._link = link
        self._peer = peer
        self._lane = peer.feed
        self._backlog = backlog
        self._limit = limit
        self._allowance = allowance
        self._metrics = metrics
        self._log = log

    async def count(self) -> None:
        """Make the feed known, and count what an earlier ingestor left waiting."""
        lane, backlog = self._lane, self._backlog
        await lanes.enter(self._link, [self._peer.feed])
        cursor = await self._link.send("HGET", keys.order(lane), keys.ORDER_SEEN) or START
        backlog.clear()
        while backlog.frames <= self._limit:
            entries = await self._link.send(
                "XRANGE", keys.raw(lane), b"(" + cursor, "+", "COUNT", COUNT_ENTRIES
            )
            if not entries:
                break
            for entry, values in entries:
                backlog.wrote(entry, raw.count_frames(values))
            cursor = entries[-1][0]

    async def wait_for_room(self, writer: Writer, stop: asyncio.Event) -> None:
        """Hold the feed back while too much waits, until a quarter of it has gone."""
        backlog, allowance = self._backlog, self._allowance
        if (
            backlog.unchecked >= max(1, self._limit // 16)
            or backlog.unchecked_bytes >= allowance.feed // 16
        ):
            await self.look()
        if not self._full(1.0):
            return
        self._log.warning(
            "feed paused", line=self._peer.name, backlog=backlog.waiting, bytes=backlog.stored
        )
        await writer.paused()
        self._metrics.paused.set(1)
        pause = LEAST_PAUSE
        while self._full(GONE) and not await until(stop, pause):
            began = clock.monotonic()
            await self.look()
            pause = max(LEAST_PAUSE, REST * (clock.monotonic() - began))
        self._metrics.paused.set(0)
        await writer.resumed()
        self._log.info("feed resumed", line=self._peer.name, backlog=backlog.waiting)

    def _full(self, share: float) -> bool:
        """Tell whether this share of what may wait does, or Redis has no memory for anybody."""
        backlog, allowance = self._backlog, self._allowance
        return (
            backlog.waiting >= self._limit * share
            or backlog.stored >= (allowance.feed or math.inf) * share
            or allowance.short
        )

    async def look(self) -> None:
        """Learn how far the orderer and the sinks are, and see that the feed is still known."""
        await self._link.attempt(self._measure)
        await self._link.attempt(lambda: lanes.enter(self._link, [self._peer.feed]))
        self._metrics.backlog.set(self._backlog.waiting)

    async def look_for_loss(self) -> None:
        """Forget the entries that `raw` no longer has although the orderer has not read them."""
        await self._link.attempt(self._compare)

    async def _measure(self) -> None:
        feed, lane = self._peer.feed, self._lane
        await self._allowance.look()
        (seen, serial), confirmed, waiting, ordered = checked(
            await self._link.send_all(
                [
                    ("HMGET", keys.order(lane), keys.ORDER_SEEN, keys.ORDER_SERIAL),
                    ("HGET", keys.confirmed(lane), feed),
                    # All of it: what a few samples let one guess may be wrong fourfold, and a
                    # feed that is held back for that would be so for good.
                    ("MEMORY", "USAGE", keys.raw(lane), "SAMPLES", 0),
                    ("MEMORY", "USAGE", keys.ordered(lane), "SAMPLES", 0),
                ]
            )
        )
        # What waits in `raw` comes into `ordered` before it is trimmed there.
        self._backlog.stored = 2 * (waiting or 0) + (ordered or 0)
        self._backlog.seen(seen or START)
        self._backlog.unsent = max(0, int(serial or 0) - int(confirmed or 0))

    async def _compare(self) -> None:
        oldest = self._backlog.oldest
        if oldest is not None:
            found = await self._link.send(
                "XRANGE", keys.raw(self._lane), oldest, "+", "COUNT", 1
            )  # fmt: skip
            self._backlog.lost(found[0][0] if found else None)
