"""Up to where the input is settled. Pure.

Each frame came in a `Batch`. A batch that has frames held or on probation is *pinned*; the
checkpoint is the entry before the oldest pinned one.
"""

from __future__ import annotations

from hashlib import blake2b

from .runs import Batch


def beginning(batch: Batch, frame: bytes) -> bytes:
    """Name the place in the input at which an epoch begins, with `frame` of `batch`.

    An entry may hold the last frames of one numbering and the first of the next. Whoever reads
    it again after a crash, in the new epoch, must leave out the former.
    """
    return batch.entry + b" " + _digest(frame)


def joined(place: bytes, first: int) -> bytes:
    """Add to the `place` at which an epoch begins the first id, once that has been found."""
    return b"%s %d" % (place or b"0-0 -", first)


def first_of(place: bytes) -> int:
    """Tell the first id of the epoch that begins at `place`; 0 if it is not known."""
    _, _, first, *_ = *place.split(b" "), b"0", b"0"
    return int(first)


def since(place: bytes, entry: bytes, frames: list[bytes]) -> list[bytes]:
    """Leave out those `frames` of `entry` that stand before `place` in the input."""
    first, digest = (place or b"0-0 -").split(b" ")[:2]
    if position(entry) > position(first):
        return frames
    if entry == first:
        for at, frame in enumerate(frames):
            if _digest(frame) == digest:
                return frames[at:]
    return []


def position(entry: bytes) -> tuple[int, int]:
    """Turn the id of a stream's entry into something that compares."""
    milliseconds, _, serial = entry.partition(b"-")
    return int(milliseconds), int(serial or b"0")


def _digest(frame: bytes) -> bytes:
    return blake2b(frame, digest_size=8).hexdigest().encode()


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
