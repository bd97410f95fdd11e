"""Frames whose ids are not believed yet. Pure.

One wrong id must not move the numbering, so a jump needs witnesses; RFC 3550, appendix A.1, does
the same for RTP. A frame on probation is neither held nor settled, and pins its batch. Two kinds
of frame get there:

* *strays*, more than `far` ids above everything seen. When `PROOF` of them lie near each
  other, or come one after another with nothing else in between, the jump is believed.
* *echoes*, ids that were released before. A feed that repeats a frame sends one; a feed that
  replays its recent past after a reconnect, or that has begun to number anew, sends a row of
  them. When `PROOF` consecutive ids stand there (two right after a reconnect), they are
  compared with what the output holds under those ids: the same bytes mean a replay, other
  bytes a new numbering.

Whoever is not confirmed within `PATIENCE` frames is settled: a stray is refused, an echo was a
duplicate or came late. An echo's time goes by with the frames that are released or held for the
first time; a stray's goes by with every frame that is no stray, so that it is the same when the
input is read again after a crash, and what was released has become echoes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from .runs import Batch

PROOF = 5
"""Frames that must agree before a jump of the numbering is believed."""

PROOF_AFTER_RECONNECT = 2
"""Echoes that must agree right after a reconnect, before any ordinary frame has come."""

PATIENCE = 1000
"""Frames after which a frame on probation is settled."""

QUIET = 64
"""Echoes after a replay was recognised that nobody need look at, if they lie no more than that
many ids above it: most likely it goes on."""

MOST_ECHOES = 256
"""Echoes on probation at a time; the oldest is settled beyond."""


class Probation:
    """Frames on probation, in order of arrival, by id.

    `progress` is a number that grows by one with every frame that counts.
    """

    def __init__(self) -> None:
        self._frames: dict[int, tuple[bytes, Batch, int]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, seq: int) -> bool:
        return seq in self._frames

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def frame(self, seq: int) -> bytes:
        """Look up the frame with the id `seq`."""
        return self._frames[seq][0]

    def batch(self, seq: int) -> Batch:
        """Look up the batch of the frame with the id `seq`."""
        return self._frames[seq][1]

    def add(self, seq: int, frame: bytes, batch: Batch, progress: int) -> None:
        """Put a frame on probation; its id must not be there yet."""
        self._frames[seq] = (frame, batch, progress)
        batch.pins += 1

    def release(self, seq: int) -> tuple[bytes, Batch]:
        """End the probation of one frame."""
        frame, batch, _ = self._frames.pop(seq)
        batch.pins -= 1
        return frame, batch

    def release_all(self) -> list[tuple[int, bytes, Batch]]:
        """End the probation of all frames; returns them in order of arrival."""
        return [(seq, *self.release(seq)) for seq in list(self._frames)]

    def due(self, progress: int) -> list[int]:
        """List the ids whose time is up."""
        limit = progress - PATIENCE
        return [seq for seq, (_, _, came) in self._frames.items() if came <= limit]

    def row(self, seq: int, proof: int) -> range:
        """Find consecutive ids around `seq`; no more than needed to see `proof` of them."""
        frames = self._frames
        first = last = seq
        while first - 1 in frames and seq - first < proof:
            first -= 1
        while last + 1 in frames and last - first < proof:
            last += 1
        return range(first, last + 1)

    def agreeing(self, seq: int, far: int, progress: int) -> list[int]:
        """List the ids that bear out `seq`, itself included: `PROOF` at least, or none.

        That is those between which nothing that counts has come, or those no more than `far` ids
        away.
        """
        backwards = reversed(self._frames.items())
        since = [other for other, _ in takewhile(lambda item: item[1][2] == progress, backwards)]
        if len(since) >= PROOF:
            return since
        near = [other for other in self._frames if abs(other - seq) <= far]
        return near if len(near) >= PROOF else []
