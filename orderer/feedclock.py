"""Feed time: the clock that gaps are timed by.

It runs on the input stream's own time, so that a backlog is judged as if it had been read as it
came, and it stands still while a missing frame cannot arrive: while no line of the feed is
connected, and while Redis is away. Pure: both clocks it reads are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_STEP = 1.0
"""Seconds that one entry may advance the clock. In a real silence `idle()` has moved it along;
a longer jump means that nobody could write or read meanwhile."""


class FeedClock:
    """Seconds of feed time, from 0 on; `lines` are the lines that are connected."""

    def __init__(self, lines: Iterable[str] | None = None) -> None:
        """Begin with the `lines` that are connected; None: nobody has told, so time counts."""
        self.now = 0.0
        self.told = lines is not None
        self.lines = set(lines or ())
        self._stream: float | None = None
        self._local: float | None = None

    @property
    def running(self) -> bool:
        """Whether time counts."""
        return bool(self.lines) or not self.told

    def connected(self, line: str) -> None:
        """Note that `line` is connected."""
        self.told = True
        self.lines.add(line)

    def disconnected(self, line: str) -> None:
        """Note that `line` is not connected."""
        self.told = True
        self.lines.discard(line)

    def entry(self, entry: bytes, local: float) -> float:
        """Advance to the stream entry with the id `entry` (`<ms>-<n>`); returns `now`.

        `local` is a monotonic clock, seconds.
        """
        stream = int(entry.partition(b"-")[0]) / 1000
        if self._stream is not None:
            self._advance(min(LONGEST_STEP, stream - self._stream))
        self._stream = stream if self._stream is None else max(stream, self._stream)
        self._local = local
        return self.now

    def idle(self, local: float) -> float:
        """Advance by the time since the last call although no entry came; returns `now`."""
        if self._local is not None:
            elapsed = min(2 * LONGEST_STEP, local - self._local)
            self._advance(elapsed)
            if self._stream is not None:
                self._stream += elapsed
        self._local = local
        return self.now

    def after(self, local: float) -> float:
        """Tell what `idle(local)` would return."""
        if self._local is None or not self.running:
            return self.now
        return self.now + min(2 * LONGEST_STEP, local - self._local)

    def skip(self, local: float) -> None:
        """Leave out the time since the last call: it is not known that somebody listened."""
        now = self.now
        self.idle(local)
        self.now = now

    def interrupted(self) -> None:
        """Leave out the time up to the next call: Redis did not answer."""
        self._local = None

    def _advance(self, seconds: float) -> None:
        if self.running and seconds > 0:
            self.now += seconds
