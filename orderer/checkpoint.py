"""Up to where the input is settled. Pure.

Each frame came in a `Batch`. A batch that has frames held or on probation is *pinned*; the
checkpoint is the entry before the oldest pinned one.
"""

from __future__ import annotations

from .reorder.outputs import Batch


class Checkpoint:
    """The batches that were read, in order; those that are settled are forgotten."""

    def __init__(self, settled: bytes) -> None:
        """Begin after the entry `settled`."""
        self._settled = settled
        self._batches: list[Batch] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._batches) - self._first

    def add(self, batch: Batch) -> None:
        """Add the next batch."""
        self._batches.append(batch)

    @property
    def entry(self) -> bytes:
        """The last entry that is settled together with all before it."""
        batches = self._batches
        first = self._first
        while first < len(batches) and not batches[first].pins:
            self._settled = batches[first].entry
            first += 1
        if first > 64 and 2 * first > len(batches):
            del batches[:first]
            first = 0
        self._first = first
        return self._settled
