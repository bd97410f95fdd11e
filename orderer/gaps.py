"""The gaps that are waited for. Pure.

A gap is opened by a frame above all others seen, so gaps come into being in the order of their
ids and of their age alike, and a plain list holds them in both orders.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heappop, heappush


class OpenGap:
    """Ids `first` … `end − 1`, of which some are missing; `end` is held."""

    __slots__ = ("_fills", "end", "first", "opened", "since")

    def __init__(self, first: int, end: int, opened: float, since: int) -> None:
        self.first = first
        self.end = end
        self.opened = opened
        """When it was opened; feed time, seconds."""
        self.since = since
        """Receive time of the frame that opened it, µs."""
        self._fills: list[int] = []
        # A heap of the ids inside that are held, and of some below `next` that no longer are.

    def next_held(self, seq: int) -> int:
        """Find the lowest held id from `seq` on: one inside, or `end`."""
        fills = self._fills
        while fills and fills[0] < seq:
            heappop(fills)
        return fills[0] if fills else self.end

    def fill(self, seq: int) -> None:
        """Note that the frame with the id `seq` has come and is held."""
        heappush(self._fills, seq)

    @property
    def missing(self) -> int:
        """Number of missing ids, for a gap that `next` has not yet come to."""
        return self.end - self.first - len(self._fills)


class OpenGaps:
    """All open gaps of a numbering, by ids and by age."""

    def __init__(self) -> None:
        self._gaps: list[OpenGap] = []
        self._firsts: list[int] = []
        self._head = 0

    @property
    def oldest(self) -> OpenGap:
        """The gap that `next` waits in; there must be one."""
        return self._gaps[self._head]

    def open(self, first: int, end: int, now: float, since: int) -> None:
        """Add a gap above all others."""
        self._gaps.append(OpenGap(first, end, now, since))
        self._firsts.append(first)

    def around(self, seq: int) -> OpenGap:
        """Find the gap that the missing id `seq` is in."""
        return self._gaps[bisect_right(self._firsts, seq, self._head) - 1]

    def passed(self, seq: int) -> None:
        """Drop the gaps that end below `seq`."""
        gaps = self._gaps
        head = self._head
        while head < len(gaps) and gaps[head].end < seq:
            head += 1
        if head > 64 and 2 * head > len(gaps):
            del gaps[:head]
            del self._firsts[:head]
            head = 0
        self._head = head

    def listed(self, next: int) -> list[tuple[int, int, float, int]]:
        """List those with ids missing as (first, last, opened, since); O(open gaps)."""
        oldest, *others = self._gaps[self._head :]
        return [(next, oldest.end - 1, oldest.opened, oldest.since)] + [
            (gap.first, gap.end - 1, gap.opened, gap.since) for gap in others if gap.missing
        ]
