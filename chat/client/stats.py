"""What `/stats` tells. Pure: times are arguments, in seconds of the caller's clock."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from .text import duration

ROUND_TRIPS = 1000
"""Round trips remembered for the percentiles: the latest ones."""


@dataclass
class Stats:
    """Counts of one run of the client."""

    received: int = 0
    sent: int = 0
    """Messages that the server has acknowledged."""
    refused: int = 0
    connections: int = 0
    connected_since: float | None = None
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=ROUND_TRIPS))

    def connected(self, now: float) -> None:
        """Count a connection that was greeted."""
        self.connections += 1
        self.connected_since = now

    def acknowledged(self, round_trip: float) -> None:
        """Count a message that arrived."""
        self.sent += 1
        self.round_trips.append(round_trip)

    def percentile(self, share: float) -> float | None:
        """Return the round trip that this share of the remembered ones did not exceed."""
        if not self.round_trips:
            return None
        ordered = sorted(self.round_trips)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    def lines(self, now: float, waiting: int) -> list[str]:
        """Say it in words."""
        since = self.connected_since
        first = "not connected" if since is None else f"connected for {duration(now - since)}"
        half, most = self.percentile(0.5), self.percentile(0.99)
        answered = (
            "no acknowledgement yet"
            if half is None or most is None
            else f"acknowledged within {half * 1000:.1f} ms (median), {most * 1000:.1f} ms (p99)"
        )
        return [
            f"{first}; reconnects: {max(0, self.connections - 1)}",
            f"messages in: {self.received}, out: {self.sent}, waiting: {waiting}, "
            f"refused: {self.refused}",
            answered,
        ]
