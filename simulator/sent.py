"""What the feed sent, and when: the times of the last two million ordinals, counts for ever."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

BLOCK_BITS = 16
BLOCK = 1 << BLOCK_BITS
"""Ordinals in a block; memory comes and goes by the block."""

WINDOW = 32
"""Blocks that are remembered: 2²¹ ordinals."""

_MASK = BLOCK - 1


class Sent:
    """Remember when each ordinal was first sent. A time of 0 means that it was not sent."""

    def __init__(self) -> None:
        self._times: dict[int, array[float]] = {}
        self._counts: dict[int, int] = {}
        self._oldest = 0
        self._before = 0
        self._newest = -1
        self.next = 0
        """One more than the highest ordinal that was sent."""
        self.started: float | None = None
        """When the first message was sent."""
        self.before_forgetting: list[Callable[[int], None]] = []
        """Called with the number of a block that is about to be forgotten."""

    @property
    def count(self) -> int:
        """Count the ordinals that were sent."""
        return self._before + sum(self._counts.values())

    def note(self, spans: Iterable[tuple[int, int]], now: float) -> None:
        """Note that ordinals (from, to below) are being sent for the first time, at `now`."""
        for first, stop in spans:
            if self.started is None:
                self.started = now
            start = first
            while start < stop:
                block = start >> BLOCK_BITS
                end = min(stop, (block + 1) << BLOCK_BITS)
                if block > self._newest:
                    self._open(block)
                if block < self._oldest:
                    self._before += end - start
                else:
                    low, size = start & _MASK, end - start
                    times = self._times[block]
                    if size == 1:
                        times[low] = now
                    else:
                        times[low : low + size] = array("d", (now,)) * size
                    self._counts[block] += size
                start = end
            if stop > self.next:
                self.next = stop

    def _open(self, block: int) -> None:
        """Make room for the blocks up to `block`."""
        for number in range(self._newest + 1, block + 1):
            self._times[number] = array("d", bytes(8 * BLOCK))
            self._counts[number] = 0
            if len(self._times) > WINDOW:
                for call in self.before_forgetting:
                    call(self._oldest)
                del self._times[self._oldest]
                self._before += self._counts.pop(self._oldest)
                self._oldest += 1
        self._newest = block

    def has(self, ordinal: int) -> bool:
        """Tell whether `ordinal` was sent; of what is forgotten that is taken for granted."""
        if not 0 <= ordinal < self.next:
            return False
        times = self._times.get(ordinal >> BLOCK_BITS)
        return times is None or times[ordinal & _MASK] != 0.0

    def time(self, ordinal: int) -> float | None:
        """Tell when `ordinal` was sent; None if it was not or that is forgotten."""
        times = self._times.get(ordinal >> BLOCK_BITS)
        return (times[ordinal & _MASK] or None) if times is not None else None

    def times(self, start: int, stop: int) -> array[float]:
        """Get the times of the ordinals from `start` to below `stop`; forgotten ones are 0."""
        block = start >> BLOCK_BITS
        if (stop - 1) >> BLOCK_BITS == block and block in self._times:
            low = start & _MASK
            return self._times[block][low : low + stop - start]
        found = array("d")
        while start < stop:
            block = start >> BLOCK_BITS
            end = min(stop, (block + 1) << BLOCK_BITS)
            times = self._times.get(block)
            if times is None:
                found.extend(array("d", bytes(8 * (end - start))))
            else:
                found.extend(times[start & _MASK : (start & _MASK) + end - start])
            start = end
        return found

    def latest(self, start: int, stop: int) -> float:
        """Tell the latest time at which one of the ordinals was sent; 0 if none was."""
        start = max(start, self._oldest << BLOCK_BITS)
        return max(self.times(start, stop), default=0.0)

    def sent_up_to(self, ordinal: int) -> int | None:
        """Count the ordinals up to and including `ordinal` that were sent; None = forgotten."""
        block = ordinal >> BLOCK_BITS
        if block < self._oldest:
            return None
        count = self._before
        for number in range(self._oldest, min(block, self._newest + 1)):
            count += self._counts[number]
        if block in self._times:
            size = (ordinal & _MASK) + 1
            count += size - self._times[block][:size].count(0.0)
        return count
