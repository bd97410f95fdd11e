"""The tick: at regular times one replica draws a quote for all, whoever is listening.

The times go on from where the last holder of the lease left off, for the stream tells when the
latest quote was published. A quote that is late, Redis being away, is published when it can be;
ticks that have passed meanwhile are skipped, not made up for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence

from chassis import clock, tasks
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Link, Unavailable

from . import metrics
from .quotes import draw
from .stream import KEPT, NOWHERE, Position, Stream


def wait(latest: Position, now: float, period: float) -> float:
    """Tell the seconds until the next tick, at most a period; less than none if it is overdue.

    `now` is in milliseconds, by the clock that gave `latest` its time. Of several ticks that are
    overdue the last counts, so that the one after it comes at its time.
    """
    if latest == NOWHERE:
        return 0.0
    overdue = (now - latest.ms) / 1000 - period
    return -(overdue % period) if overdue > 0 else min(-overdue, period)


def missed(behind: float, period: float) -> int:
    """Tell how many ticks have passed, the next one being `behind` seconds overdue."""
    return int(behind // period) + 1 if behind >= 0 else 0


class Ticker:
    """Draws and publishes; `listening` tells how many there are to hear it, for the log."""

    def __init__(
        self,
        link: Link,
        stream: Stream,
        quotes: Sequence[str],
        period: float,
        log: Log,
        listening: Callable[[], int],
    ) -> None:
        self._link = link
        self._stream = stream
        self._quotes = quotes
        self._period = period
        self._log = log
        self._listening = listening
        self._random = clock.Dice()

    async def run(self, lease: Lease, stopped: asyncio.Event) -> None:
        """Tick until `stopped`, or until the lease is lost."""
        # To stop while Redis is away loses nothing: a quote that was not published is nobody's.
        with contextlib.suppress(Unavailable):
            await self._tick(lease, stopped)

    async def _tick(self, lease: Lease, stopped: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        patiently = self._link.patiently
        newest = await patiently(lambda: self._stream.newest(KEPT))
        latest = newest[0].position if newest else NOWHERE
        recent = deque((quote.text for quote in newest), maxlen=KEPT)
        due = loop.time() + wait(latest, await patiently(self._stream.now), self._period)
        while not await tasks.until(stopped, due - loop.time()):
            quote = draw(self._quotes, recent, self._random)
            at = await self._publish(lease, latest, quote)
            if at is None:
                return
            latest = at
            recent.appendleft(quote)
            metrics.QUOTES.inc()
            metrics.LATENESS.labels().observe(max(0.0, loop.time() - due))
            # One line for each tick, so that everybody can see that it goes on without anybody.
            self._log.debug("quote published", quote=quote, listening=self._listening())
            due += self._period
            skipped = missed(loop.time() - due, self._period)
            metrics.SKIPPED.inc(skipped)
            due += skipped * self._period

    async def _publish(self, lease: Lease, latest: Position, quote: str) -> Position | None:
        """Publish until it is done; None if another replica is to do it."""
        while True:

            async def publish(latest: Position = latest) -> Position | None:
                return await self._stream.publish(lease, latest, quote)

            at = await self._link.patiently(publish)
            if at is None or at > latest:
                return at
            latest = at
