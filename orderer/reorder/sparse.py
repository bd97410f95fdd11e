"""Ids with holes by nature: nothing tells what is missing, so each message waits a while. Pure.

It waits for as long as a missing one would be waited for elsewhere; then all come out that are
not above it. What differs and has the same id comes out, too.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable

from .counted import Counted, Waiting
from .gaps import Open
from .outputs import Cause, Gap


class Sparse(Counted):
    """The order of messages by ids that may have any holes."""

    def _begin(self, given_up: Iterable[Gap]) -> None:
        self._held: list[Waiting] = []
        """By ids."""
        self._came: deque[Waiting] = deque()
        """The same in the order in which they came, and some that are no longer held."""
        self._prints_held: set[tuple[int, int]] = set()

    def _take(self, new: Waiting) -> None:
        self._since = None
        name = new.id, new.print
        if name in self._prints_held or (new.id == self.last and self._known(new.print)):
            self.fates.duplicates += 1
        elif self.last is not None and new.id < self.last:
            self._doubt(new)
        else:
            if self._doubtful:
                self._acquit()
            at = bisect_right(self._held, new.id, key=lambda one: one.id)
            if at < len(self._held):
                self.timeout.observe(new.batch.now - self._held[at].batch.now)
            self._hold(new)
            insort(self._held, new, key=lambda one: one.id)
            self._came.append(new)
            self._prints_held.add(name)

    def _goes_on(self, before: Waiting, new: Waiting) -> bool:
        return new.id > before.id

    def _release_rest(self) -> None:
        """Release nothing: nothing follows by itself."""

    def _find_beginning(self) -> None:
        """Find nothing: it begins with whatever comes out first."""

    def _settle(self, one: Waiting) -> None:
        if self._known(one.print):
            self.fates.duplicates += 1
        else:
            self.fates.late += 1

    def _late(self, one: Waiting) -> Gap | None:
        return None

    def give_up(self, cause: Cause) -> None:
        """Wait no longer for what may come before the one that has waited longest."""
        upto = self.lowest.id
        count = bisect_right(self._held, upto, key=lambda one: one.id)
        released, self._held = self._held[:count], self._held[count:]
        for one in released:
            self._prints_held.discard((one.id, one.print))
            self._release(self._let_go(one))
        if not self._held:
            self._came.clear()
        self._edge = 0.0

    @property
    def waiting(self) -> int:
        """Messages that are held."""
        return len(self._held)

    @property
    def lowest(self) -> Waiting:
        """The one that has waited longest."""
        came = self._came
        while (came[0].id, came[0].print) not in self._prints_held:
            came.popleft()
        return came[0]

    @property
    def gaps(self) -> list[Open]:
        """Nothing is known to be missing."""
        return []
