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
        self.beats = 0
        """Signs of life written since the orderer has last read on."""
        self.latest = (0, 0)
        """The last entry with frames of this line."""
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

    def wrote(self, entry: bytes, frames: int) -> None:
        """Count a batch that was written in `entry`, the same or a later one each time."""
        if frames:
            self.latest = position(entry)
            self._entries.append((self.latest, frames))
        self.frames += frames
        self.unchecked += frames

    def seen(self, entry: bytes) -> None:
        """Forget the batches up to and including `entry`, the last that the orderer has read."""
        upto = position(entry)
        if upto != self._seen:
            self._seen, self.beats = upto, 0
        entries = self._entries
        while entries and entries[0][0] <= upto:
            self.frames -= entries.popleft()[1]
        self.unchecked = 0

    def lost(self, first: bytes | None) -> None:
        """Forget the batches before `first`, the first that `raw` still has; None: it has none."""
        entries = self._entries
        while entries and (first is None or entries[0][0] < position(first)):
            self.frames -= entries.popleft()[1]
