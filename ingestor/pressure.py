"""Holds a feed back while too much of it waits in Redis."""

from __future__ import annotations

import asyncio

from chassis.logs import Log
from chassis.redis import Link
from chassis.tasks import until
from relay import keys, raw
from relay.entry import START, position
from relay.feeds import Peer

from .backlog import Backlog, unsent
from .metrics import LineMetrics
from .writer import Writer

COUNT_ENTRIES = 50
"""Entries of `raw` to read at a time when what waits there is counted."""


class Pressure:
    """The back-pressure of one line: what waits, and whether there is room for more."""

    def __init__(
        self, link: Link, peer: Peer, backlog: Backlog, limit: int, metrics: LineMetrics, log: Log
    ) -> None:
        """Watch over `backlog`, of which `limit` frames may wait."""
        self._link = link
        self._peer = peer
        self._backlog = backlog
        self._limit = limit
        self._metrics = metrics
        self._log = log

    async def count(self) -> None:
        """Make the feed known, and count what an earlier ingestor left waiting."""
        feed, backlog = self._peer.feed, self._backlog
        await self._link.send("SADD", keys.FEEDS, feed)
        cursor = await self._link.send("HGET", keys.order(feed), keys.ORDER_SEEN) or START
        backlog.clear()
        while backlog.frames <= self._limit:
            entries = await self._link.send(
                "XRANGE", keys.raw(feed), b"(" + cursor, "+", "COUNT", COUNT_ENTRIES
            )
            if not entries:
                break
            for entry, values in entries:
                backlog.wrote(entry, raw.count_frames(values))
            cursor = entries[-1][0]

    async def wait_for_room(self, writer: Writer, stop: asyncio.Event) -> None:
        """Hold the feed back while too many frames wait, until a quarter of them has gone."""
        backlog = self._backlog
        if backlog.unchecked >= max(1, self._limit // 16):
            await self.look()
        if backlog.waiting < self._limit:
            return
        self._log.warning("feed paused", line=self._peer.name, backlog=backlog.waiting)
        await writer.paused()
        self._metrics.paused.set(1)
        while backlog.waiting > self._limit * 3 // 4 and not await until(stop, 0.05):
            await self.look()
        self._metrics.paused.set(0)
        await writer.resumed()
        self._log.info("feed resumed", line=self._peer.name, backlog=backlog.waiting)

    async def look(self) -> None:
        """Learn how far the orderer and the sinks are, and see that the feed is still known."""
        await self._link.attempt(self._measure)
        self._metrics.backlog.set(self._backlog.waiting)

    async def look_for_loss(self) -> None:
        """Forget the entries that `raw` no longer has although the orderer has not read them."""
        await self._link.attempt(self._compare)

    async def _measure(self) -> None:
        feed = self._peer.feed
        await self._link.send("SADD", keys.FEEDS, feed)
        seen, epoch, following = await self._link.send(
            "HMGET", keys.order(feed), keys.ORDER_SEEN, keys.ORDER_EPOCH, keys.ORDER_NEXT
        )
        self._backlog.seen(seen or START)
        if epoch is None:
            self._backlog.sent(0, False)
            return
        ordered = keys.ordered(feed)
        after = await self._link.send("GET", keys.slowest(feed))
        older = False
        if after is None or position(after)[0] != int(epoch):
            begin = b"(" + after if after else "-"
            beyond = await self._link.send("XRANGE", ordered, begin, "+", "COUNT", 1)
            older = bool(beyond) and position(beyond[0][0])[0] < int(epoch)
            # No sink has come to this epoch yet: all that is there of it waits.
            oldest = await self._link.send("XRANGE", ordered, epoch + b"-0", "+", "COUNT", 1)
            after = oldest[0][0] if oldest else None
        self._backlog.sent(unsent(epoch, following, after), older)

    async def _compare(self) -> None:
        oldest = self._backlog.oldest
        if oldest is not None:
            found = await self._link.send(
                "XRANGE", keys.raw(self._peer.feed), oldest, "+", "COUNT", 1
            )  # fmt: skip
            self._backlog.lost(found[0][0] if found else None)
