"""Frames whose ids are not believed yet. Each pins its batch."""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from . import limits
from .outputs import Batch


class Waiting(NamedTuple):
    """A frame on probation."""

    frame: bytes
    batch: Batch
    at: int
    """Which of its batch's frames it is."""
    came: int
    """How many frames had come before it, of those that count."""


class Probation(dict[int, Waiting]):
    """The frames of one kind that are on probation, by id, in order of arrival."""

    __slots__ = ()

    def add(self, seq: int, frame: bytes, batch: Batch, at: int, came: int) -> None:
        """Put a frame on probation; its id must not be there yet."""
        self[seq] = Waiting(frame, batch, at, came)
        batch.pins += 1

    def release(self, seq: int) -> Waiting:
        """End the probation of one frame."""
        waiting = self.pop(seq)
        waiting.batch.pins -= 1
        return waiting

    def release_all(self) -> list[tuple[int, Waiting]]:
        """End the probation of all, in order of arrival."""
        return [(seq, self.release(seq)) for seq in list(self)]

    def due(self, count: int) -> list[int]:
        """List the ids whose time is up when `count` frames have come."""
        limit = count - limits.PROBATION
        return [seq for seq, _ in takewhile(lambda item: item[1].came <= limit, self.items())]

    def since(self, count: int) -> list[int]:
        """List the ids between which no frame that counts has come, the latest first."""
        backwards = reversed(self.items())
        return [seq for seq, _ in takewhile(lambda item: item[1].came == count, backwards)]

    def row(self, seq: int, reach: int) -> range:
        """Find consecutive ids around `seq`, up to `reach` of them on each side."""
        first = last = seq
        while first - 1 in self and seq - first < reach:
            first -= 1
        while last + 1 in self and last - seq < reach:
            last += 1
        return range(first, last + 1)
