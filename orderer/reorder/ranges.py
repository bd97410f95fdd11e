"""Messages that each cover the ids `first` … `id`: one follows if it covers the next id. Pure.

Where ids grow by a step, a message covers those that are passed over before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from .counted import Counted, Waiting
from .gaps import Open
from .ledger import Ledger
from .outputs import Cause, Gap


class Ranges(Counted):
    """The order of messages that cover ranges of ids; they may overlap."""

    def _begin(self, given_up: Iterable[Gap]) -> None:
        self._ledger = Ledger(
            sorted(given_up, key=lambda gap: gap.first), self.limits.remembered_gaps
        )
        self._held: dict[tuple[int, int], Waiting] = {}
        """By the first id and the last."""
        self._order: list[tuple[int, int]] = []
        """A heap of the same."""
        if self.last is None and self.limits.first_id is not None:
            self.last = self.limits.first_id - self.limits.step

    def _given_up(self) -> Iterable[tuple[int, Gap]]:
        return ((gap.first, gap) for gap in self._ledger)

    def _recall(self, gaps: list[tuple[int, Gap]]) -> None:
        self._ledger = Ledger([gap for _, gap in gaps], self.limits.remembered_gaps)

    def _first(self, one: Waiting) -> int:
        if one.link is None:
            return one.id - self.limits.step + 1
        return min(one.link, one.id)

    def _take(self, new: Waiting) -> None:
        first, last = self._first(new), self.last
        if last is not None and new.id <= last:
            self._doubt(new)
            return
        if self._doubtful:
            self._acquit()
        if last is not None and first <= last + 1:
            if self._order:
                self.timeout.observe(new.batch.now - self.lowest.batch.now)
            self._release(new)
            self._release_rest()
        elif (first, new.id) in self._held:
            self.fates.duplicates += 1
        else:
            self._hold(new)
            self._held[first, new.id] = new
            heappush(self._order, (first, new.id))

    def _goes_on(self, before: Waiting, new: Waiting) -> bool:
        return self._first(new) <= before.id + 1 <= new.id

    def _release_rest(self) -> None:
        while self.last is not None and self._order and self._order[0][0] <= self.last + 1:
            one = self._let_go(self._held.pop(heappop(self._order)))
            if one.id > self.last:
                self._release(one)
            else:
                self.fates.duplicates += 1

    def _find_beginning(self) -> None:
        self.last = self._order[0][0] - 1

    def _late(self, one: Waiting) -> Gap | None:
        return self._ledger.count_late(one.id) if self._ledger.find(one.id) else None

    def give_up(self, cause: Cause) -> None:
        """Give up the ids between the last one and the lowest one held."""
        (hole,), above = self.gaps, self.lowest
        gap = Gap(
            self.epoch, hole.first, hole.last, above.batch.now, above.batch.time, cause
        )  # fmt: skip
        self._ledger.append(gap)
        self._give_up(gap)

    @property
    def waiting(self) -> int:
        """Messages that are held."""
        return len(self._held)

    @property
    def lowest(self) -> Waiting:
        """The one with the lowest first id."""
        return self._held[self._order[0]]

    @property
    def gaps(self) -> list[Open]:
        """The hole behind the last one."""
        if not self._order or self.last is None:
            return []
        batch = self.lowest.batch
        first = self.last + self.limits.step
        return [Open(first, self._order[0][0] - 1, batch.now, batch.time)]
