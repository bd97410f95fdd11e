"""The gaps that are waited for.

A gap is opened by a frame above all others seen, so gaps come into being in the order of their
ids and of their age alike, and a plain list holds them in both orders.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heappop, heappush
from typing import NamedTuple


class Open(NamedTuple):
    """An open gap as others see it: ids `first` … `last`, of which some may be held."""

    first: int
    last: int
    opened: float
    """Feed time, seconds."""
    revealed_at: int
    """Receive time of the frame that revealed it, µs; when it was believed, if that was later."""


class OpenGap:
    """Ids `first` … `end − 1`, of which some are missing; `end` is held."""

    __slots__ = ("_fills", "end", "first", "opened", "revealed_at")

    def __init__(self, first: int, end: int, opened: float, revealed_at: int) -> None:
        self.first = first
        self.end = end
        self.opened = opened
        self.revealed_at = revealed_at
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

    __slots__ = ("_firsts", "_gaps", "_head")

    def __init__(self) -> None:
        self._gaps: list[OpenGap] = []
        self._firsts: list[int] = []
        self._head = 0

    @property
    def oldest(self) -> OpenGap:
        """The gap that `next` waits in; there must be one."""
        return self._gaps[self._head]

    def open(self, first: int, end: int, now: float, revealed_at: int) -> None:
        """Add a gap above all others."""
        self._gaps.append(OpenGap(first, end, now, revealed_at))
        self._firsts.append(first)

    def began(self, now: float) -> None:
        """Count those so far as open since this feed time at the earliest."""
        for gap in self._gaps:
            gap.revealed_at += round(max(0.0, now - gap.opened) * 1e6)
            gap.opened = max(gap.opened, now)

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

    def listed(self, next: int) -> list[Open]:
        """List those with ids missing, oldest first; `next` waits in one. O(open gaps)."""
        oldest, *others = self._gaps[self._head :]
        return [Open(next, oldest.end - 1, oldest.opened, oldest.revealed_at)] + [
            Open(gap.first, gap.end - 1, gap.opened, gap.revealed_at)
            for gap in others
            if gap.missing
        ]
