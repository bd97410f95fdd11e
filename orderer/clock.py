"""Feed time: for how long the feed has been listened to, as its connections themselves count it.

It is what gaps are timed by, and it comes with the input: each entry says for how long its
connection has been listened to, and a living line writes one every second at least. So time stands
still while a missing frame cannot arrive (nobody is connected, reading is paused, Redis is away:
nothing comes), whoever reads the input again sees the same time go by, and no host's clock has a
say in it. The exception is a feed that is gone for good (`elapse`): what is missing cannot arrive,
and would be waited for for ever. Pure.
"""

from __future__ import annotations

LONGEST_STEP = 2.0
"""Seconds between two entries of a connection that count; twice what a living line is silent for.
Beyond, nobody could write, or read."""

CONNECTIONS = 64
"""Connections that are remembered; of those that have ended, nobody may have told."""


class FeedClock:
    """Seconds of feed time, from 0 on."""

    def __init__(self) -> None:
        self.now = 0.0
        self._last: dict[bytes, tuple[float, float]] = {}
        """Of each connection, the latest heard of last: when, and how long it had listened."""

    def entry(self, connection: bytes, listened: float) -> float:
        """Advance to an entry of `connection`, which has listened for so many seconds in all.

        Returns `now`, which never exceeds the time in which some connection was listened to.
        """
        at, before = self._last.pop(connection, (self.now, listened))
        self.now = max(self.now, at + min(LONGEST_STEP, listened - before))
        # A write whose reply was lost may come late, behind others.
        self._last[connection] = (self.now, max(before, listened))
        if len(self._last) > CONNECTIONS:
            del self._last[next(iter(self._last))]
        return self.now

    def elapse(self, seconds: float) -> float:
        """Advance though nobody listens, nor ever will again; returns `now`."""
        self.now += seconds
        return self.now
