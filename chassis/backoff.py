"""Jittered, capped exponential backoff that forgets only after a healthy period."""

from __future__ import annotations

from collections.abc import Callable

from . import clock


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
        now: Callable[[], float] = lambda: clock.monotonic(),
        jitter: Callable[[], float] = lambda: clock.chance(),
    ) -> None:
        self.first = first
        self.cap = cap
        self.healthy = healthy
        self._now = now
        self._jitter = jitter
        self._attempts = 0
        self._since: float | None = None

    def succeeded(self) -> None:
        """Note that an attempt has succeeded now."""
        if self._since is None:
            self._since = self._now()

    def delay(self) -> float:
        """Count a failure and tell how many seconds to wait before the next attempt."""
        if self._since is not None and self._now() - self._since >= self.healthy:
            self._attempts = 0
        self._since = None
        ceiling = min(self.cap, self.first * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        return ceiling * (0.5 + 0.5 * self._jitter())
