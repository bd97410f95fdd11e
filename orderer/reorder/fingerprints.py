"""What came out, as far as is needed to tell a repeated frame from a new one."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from relay.prints import CODE


def most(least: int) -> int:
    """Tell how many frames are remembered at most where `least` are at least."""
    return 5 * least // 4


class Fingerprints:
    """The fingerprints of one epoch's latest frames; ids are added in ascending order."""

    __slots__ = ("_dropped", "_firsts", "_following", "_least", "_most", "_prints", "_starts")

    def __init__(self, least: int) -> None:
        """Remember `least` frames, and up to a quarter more."""
        self._least = least
        self._most = most(least)
        self._prints = array(CODE)
        self._firsts = array("q")
        """First id of each stretch of consecutive ids."""
        self._starts = array("q")
        """Where in `_prints` each stretch would start, had none been dropped."""
        self._dropped = 0
        self._following = -1
        """The id that goes on in the last stretch."""

    @classmethod
    def of(cls, least: int, listed: Sequence[Any]) -> Fingerprints:
        """Take up what was `listed`."""
        made = cls(least)
        for first, prints in zip(listed[::2], listed[1::2], strict=True):
            made.extend(first, array(CODE, prints))
        return made

    def __len__(self) -> int:
        return len(self._prints)

    def bound(self, least: int) -> None:
        """Remember so many from now on."""
        self._least, self._most = least, most(least)
        if len(self._prints) > self._most:
            self._drop(len(self._prints) - least)

    def latest(self, count: int | None = None) -> array[int]:
        """List the latest ones, or all."""
        return self._prints[-count:] if count else self._prints[:]

    def listed(self) -> list[Any]:
        """List all: the first id of a stretch, its fingerprints, the next, …."""
        places = [*(start - self._dropped for start in self._starts), len(self._prints)]
        return [
            item
            for first, (start, end) in zip(self._firsts, pairwise(places), strict=True)
            for item in (first, self._prints[start:end].tobytes())
        ]

    def extend(self, first: int, fresh: array[int]) -> None:
        """Add the fingerprints of consecutive ids from `first` on, which is above all so far."""
        prints = self._prints
        if first != self._following:
            self._firsts.append(first)
            self._starts.append(self._dropped + len(prints))
        prints.extend(fresh)
        self._following = first + len(fresh)
        if len(prints) > self._most:
            self._drop(len(prints) - self._least)

    def get(self, seq: int) -> int | None:
        """Tell the fingerprint of the frame that came out under `seq`; None: not known."""
        at = bisect_right(self._firsts, seq) - 1
        if at < 0:
            return None
        place = self._starts[at] + seq - self._firsts[at]
        last = at == len(self._starts) - 1
        end = self._dropped + len(self._prints) if last else self._starts[at + 1]
        return self._prints[place - self._dropped] if place < end else None

    def _drop(self, count: int) -> None:
        """Forget the oldest."""
        del self._prints[:count]
        self._dropped += count
        stretches = bisect_right(self._starts, self._dropped) - 1
        del self._firsts[:stretches]
        del self._starts[:stretches]
        self._firsts[0] += self._dropped - self._starts[0]
        self._starts[0] = self._dropped
