"""How many frames wait in Redis for the orderer.

The stream tells how many *entries* it holds, and an entry is a batch of one frame or of
thousands. So the line remembers how many frames each of its entries has, and forgets those that
the orderer has seen. Pure.
"""

from __future__ import annotations

from collections import deque


def _order(entry: bytes) -> tuple[int, int]:
    milliseconds, _, serial = entry.partition(b"-")
    return int(milliseconds), int(serial or b"0")


class Backlog:
    """The frames that were written and not yet read."""

    def __init__(self) -> None:
        self.frames = 0
        """Frames waiting."""
        self.unchecked = 0
        """Frames written since `seen()` was last told."""
        self._entries: deque[tuple[tuple[int, int], int]] = deque()

    def wrote(self, entry: bytes, frames: int) -> None:
        """Count a batch that was written as `entry`; entries come in the order of their ids."""
        self._entries.append((_order(entry), frames))
        self.frames += frames
        self.unchecked += frames

    def seen(self, entry: bytes) -> None:
        """Forget the batches up to and including `entry`, the last that the orderer has read."""
        upto = _order(entry)
        entries = self._entries
        while entries and entries[0][0] <= upto:
            self.frames -= entries.popleft()[1]
        self.unchecked = 0
