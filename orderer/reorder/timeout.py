"""How long to wait for a missing frame, learned from how late frames really come.

The estimate is that of TCP's retransmission timer (RFC 6298, section 2): a smoothed mean plus
four times a smoothed deviation, with the RFC's lower bound of one second. One thing differs:
a feed has many slightly late frames and few very late ones, and the RFC's gains would forget
those within a dozen samples. So the estimate rises with the RFC's gains and falls 64 times
more slowly.
"""

from __future__ import annotations

import math

MEAN_GAIN = 1 / 8
DEVIATION_GAIN = 1 / 4
FALL = 1 / 64
"""By how much smaller the gains are on the way down."""

DEVIATIONS = 4
INITIAL = 3.0
"""Seconds; the time-out until `ENOUGH` late frames have been seen."""

ENOUGH = 100

LEAST = 1.0
"""Seconds; no learned time-out is shorter (RFC 6298, rule 2.4)."""

MOST = 60.0
"""Seconds; no learned time-out is longer (RFC 6298, rule 2.5)."""


class FixedTimeout:
    """The time-out that the operator set, and how it fares; inf waits for ever."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.never = seconds == math.inf
        """Whether nothing is given up but by an operator."""
        self.in_time = 0
        """Late frames that came within the time-out that was in force."""
        self.too_late = 0
        """Late frames that came after it."""

    def observe(self, lateness: float) -> None:
        """Note that a missing frame came `lateness` seconds after its gap opened."""
        if lateness <= self.seconds:
            self.in_time += 1
        else:
            self.too_late += 1

    @property
    def caught(self) -> float:
        """Share of the late frames that came in time; 1 before there were any."""
        total = self.in_time + self.too_late
        return self.in_time / total if total else 1.0


class LearnedTimeout(FixedTimeout):
    """A time-out that follows the lateness observed; it begins as a cautious guess."""

    def __init__(self) -> None:
        super().__init__(INITIAL)
        self._mean = 0.0
        self._deviation = 0.0

    def observe(self, lateness: float) -> None:
        """Note that a missing frame came `lateness` seconds after its gap opened."""
        super().observe(lateness)
        # A frame that was believed long after it came may be older than the gap that it was in.
        lateness = max(0.0, lateness)
        error = lateness - self._mean
        spread = abs(error) - self._deviation
        self._deviation += spread * (DEVIATION_GAIN if spread > 0 else DEVIATION_GAIN * FALL)
        self._mean += error * (MEAN_GAIN if error > 0 else MEAN_GAIN * FALL)
        least = LEAST if self.in_time + self.too_late >= ENOUGH else INITIAL
        self.seconds = min(MOST, max(least, self._mean + DEVIATIONS * self._deviation))
