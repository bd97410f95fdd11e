"""Up to where the input is settled. Pure.

Each frame came in a `Batch`. A batch that has frames held or on probation is *pinned*; the
checkpoint is the entry before the oldest pinned one.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from .reorder.outputs import Batch

O = TypeVar("O")  # noqa: E741 # who holds the frames


class Checkpoint(Generic[O]):
    """The batches that were read, in order; those that are settled are forgotten."""

    def __init__(self, settled: bytes) -> None:
        """Begin after the entry `settled`."""
        self._settled = settled
        self.size = 0
        """Bytes of the entries that are not settled, or not known to be since `entry` was asked."""
        self._batches: list[tuple[Batch, bytes, O | None]] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._batches) - self._first

    def add(self, batch: Batch, settles: bytes, owner: O | None) -> None:
        """Add the next batch, of frames that `owner` may hold; None: nobody will.

        `settles` is the entry that is settled once this one is, and all before it.
        """
        self._batches.append((batch, settles, owner))
        self.size += batch.size

    @property
    def unsettled(self) -> int:
        """Bytes of the entries behind the checkpoint, which must be kept, and read again."""
        _ = self.entry
        return self.size

    @property
    def keeper(self) -> O | None:
        """Who holds the frame that keeps the most; None: nobody."""
        _ = self.entry
        return self._batches[self._first][2] if len(self) else None

    @property
    def entry(self) -> bytes:
        """The last entry that is settled together with all before it."""
        batches, first, size = self._batches, self._first, 0
        while first < len(batches) and not (batch := batches[first][0]).pins:
            size += batch.size
            first += 1
        if first > self._first:
            self._settled = batches[first - 1][1]
            self.size -= size
            if first > 64 and 2 * first > len(batches):
                del batches[:first]
                first = 0
            self._first = first
        return self._settled
