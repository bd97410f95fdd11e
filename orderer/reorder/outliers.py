"""Frames far above everything seen: one wrong id must not move the numbering.

RFC 3550, appendix A.1, does the same for RTP: a jump of more than MAX_DROPOUT needs MIN_SEQUENTIAL
witnesses. They may lie near each other, or come one after another with nothing else in between.
An outlier whom nobody bears out within PROBATION frames is refused; one that the feed catches up
with is an ordinary frame. Its time goes by with every frame that is no outlier, so that it is the
same when the input is read again after a crash, and what was released has become repeats.
"""

from __future__ import annotations

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
