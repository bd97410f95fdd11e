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

    __slots__ = ("size",)

    def __init__(self) -> None:
        """Begin without any."""
        super().__init__()
        self.size = 0
        """Bytes of the frames."""

    @property
    def oldest(self) -> int:
        """The id that has waited longest; there must be one."""
        return next(iter(self))

    def add(self, seq: int, frame: bytes, batch: Batch, at: int, came: int) -> None:
        """Put a frame on probation; its id must not be there yet."""
        self[seq] = Waiting(frame, batch, at, came)
        self.size += len(frame)
        batch.pins += 1

    def release(self, seq: int) -> Waiting:
        """End the probation of one frame."""
        waiting = self.pop(seq)
        self.size -= len(waiting.frame)
        waiting.batch.pins -= 1
        return waiting

    def release_all(self) -> list[tuple[int, Waiting]]:
        """End the probation of all, in order of arrival."""
        return [(seq, self.release(seq)) for seq in list(self)]

    def due(self, count: int, now: float) -> list[int]:
        """List the ids whose time is up when `count` frames have come, first come first."""
        return [
            seq
            for seq, _ in takewhile(lambda item: self._is_due(item[1], count, now), self.items())
        ]

    def _is_due(self, waiting: Waiting, count: int, now: float) -> bool:
        return (
            count - waiting.came >= limits.PROBATION
            or now - waiting.batch.now >= limits.PROBATION_SECONDS
        )

    def silent(self, now: float) -> bool:
        """Tell whether none has come for so long that no more are expected; there must be one."""
        latest = self[next(reversed(self))]
        return now - latest.batch.now >= limits.SILENCE

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
