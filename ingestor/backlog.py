"""How many frames wait in Redis: for the orderer in `raw`, and for the slowest sink in `ordered`.

The stream `raw` tells how many *entries* it holds, and an entry is a batch of one frame or of
thousands. So the line remembers how many frames each of its entries has, and forgets those that
the orderer has seen. What is in order is counted by serials. Pure.
"""

from __future__ import annotations

from collections import deque

from relay.entry import position


class Backlog:
    """The frames that were written and have not gone out yet."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin to count anew."""
        self.frames = 0
        """Frames of this line that the orderer has not read."""
        self.unsent = 0
        """Frames in order that the slowest sink has not confirmed."""
        self.unchecked = 0
        """Frames written since `seen()` was last told."""
        self.unchecked_bytes = 0
        """Their bytes."""
        self.stored = 0
        """Bytes that Redis needs for the feed, the messages that have gone out included."""
        self.beats = 0
        """Signs of life written since the orderer has last read on."""
        self._seen = (0, 0)
        self._entries: deque[tuple[tuple[int, int], int]] = deque()

    @property
    def waiting(self) -> int:
        """All frames that wait."""
        return self.frames + self.unsent

    @property
    def oldest(self) -> bytes | None:
        """The first entry that the orderer has not read."""
        return b"%d-%d" % self._entries[0][0] if self._entries else None

    def wrote(self, entry: bytes, frames: int, size: int = 0) -> None:
        """Count a batch of so many bytes that was written as `entry`, the next id each time."""
        if frames:
            self._entries.append((position(entry), frames))
        self.frames += frames
        self.unchecked += frames
        self.unchecked_bytes += size

    def seen(self, entry: bytes) -> None:
        """Forget the batches up to and including `entry`, the last that the orderer has read."""
        upto = position(entry)
        if upto != self._seen:
            self._seen, self.beats = upto, 0
        entries = self._entries
        while entries and entries[0][0] <= upto:
            self.frames -= entries.popleft()[1]
        self.unchecked = self.unchecked_bytes = 0

    def lost(self, first: bytes | None) -> None:
        """Forget the batches before `first`, the first that `raw` still has; None: it has none."""
        entries = self._entries
        while entries and (first is None or entries[0][0] < position(first)):
            self.frames -= entries.popleft()[1]
