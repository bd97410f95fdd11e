"""Frames far above everything seen: one wrong id must not move the numbering.

RFC 3550, appendix A.1, does the same for RTP: a jump of more than MAX_DROPOUT needs MIN_SEQUENTIAL
witnesses. They may lie near each other, or come one after another with nothing else in between.
Fewer are enough, two of them consecutive, when nothing else has come since and the feed is silent:
then they are all that is known of it, and RFC 3550 believes in two as well (`bad_seq`).

An outlier whom nobody bears out within PROBATION frames or PROBATION_SECONDS is refused, or when
newer ones need its place; one that the feed catches up with is an ordinary frame. Its time goes by
with every frame that is no outlier, so that it is the same when the input is read again after a
crash, and what was released has become repeats.
"""

from __future__ import annotations

from . import limits
from .limits import MIN_SEQUENTIAL
from .probation import Probation


class Outliers(Probation):
    """The outliers of one numbering."""

    __slots__ = ()

    def agreeing(self, seq: int, max_jump: int, count: int) -> list[int]:
        """List the ids, ascending, that bear out `seq`, itself included: enough of them, or none.

        `count` is the number of frames that have come, of those that count.
        """
        others = self.since(count)
        if len(others) < MIN_SEQUENTIAL:
            others = [other for other in self if abs(other - seq) <= max_jump]
        return sorted(others) if len(others) >= MIN_SEQUENTIAL else []

    def alone(self, max_jump: int, count: int, now: float) -> list[int]:
        """List the ids, ascending, that are believed since the feed brings nothing else; or none.

        `count` is as for `agreeing`.
        """
        if not self or not self.silent(now):
            return []
        others = self.since(count)
        pair = next((seq for seq in others if seq + 1 in others), None)
        return [] if pair is None else sorted(seq for seq in self if abs(seq - pair) <= max_jump)

    @property
    def full(self) -> bool:
        """Whether there are more than may be."""
        return len(self) > limits.MAX_OUTLIERS
