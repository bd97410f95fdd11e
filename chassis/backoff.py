"""Jittered, capped exponential backoff that forgets only after a healthy period."""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Backoff:
    """Space out attempts at something that fails.

    Each `delay()` is drawn evenly from the upper half of `[0, first · 2ⁿ]`, capped at `cap`
    (AWS calls it "equal jitter"). A success does not reset it by itself: a peer that accepts
    and drops would be hammered. `succeeded()` starts a healthy period, and the attempt
    counter starts anew only when the next failure comes `healthy` seconds after it.
    """

    def __init__(
        self,
        first: float = 0.1,
        cap: float = 10.0,
        healthy: float = 10.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.first = first
        self.cap = cap
        self.healthy = healthy
        self._clock = clock
        self._jitter = jitter
        self._attempts = 0
        self._since: float | None = None

    def succeeded(self) -> None:
        """Note that an attempt has succeeded now."""
        if self._since is None:
            self._since = self._clock()

    def delay(self) -> float:
        """Count a failure and tell how many seconds to wait before the next attempt."""
        if self._since is not None and self._clock() - self._since >= self.healthy:
            self._attempts = 0
        self._since = None
        ceiling = min(self.cap, self.first * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        return ceiling * (0.5 + 0.5 * self._jitter())
