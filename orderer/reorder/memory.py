"""What an order remembers at rest: what decides about a later message, in little room. Pure.

An order is *at rest* when it holds nothing, has nothing on probation and looks for nothing. Then
all that it knows besides where its output ends is which messages came out, which gaps were given
up, and whether a line was connected since: so much is kept of it, and it is made anew from that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from relay.prints import BYTES

from .outputs import Cause, Gap

_CAUSES = tuple(Cause)


class Memory(NamedTuple):
    """It consists of numbers, bytes and lists only, so that it can be laid out."""

    prints: list[Any]
    """Fingerprints of what came out: the first id of a stretch, its fingerprints, the next, …."""
    gaps: list[list[Any]]
    """Gaps that were given up, as `rows` has them."""

    @property
    def messages(self) -> int:
        """How many messages are remembered."""
        return sum(map(len, self.prints[1::2])) // BYTES

    def add(self, first: int, fresh: bytes) -> None:
        """Add the fingerprints of consecutive ids from `first` on, which is above all so far."""
        prints = self.prints
        if prints and prints[-2] + len(prints[-1]) // BYTES == first:
            prints[-1] += fresh
        else:
            prints += (first, fresh)


def rows(gaps: Iterable[tuple[int, Gap]]) -> list[list[Any]]:
    """Lay out gaps of one epoch, each with the id by which it is found."""
    return [
        [
            gap.first, gap.last - gap.first, gap.opened, gap.revealed_at,
            _CAUSES.index(gap.cause), gap.late, gap.linked, id - gap.first,
        ]
        for id, gap in gaps
    ]  # fmt: skip


def gaps_of(epoch: int, rows: Iterable[list[Any]]) -> list[tuple[int, Gap]]:
    """Take them up again; what was one gap is one."""
    found: dict[Gap, Gap] = {}
    listed = []
    for first, more, opened, revealed_at, cause, late, linked, away in rows:
        gap = Gap(epoch, first, first + more, opened, revealed_at, _CAUSES[cause], late, linked)
        listed.append((first + away, found.setdefault(gap, gap)))
    return listed
