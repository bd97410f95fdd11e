"""Confirmations in an endpoint's own words, in place of pongs.

Who says what it has taken need not pong. A message is confirmed when the frame that names its count
has come; a frame that names none confirms the oldest. Counts go up with the messages, and positions
with what is confirmed without a hole; one confirmation more, or again, means nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from chassis import clock
from relay.frames.pattern import Pattern

from .asking import Stuck
from .confirmations import Confirmations
from .window import Confirmed, Window


class Acks:
    """The confirmations on one connection; to its session it is what `Asking` is."""

    def __init__(
        self, pattern: Pattern, window: Window, confirmed: Callable[[Confirmed], None],
        patience: float,
    ) -> None:  # fmt: skip
        """Expect a confirmation every `patience` seconds at least; `confirmed` is told of them."""
        self._confirmations = Confirmations(pattern)
        self._window = window
        self._confirmed = confirmed
        self._patience = patience
        self._counts: deque[int] = deque()
        """Those of the messages that are on their way, in their order."""
        self._early: set[int] = set()
        """Those that are confirmed though one before is not."""
        self._loop = asyncio.get_running_loop()
        self._since = clock.monotonic()
        """When it was last heard, or something first was on its way."""
        self.stuck: asyncio.Future[None] = self._loop.create_future()
        """Raises Stuck when no confirmation comes."""
        self._timer = self._loop.call_later(patience, self._look)

    def stop(self) -> None:
        """Wait for nothing any more."""
        self._timer.cancel()
        self.stuck.cancel()

    def sent(self, count: int) -> None:
        """Note that the message of this count is being written."""
        if not self._counts:
            self._since = clock.monotonic()
        self._counts.append(count)

    def sending(self) -> None:
        """Ask nothing: the endpoint confirms by itself."""

    def hurry(self) -> None:
        """Ask nothing."""

    def heard(self, frame: bytes) -> bool:
        """Hear a frame; tells whether it is a confirmation."""
        count = self._confirmations.count(frame)
        if count is None:
            return False
        counts = self._counts
        self._since = clock.monotonic()
        if count == 0 and counts:
            count = next((one for one in counts if one not in self._early), 0)
        if not counts or not counts[0] <= count <= counts[-1]:
            return True
        self._early.add(count)
        done = 0
        while counts and counts[0] in self._early:
            self._early.discard(counts.popleft())
            done += 1
        if done:
            self._confirmed(self._window.acknowledged(done, clock.monotonic()))
        return True

    def _look(self) -> None:
        """See whether anything was heard in time."""
        left = self._since + self._patience - clock.monotonic()
        if not self._counts:
            left = self._patience
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif not self.stuck.done():
            self.stuck.set_exception(Stuck())
