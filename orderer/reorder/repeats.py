"""Ids that came out before: each is a repeated frame, a replayed one, or a new numbering's.

A feed that repeats a frame sends one. One that replays its recent past after a reconnect, or that
has begun to number anew, sends a row of consecutive ids. When such a row stands, it is compared
with what came out: the same bytes mean a replay, other bytes a new numbering. Of ids that are no
longer remembered, a row is a new numbering if it lies well below the first id, or lies far below
`next` and is not just being read again after a crash; but never below the first id of every
numbering.

A repeat that nobody confirms within PROBATION released or held frames was a duplicate, or late. So
it is after SILENCE already if an ordinary frame or a reconnect has come since: it would stand in
the way of a new numbering's frame. If nothing has come since but repeats, it may wait, for a slow
feed that numbers anew sends nothing else. When such a feed is silent, two in a row are enough; and
after a reconnect one, if its id is no higher than this numbering's first: that is how a numbering
begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from relay.prints import fingerprint

from . import limits
from .fingerprints import Fingerprints
from .limits import (
    JOIN_SLACK,
    MAX_REPEATS,
    MIN_SEQUENTIAL,
    MIN_SEQUENTIAL_RECONNECTED,
    MIN_SEQUENTIAL_SILENT,
    Limits,
)
from .outputs import Batch
from .probation import Probation, Waiting


class Repeats(Probation):
    """The repeats of one numbering."""

    __slots__ = ("_first", "_interruptions", "_limits", "_reconnected_at")

    def __init__(self, limits: Limits, first: int) -> None:
        """Begin without any; `first` is the numbering's first id."""
        super().__init__()
        self._limits = limits
        self._first = first
        self._interruptions = 0  # reconnects, and ordinary frames that are read again
        self._reconnected_at: int | None = None

    def reconnected(self, taken: int) -> None:
        """Note a reconnect: until the next ordinary frame, fewer repeats are a row."""
        self._interruptions += 1
        self._reconnected_at = taken + self._interruptions

    def interrupted(self) -> None:
        """Note that a frame which once was an ordinary one is read again."""
        self._interruptions += 1
        self._reconnected_at = None

    def just_reconnected(self, taken: int) -> bool:
        """Tell whether there was a reconnect, and no ordinary frame since."""
        return self._reconnected_at == taken + self._interruptions

    def add(self, seq: int, frame: bytes, batch: Batch, at: int, taken: int) -> None:
        """Put a repeat on probation; `taken` counts the ordinary frames so far."""
        came = taken + self._interruptions
        if came != self._reconnected_at:
            self._reconnected_at = None
        super().add(seq, frame, batch, at, came)

    def due(self, taken: int, now: float) -> list[int]:
        """List the ids whose time is up; `taken` counts the ordinary frames so far."""
        return super().due(taken + self._interruptions, now)

    def _is_due(self, waiting: Waiting, count: int, now: float) -> bool:
        interrupted = waiting.came < count and now - waiting.batch.now >= limits.SILENCE
        return interrupted or super()._is_due(waiting, count, now)

    @property
    def full(self) -> bool:
        """Whether there are more than may be."""
        return len(self) > MAX_REPEATS

    @property
    def enough(self) -> int:
        """How many must agree."""
        return MIN_SEQUENTIAL if self._reconnected_at is None else MIN_SEQUENTIAL_RECONNECTED

    def standing(self, seq: int) -> range:
        """Find the row that stands around `seq`, which has just been added; empty if none does."""
        # As many again may be its beginning; see `proof`.
        row = self.row(seq, 2 * self.enough)
        return row if len(row) >= self.enough else range(0)

    def alone(self, taken: int, now: float) -> Iterator[range]:
        """Find the rows that may prove a new numbering since the feed brings nothing else.

        Those that are due must have been settled: then nothing but repeats has come since.
        """
        if not self or not self.silent(now):
            return
        reconnected = self.just_reconnected(taken)
        for seq in self:
            if seq - 1 not in self:
                row = self.row(seq, MAX_REPEATS)
                begins = reconnected and seq <= self._first
                if len(row) >= MIN_SEQUENTIAL_SILENT or begins:
                    yield row

    def same(self, seq: int, published: Fingerprints) -> bool:
        """Tell whether the very frame that waits under `seq` came out before."""
        return published.get(seq) == fingerprint(self[seq].frame)

    def proof(self, row: range, published: Fingerprints, enough: int | None = None) -> list[int]:
        """List those of a row that prove a new numbering and belong to it; none: it is not proven.

        `enough` must agree, if not as many as else.

        The very frame that came out may be an old one that was repeated. It counts if it came
        after one that differs. If it came right before the first of those, and lies below them,
        it is no proof, but belongs to what it begins.
        """
        arrived = [seq for seq in self if seq in row]
        differing = [seq for seq in arrived if not self.same(seq, published)]
        first = arrived.index(differing[0])
        proof = arrived[first:]
        if len(proof) < (enough or self.enough):
            return []
        lowest, came = min(differing), self[differing[0]].came
        return [
            seq for seq in arrived[:first] if seq < lowest and self[seq].came == came
        ] + proof  # fmt: skip

    def is_new_numbering(self, row: range, published: Fingerprints, next: int) -> bool:
        """Decide what a row is: a new numbering, or a replay."""
        witnesses = [seq for seq in row if published.get(seq) is not None]
        if witnesses:
            return not all(self.same(seq, published) for seq in witnesses)
        if row[-1] < (self._limits.first_id or 0):
            return False
        read_again = any(self[seq].batch.replayed for seq in row)
        return row[-1] < self._first - JOIN_SLACK or (
            next - row[-1] > self._limits.max_jump and not read_again
        )
