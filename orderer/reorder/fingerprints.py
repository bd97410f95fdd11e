"""What the output holds, as far as is needed to tell a repeated frame from a new one.

A 64-bit hash of each frame that came out, by id, whatever the frame's length. Python's `hash` of
bytes is SipHash, keyed anew in each process, so that nobody can make two frames that collide; and
a process fills its memory from the output itself when it starts.

The hashes stay Python integers, 50 bytes each: to pack them into 8 costs as much time again as to
take them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence


class Fingerprints:
    """The fingerprints of one epoch's latest frames; ids are added in ascending order."""

    __slots__ = ("_dropped", "_firsts", "_following", "_hashes", "_least", "_starts")

    def __init__(self, least: int) -> None:
        """Remember `least` frames, and up to a quarter more."""
        self._least = least
        self._hashes: list[int] = []
        self._firsts = array("q")
        """First id of each stretch of consecutive ids."""
        self._starts = array("q")
        """Where in `_hashes` each stretch would start, had none been dropped."""
        self._dropped = 0
        self._following = -1
        """The id that goes on in the last stretch."""

    def __len__(self) -> int:
        return len(self._hashes)

    def extend(self, first: int, frames: Sequence[bytes]) -> None:
        """Add the frames of consecutive ids from `first` on, which is above all ids so far."""
        hashes = self._hashes
        if first != self._following:
            self._firsts.append(first)
            self._starts.append(self._dropped + len(hashes))
        hashes.extend(map(hash, frames))
        self._following = first + len(frames)
        if 4 * len(hashes) > 5 * self._least:
            self._drop(len(hashes) - self._least)

    def get(self, seq: int) -> int | None:
        """Tell the fingerprint of the frame that came out under `seq`; None: not known."""
        at = bisect_right(self._firsts, seq) - 1
        if at < 0:
            return None
        place = self._starts[at] + seq - self._firsts[at]
        last = at == len(self._starts) - 1
        end = self._dropped + len(self._hashes) if last else self._starts[at + 1]
        return self._hashes[place - self._dropped] if place < end else None

    def _drop(self, count: int) -> None:
        """Forget the oldest."""
        del self._hashes[:count]
        self._dropped += count
        stretches = bisect_right(self._starts, self._dropped) - 1
        del self._firsts[:stretches]
        del self._starts[:stretches]
        self._firsts[0] += self._dropped - self._starts[0]
        self._starts[0] = self._dropped
