"""The given-up gaps whose late frames are still recognised. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .limits import REMEMBERED_GAPS
from .outputs import Batch, Cause, Gap


class Ledger:
    """Given-up gaps of one epoch, by ids."""

    __slots__ = ("_firsts", "_gaps", "_least")

    def __init__(self, gaps: Iterable[Gap] = (), least: int = REMEMBERED_GAPS) -> None:
        """Begin with `gaps`, which are in the order of their ids and do not overlap.

        `least` of them are remembered, and up to as many more.
        """
        self._least = least
        self._gaps = list(gaps)
        self._firsts = [gap.first for gap in self._gaps]

    def __len__(self) -> int:
        return len(self._gaps)

    def __iter__(self) -> Iterator[Gap]:
        return iter(self._gaps)

    def append(self, gap: Gap) -> None:
        """Add a gap above all others; far too many, the lowest are forgotten."""
        self._gaps.append(gap)
        self._firsts.append(gap.first)
        if len(self._gaps) > 2 * self._least:
            del self._gaps[: -self._least]
            del self._firsts[: -self._least]

    def begin(
        self, epoch: int, first: int, last: int, since: Batch | None, believed_at: float = 0.0
    ) -> None:
        """Add the gap below the first id, which nobody sees till a frame of it comes.

        It may be there already. `since` tells its age, and when that
        was believed to belong to the epoch.
        """
        if self.find(last) is None:
            opened, time = (max(since.now, believed_at), since.time) if since else (None, 0)
            self._gaps.insert(0, Gap(epoch, first, last, opened, time, Cause.TIMEOUT))
            self._firsts.insert(0, first)

    def find(self, seq: int) -> Gap | None:
        """Find the gap that `seq` is in."""
        at = bisect_right(self._firsts, seq) - 1
        if at >= 0 and seq <= self._gaps[at].last:
            return self._gaps[at]
        return None

    def count_late(self, seq: int) -> Gap:
        """Count a late frame with its gap, which must be there; returns the gap as it is now."""
        at = bisect_right(self._firsts, seq) - 1
        gap = self._gaps[at] = replace(self._gaps[at], late=self._gaps[at].late + 1)
        return gap
