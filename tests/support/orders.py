"""An order of its own, with a clock to turn."""

from __future__ import annotations

from collections.abc import Sequence

from orderer.reorder.counted import Counted
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Batch, Epoch, Gap, Run
from orderer.reorder.timeout import FixedTimeout


class Played:
    """An order that is given messages; each is its number's text, unless it says otherwise."""

    def __init__(self, kind: type[Counted], limits: Limits, timeout: float = 1.0) -> None:
        self.order = kind(limits, FixedTimeout(timeout))
        self.now = 0.0
        self.out: list[bytes] = []
        self.gaps: list[tuple[int, int]] = []
        self.epochs = 0
        self._entries = 0

    def send(self, *numbers: tuple[int, int | None], text: str = "") -> None:
        """Send messages in one entry, each (id, what it names)."""
        frames = [f"{id}{text}".encode() for id, _ in numbers]
        self._take(frames, numbers)

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds
        self._take((), ())

    def _take(self, frames: Sequence[bytes], numbers: Sequence[tuple[int, int | None]]) -> None:
        self._entries += 1
        batch = Batch(b"%d-0" % self._entries, round(self.now * 1e6), self.now)
        self.order.take_in(batch, numbers, frames)
        self.order.expire(batch)
        for item in self.order.take():
            if isinstance(item, Run):
                self.out += item.frames
            elif isinstance(item, Gap):
                self.gaps.append((item.first, item.last))
            elif isinstance(item, Epoch):
                self.epochs += 1

    @property
    def fates(self) -> tuple[int, int]:
        """How many repeats there were, and how many late ones."""
        return self.order.fates.duplicates, self.order.fates.late
