"""Messages that each name the one before: one follows if it names the last one. Pure.

Only equality counts: ids may jump, repeat, and go back. A message that names none begins a chain.
"""

from __future__ import annotations

from collections.abc import Iterable

from .counted import Counted, Waiting
from .gaps import Open
from .outputs import Cause, Gap, Origin, Place


class Chain(Counted):
    """The order of messages that are linked."""

    def _begin(self, given_up: Iterable[Gap]) -> None:
        self._late_of: dict[int, Gap] = {gap.first: gap for gap in given_up}
        """Gaps by the id that a late message of theirs names."""
        self._by_link: dict[int | None, list[Waiting]] = {}
        """What is held, by what it names, in the order in which it came."""
        self._by_id: dict[int, Waiting] = {}
        self._head: Waiting | None = None
        """The `lowest`, if it is known."""
        self._count = 0

    def _given_up(self) -> Iterable[tuple[int, Gap]]:
        return self._late_of.items()

    def _recall(self, gaps: list[tuple[int, Gap]]) -> None:
        self._late_of = dict(gaps)

    def _take(self, new: Waiting) -> None:
        begins = new.link is None or new.link < 0
        follows = self.last is not None and new.link == self.last
        # One that names itself follows itself, and so does its repeat.
        if not (follows and new.id != new.link) and self._has(new):
            self.fates.duplicates += 1
        elif begins or follows:
            if begins and self._begun and self.limits.restarts:
                self._begin_anew(new)
            elif self._count:
                self.timeout.observe(new.batch.now - self.lowest.batch.now)
            self._release(new)
            self._release_rest()
        elif new.link in self._late_of:
            self._come_late(new)
        else:
            self._hold(new)
            self._by_link.setdefault(new.link, []).append(new)
            self._by_id[new.id] = new
            self._count += 1
            if self._head is not None and self._head.link == new.id:
                self._head = self._begin_of(new)

    def _begin_anew(self, new: Waiting) -> None:
        """Close this chain; what is held of the one that begins goes on in that."""
        carried, id = [], new.id
        while id in self._by_link:
            one = self._pop(id)
            carried.append(one)
            id = one.id
        places = frozenset(Place(one.batch.entry, one.at) for one in carried)
        self._close(Origin(Place(new.batch.entry, new.at - 1), places))
        for one in carried:
            self._take(one)

    def _has(self, new: Waiting) -> bool:
        """Tell whether this very message is held, or came out lately."""
        held = self._by_link.get(new.link, ())
        return any(one.print == new.print for one in held) or self._known(new.print)

    def _come_late(self, new: Waiting) -> None:
        """Count a message of a gap that was given up; the next one of the gap names it."""
        gap = self._late_of[new.link or 0]
        if new.id != gap.last:
            self._late_of[new.id] = gap
        self._settle(new)

    def _late(self, one: Waiting) -> Gap | None:
        gap = self._late_of.get(one.link or 0)
        if gap is not None:
            counted = Gap(
                gap.epoch, gap.first, gap.last, gap.opened, gap.revealed_at, gap.cause,
                gap.late + 1, gap.linked,
            )  # fmt: skip
            self._late_of.update((id, counted) for id, of in self._late_of.items() if of is gap)
            return counted
        return gap

    def _goes_on(self, before: Waiting, new: Waiting) -> bool:
        return new.link == before.id

    def _release_rest(self) -> None:
        while self.last is not None and self.last in self._by_link:
            self._release(self._pop(self.last))

    def _pop(self, link: int | None) -> Waiting:
        held = self._by_link[link]
        one = self._let_go(held.pop(0))
        if not held:
            del self._by_link[link]
        if self._by_id.get(one.id) is one:
            del self._by_id[one.id]
        if one is self._head:
            self._head = None
        self._count -= 1
        return one

    def _find_beginning(self) -> None:
        self.last = self.lowest.link

    def give_up(self, cause: Cause) -> None:
        """Give up what is missing between the last one and the head of what has waited longest."""
        (hole,), head = self.gaps, self.lowest
        gap = Gap(
            self.epoch, hole.first, hole.last,
            head.batch.now, head.batch.time, cause, linked=True,
        )  # fmt: skip
        self._late_of[gap.first] = gap
        while len(self._late_of) > 2 * self.limits.remembered_gaps:
            del self._late_of[next(iter(self._late_of))]
        self._give_up(gap)

    @property
    def waiting(self) -> int:
        """Messages that are held."""
        return self._count

    @property
    def lowest(self) -> Waiting:
        """The head of the chain of which one has waited longest."""
        if self._head is None:
            self._head = self._begin_of(next(iter(self._by_link.values()))[0])
        return self._head

    def _begin_of(self, one: Waiting) -> Waiting:
        """Find the first of those that are held from which one follows."""
        passed = {one.id}
        while one.link is not None and (before := self._by_id.get(one.link)) is not None:
            if before.id in passed:  # a ring
                break
            passed.add(before.id)
            one = before
        return one

    @property
    def gaps(self) -> list[Open]:
        """What is missing behind the last one: the ids between which it is."""
        if not self._count or self.last is None:
            return []
        head = self.lowest
        return [Open(self.last, head.link or 0, head.batch.now, head.batch.time)]
