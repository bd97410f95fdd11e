"""Asks an endpoint how far it has read, and hears its answers: all by timers, no task waits.

A thousand endpoints would cost a thousand tasks that wake up again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from chassis import clock
from chassis.websocket import ConnectionClosed

from .window import Confirmed, Window

KEEP_ALIVE = 20.0
"""Seconds between pings while nothing flows."""


TOGETHER = 0.02
"""Seconds between two moments at which questions are asked that can wait."""


class Stuck(Exception):
    """The endpoint shows no sign of reading."""


class Pinged(Protocol):
    """What is asked of a connection here."""

    def write(self, messages: tuple[()], ping: bytes) -> None:
        """Write a ping."""


class Asking:
    """The questions on one connection: one at a time, each a ping behind what was sent."""

    def __init__(
        self, connection: Pinged, window: Window, pace: Callable[[], float],
        confirmed: Callable[[Confirmed], None],
    ) -> None:  # fmt: skip
        """Begin to keep alive; `confirmed` is told what a pong confirms.

        `pace` tells how many seconds to leave between two questions; where so much is on its way
        that the window may be full before a pong comes, there is no pause.
        """
        self._connection = connection
        self._window = window
        self._pace = pace
        self._confirmed = confirmed
        self._loop = asyncio.get_running_loop()
        self._next = 0.0
        """When the next question may be asked."""
        self.stuck: asyncio.Future[None] = self._loop.create_future()
        """Raises Stuck when no answer comes."""
        self._timer: asyncio.Handle | None = None
        self._again(KEEP_ALIVE, self._ask)

    def stop(self) -> None:
        """Ask nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self.stuck.cancel()

    def sending(self) -> bytes | None:
        """Note that something is being sent; returns the ping that is to follow it, if it is time.

        Otherwise it will be asked for later, together with what others then ask.
        """
        if self._window.asking:
            return None
        now = clock.monotonic()
        left = 0.0 if self._window.filling else self._next - now
        if left <= 0:
            return self._question()
        left += -(now + left) % TOGETHER
        if self._due - self._loop.time() > left:
            self._again(left, self._ask)
        return None

    def hurry(self) -> None:
        """Ask now, if there is something to ask for."""
        if self._window.messages and not self._window.asking:
            self._ask()

    def pong(self, payload: bytes) -> None:
        """Hear a pong."""
        confirmed = self._window.pong(payload, clock.monotonic())
        if confirmed is None:
            return
        self._again(KEEP_ALIVE, self._ask)
        self._confirmed(confirmed)
        if self._window.messages and (ping := self.sending()):
            self._write(ping)

    def _ask(self) -> None:
        self._write(self._question())

    def _write(self, ping: bytes) -> None:
        with contextlib.suppress(ConnectionClosed):  # whoever receives hears of it
            self._connection.write((), ping)

    def _question(self) -> bytes:
        now = clock.monotonic()
        self._next = now + self._pace()
        ping = self._window.ask(now)
        self._again(self._window.patience(now), self._look)
        return ping

    def _look(self) -> None:
        """See whether there was a sign of life; pongs on the way extend the patience."""
        patience = self._window.patience(clock.monotonic())
        if patience > 0:
            self._again(patience, self._look)
        elif not self.stuck.done():
            self.stuck.set_exception(Stuck())

    def _again(self, seconds: float, what: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # uvloop's timers do not always know when they are due.
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due, what)
