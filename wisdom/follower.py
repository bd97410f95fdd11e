"""Follow the stream of quotes: hear what is published, each once and in order.

What is published names the entry before it, so that a missing one is noticed; what is missing is
read from the stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chassis import clock
from chassis.logs import Log

from . import metrics
from .stream import Position, Quote, Stream, unpack

MADE_UP = 12
"""Quotes that are made up for at most: after a long outage nobody wants all of them at once."""


class Follower:
    """The `Listener` of the subscription; `deliver(quotes)` gets every quote once, in order."""

    def __init__(
        self, stream: Stream, log: Log, deliver: Callable[[list[Quote]], Awaitable[None]]
    ) -> None:
        self._stream = stream
        self._log = log
        self._deliver = deliver
        self.position: Position | None = None
        """That of the latest quote heard, None as long as the stream has not been looked at."""

    async def subscribed(self) -> None:
        """Make up for what was missed; at first, only find out where the stream ends."""
        if self.position is None:
            self.position = await self._stream.end()
        else:
            await self._fill("subscribed")

    async def heard(self, messages: list[bytes]) -> None:
        """Deliver quotes that were published one after the other."""
        for message in messages:
            before, quote = unpack(message)
            assert self.position is not None
            if before > self.position:
                await self._fill("gap")
            if quote.position > self.position:
                await self._move([quote])

    async def probe(self, end: bytes) -> None:
        """Compare our position with the end of the stream, as it was before the probe came."""
        assert self.position is not None
        position = Position.parse(end)
        if position > self.position:
            await self._fill("canary")
        elif position < self.position and await self._stream.end() < self.position:
            self._log.warning("Redis has lost quotes", seen=str(self.position), end=str(position))
            self.position = position

    async def _fill(self, cause: str) -> None:
        """Read what follows our position from the stream, and deliver it."""
        metrics.FILLED.labels(cause).inc()
        assert self.position is not None
        await self._move((await self._stream.newest(MADE_UP, self.position))[::-1])

    async def _move(self, quotes: list[Quote]) -> None:
        if quotes:
            self.position = quotes[-1].position
            metrics.HEARD.set(clock.wall())
            await self._deliver(quotes)
