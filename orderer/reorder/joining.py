"""The first phase of an epoch: frames are held until its first id is known.

That is the lowest seen within JOIN_SECONDS, or until JOIN_RUN ids in a row stand from the lowest
on, or until there is no more room, or nobody listens to the feed any longer, or an operator says
so; or until an id comes again with other bytes, for the feed may have begun anew already.
"""

from __future__ import annotations

import math

from . import limits
from .limits import Limits
from .outputs import Batch, Fates, Rest


class Joining:
    """The search for the first id of an epoch."""

    __slots__ = (
        "_fates",
        "_held",
        "_limits",
        "_lowest",
        "_size",
        "believed_at",
        "contradiction",
        "epoch",
        "since",
    )

    def __init__(self, epoch: int, limits: Limits, fates: Fates, believed_at: float) -> None:
        """Begin to look for the first id of an epoch that was believed in at this feed time."""
        self.epoch = epoch
        self.believed_at = believed_at
        self.since: Batch | None = None
        """The first frame's batch; None while none has come."""
        self.contradiction: tuple[int, bytes, Batch, int] | None = None
        """The frame that ended the search, for its id was held with other bytes."""
        self._limits = limits
        self._fates = fates
        self._held: dict[int, tuple[bytes, Batch, int]] = {}
        self._size = 0
        self._lowest = 0

    def take(self, rest: Rest, batch: Batch) -> bool:
        """Take frames until the first id is found (True) or there are no more."""
        return any(self.hold(seq, frame, batch, at) for at, seq, frame in rest)

    def hold(self, seq: int, frame: bytes, batch: Batch, at: int) -> bool:
        """Take in a frame; tell whether the search is over."""
        if self.since is None:
            self.since, self._lowest = batch, seq
        if seq in self._held:
            if self._held[seq][0] == frame:
                self._fates.duplicates += 1
                return False
            self.contradiction = (seq, frame, batch, at)
            return True
        self._held[seq] = (frame, batch, at)
        self._size += len(frame)
        batch.pins += 1
        lowest = self._lowest = min(self._lowest, seq)
        return lowest == 0 or self._crowded or self._run_stands(lowest)

    @property
    def _crowded(self) -> bool:
        return len(self._held) > self._limits.capacity or self._size > self._limits.capacity_bytes

    def _run_stands(self, lowest: int) -> bool:
        # From above, where a run that is not there yet ends soonest.
        return len(self._held) >= limits.JOIN_RUN and all(
            lowest + step in self._held for step in range(limits.JOIN_RUN - 1, -1, -1)
        )

    @property
    def held(self) -> int:
        """Number of frames held."""
        return len(self._held)

    @property
    def deadline(self) -> float:
        """Feed time at which the search is over although nothing more comes; inf: it is not."""
        if self.since is None:
            return math.inf
        return max(self.since.now, self.believed_at) + limits.JOIN_SECONDS

    @property
    def first(self) -> int:
        """The first id, as far as is known; 0 while nothing has come."""
        return self._lowest

    def release_all(self) -> list[tuple[int, bytes, Batch, int]]:
        """Hand over what was held, as it came: who stood next to whom tells whom to believe."""
        held, self._held = self._held, {}
        for _, batch, _ in held.values():
            batch.pins -= 1
        return [(seq, *waiting) for seq, waiting in held.items()]
