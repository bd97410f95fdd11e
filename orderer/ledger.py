"""The given-up gaps whose late frames are still recognised. Pure."""

from __future__ import annotations

from bisect import bisect_right

from .runs import Batch, Cause, Gap

REMEMBERED = 10_000
"""Gaps that are remembered at least, the latest ones."""


class Ledger:
    """Given-up gaps of one epoch, by ids."""

    def __init__(self, gaps: list[Gap]) -> None:
        """Begin with `gaps`, which are in the order of their ids and do not overlap."""
        self._gaps = gaps
        self._firsts = [gap.first for gap in gaps]

    def append(self, gap: Gap) -> None:
        """Add a gap above all others; far too many, the lowest are forgotten."""
        self._gaps.append(gap)
        self._firsts.append(gap.first)
        if len(self._gaps) > 2 * REMEMBERED:
            del self._gaps[:-REMEMBERED]
            del self._firsts[:-REMEMBERED]

    def begin(self, epoch: int, first: int, last: int, since: Batch | None) -> None:
        """Add the gap below the first id, which nobody sees till a frame of it comes.

        It may be there already. `since` tells its age.
        """
        if self.find(last) is None:
            now, time = (since.now, since.time) if since else (None, 0)
            self._gaps.insert(0, Gap(epoch, first, last, now, time, Cause.TIMEOUT))
            self._firsts.insert(0, first)

    def find(self, seq: int) -> Gap | None:
        """Find the gap that `seq` is in."""
        at = bisect_right(self._firsts, seq) - 1
        if at >= 0 and seq <= self._gaps[at].last:
            return self._gaps[at]
        return None
