"""A histogram of delays on a logarithmic scale: bounded memory, a relative error below 1 %."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

GROWTH = 1.01
"""Ratio of a bucket's upper to its lower bound."""

LEAST = 1e-6
"""Delays up to this, in seconds, share the first bucket."""

MOST = 1e5
"""Delays from this on, in seconds, share the last bucket."""

_SCALE = 1 / math.log(GROWTH)
_BUCKETS = math.ceil(math.log(MOST / LEAST) * _SCALE) + 2


class Delays:
    """Count delays.

    The minimum and maximum are exact. A quantile is the geometric middle of a bucket whose
    bounds are 1 % apart, so it is off by 0.5 % at most.
    """

    __slots__ = ("_counts", "count", "high", "low")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.low = math.inf
        self.high = 0.0

    def add(self, delay: float, count: int = 1) -> None:
        """Count `count` delays of `delay` seconds; a negative one counts as 0."""
        if delay < self.low:
            self.low = max(delay, 0.0)
        if delay > self.high:
            self.high = delay
        if delay <= LEAST:
            bucket = 0
        else:
            bucket = min(int(math.log(delay / LEAST) * _SCALE) + 1, _BUCKETS - 1)
        self._counts[bucket] += count
        self.count += count

    def quantile(self, share: float) -> float | None:
        """Tell the delay that `share` of all delays do not exceed; None if there are none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count))
        bucket = bisect_left(list(accumulate(self._counts)), rank)
        middle = LEAST * math.exp((bucket - 0.5) / _SCALE)
        return min(max(middle, self.low), self.high)

    def report(self) -> dict[str, float | None]:
        """Tell minimum, median and 99th percentile in milliseconds."""
        low = self.low if self.count else None
        rows = {"min": low, "median": self.quantile(0.5), "p99": self.quantile(0.99)}
        return {
            name: None if value is None else round(value * 1000, 4) for name, value in rows.items()
        }
