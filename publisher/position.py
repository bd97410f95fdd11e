"""A sink's confirmed position in `ordered`, and the trimming of what lies far behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from chassis.redis import Link
from relay import keys
from relay.reading import ReadSize

START = b"0-0"
"""The position before the first entry."""

MARKS = 64
"""Marks that the retention is divided by; trimming is that exact."""

READ_MESSAGES = 2000
"""Messages to count at a time, roughly."""


class Position:
    """Where a sink stands, in Redis; all methods raise what the Redis client raises."""

    def __init__(
        self, link: Link, feed: str, sink: str, others: Sequence[str], retain: int
    ) -> None:
        """Describe the position of `sink`; `others` are the other sinks of the feed."""
        self.confirmed = START
        self._link = link
        self._feed = feed
        self._key = keys.sink(feed, sink)
        self._others = [keys.sink(feed, other) for other in others]
        self._retain = retain
        self._step = max(1, retain // MARKS)
        self._incarnation: bytes | None = None
        self._total = 0
        self._marks: deque[tuple[int, bytes]] = deque()

    async def load(self) -> bool:
        """Read the position; returns False when it belongs to a numbering that Redis lost.

        The position then is before the first entry.
        """
        stored = await self._link.client.hgetall(self._key)
        self._incarnation = await self._current()
        known = stored.get(keys.SINK_INCARNATION)
        lost = known is not None and known != self._incarnation
        self.confirmed = START if lost else stored.get(keys.SINK_POSITION, START)
        self._total = 0
        self._marks = deque([(0, self.confirmed)])
        await self._mark_what_is_kept()
        return not lost

    async def _mark_what_is_kept(self) -> None:
        """Count back from the position, as if this publisher had sent what is kept behind it.

        Otherwise one that is restarted often would never trim.
        """
        counted, end = 0, self.confirmed
        size = ReadSize(READ_MESSAGES)
        while end != START:
            entries = await self._link.client.xrevrange(
                keys.ordered(self._feed), end, "-", count=size.entries
            )
            for entry, values in entries:
                if counted >= self._retain or counted + self._marks[0][0] >= self._step:
                    self._marks.appendleft((-counted, entry))
                if counted >= self._retain:
                    return
                counted += len(values) // 2 - 1
            if not entries:
                return
            size.learn(entries)
            end = b"(" + entries[-1][0]

    async def lost(self) -> bool:
        """Tell whether Redis has lost the numbering that this position belongs to."""
        current = await self._current()
        if self._incarnation is None:
            self._incarnation = current
        return current != self._incarnation

    async def _current(self) -> bytes | None:
        current: bytes | None = await self._link.client.hget(
            keys.order(self._feed), keys.ORDER_INCARNATION
        )
        return current

    async def save(self, confirmed: bytes, messages: int) -> None:
        """Advance to the entry `confirmed`, which is `messages` farther on."""
        if self._incarnation is None:
            self._incarnation = await self._current()
        values = {keys.SINK_POSITION.decode(): confirmed}
        if self._incarnation is not None:
            values[keys.SINK_INCARNATION.decode()] = self._incarnation
        await self._link.client.hset(self._key, mapping=values)
        self.confirmed = confirmed
        self._total += messages
        if self._total - self._marks[-1][0] >= self._step:
            self._marks.append((self._total, confirmed))

    async def forget(self) -> None:
        """Drop the position, which belongs to a numbering that Redis lost."""
        await self._link.client.delete(self._key)

    async def oldest_unconfirmed(self) -> int | None:
        """Tell when the oldest message behind the position was received, µs, if there is one."""
        entries = await self._link.client.xrange(
            keys.ordered(self._feed), b"(" + self.confirmed, "+", count=1
        )
        return int(entries[0][1][1].partition(b" ")[0]) if entries else None

    async def settle(self) -> None:
        """If this sink is the slowest, say so, and drop what lies farther behind than is kept."""
        pipeline = self._link.client.pipeline(transaction=False)
        for other in self._others:
            pipeline.hget(other, keys.SINK_POSITION)
        others = await pipeline.execute() if self._others else []
        if any(order(other or START) < order(self.confirmed) for other in others):
            return
        await self._link.client.set(keys.slowest(self._feed), self.confirmed)
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= self._total - self._retain:
            marks.popleft()
        behind, position = marks[0]
        if behind > self._total - self._retain or position == START:
            return
        await self._link.client.xtrim(keys.ordered(self._feed), minid=position, approximate=False)


def order(position: bytes) -> tuple[int, int]:
    """Turn a position into something that compares."""
    epoch, _, last = position.partition(b"-")
    return int(epoch), int(last)
