"""For how long a connection has been listened to, and when to say that nothing comes. Pure.

Gaps are timed by it (see `orderer.clock`), so it must never count time in which what the feed sent
could not be written down in its place: it counts, between two entries, no more than the pause
after which a sign of life was due. A process that was stopped, overslept or waited for Redis counts
that much and no more. Where nobody needs a sign, none is written, and time is counted all the same.
"""

from __future__ import annotations

import math

SOON = 0.1
"""Seconds after the last frame until the first sign of life, and between two at least."""

SHARE = 8
"""What part of the silence so far passes until the next one."""

LATEST = 1.0
"""Seconds between two signs of life at most."""


class Listening:
    """The count of one connection; `now` is in seconds, on a clock that never goes back."""

    def __init__(self, now: float) -> None:
        self._listened = self._counted = 0.0
        self._at = self._heard = now
        self._pause = SOON
        self._held_back = False

    @property
    def heard(self) -> float:
        """When the last frames came."""
        return self._heard

    @property
    def due(self) -> float:
        """When a sign of life is due, unless something else is written before; inf: not at all."""
        return math.inf if self._held_back else self._at + self._pause

    def entry(self, now: float, *, frames: bool) -> float:
        """Count up to an entry that is written `now`; returns the seconds listened in all."""
        self._counted = 0.0 if self._held_back else max(0.0, min(now - self._at, self._pause))
        self._listened += self._counted
        self._at = now
        if frames:
            self._heard = now
        self._pause = min(LATEST, max(SOON, (now - self._heard) / SHARE))
        return self._listened

    def pass_by(self, now: float) -> None:
        """Count up to `now` as if a sign of life were written: nobody needs one."""
        self.entry(now, frames=False)

    def silence(self, now: float) -> float:
        """Tell for how many seconds no frame has come."""
        return now - self._heard

    def take_back(self) -> None:
        """Do not count what the last entry has, for it was not written."""
        self._listened -= self._counted
        self._counted = 0.0

    def hold_back(self) -> None:
        """Note that the feed is not read from the last entry on."""
        self._held_back = True

    def go_on(self, now: float) -> None:
        """Note that the feed is read again."""
        self._held_back = False
        self._at = self._heard = now
        self._pause = SOON
