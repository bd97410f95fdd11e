"""A process's link to Redis, and patience with a server that is away.

redis-py retries by itself, and a retried XADD writes twice; so retries are off and `Link.patiently`
decides. Blocking reads have a client of their own, because `socket_timeout` must exceed the time
they block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from prometheus_client import Counter, Gauge

from chassis.backoff import Backoff
from chassis.logs import Log

from .client import make_client
from .errors import Unavailable, transient

T = TypeVar("T")

DRAIN = 5.0
"""Seconds that a stopping service waits for a Redis that is away."""

MOST_TIMEOUT = 1.5
"""Seconds that one command may take at most; a stopping service has no more to spare."""

REFUSED = 2.0
"""Seconds after a refused write for which answers to other commands prove nothing."""

BLOCK_MS = 1000
"""Milliseconds that a blocking read waits for something new."""

UP = Gauge("redis_up", "1 while Redis answers this process, else 0")
FAILURES = Counter("redis_failures", "Redis commands that failed and were tried again", ["reason"])
for _reason in ("connection", "timeout", "memory", "refused"):
    FAILURES.labels(_reason)


class Link:
    """One process's link to Redis.

    `client` is for commands that answer at once, `reader` for blocking reads; replies of XREAD,
    XRANGE and XREVRANGE come as flat lists (field, value, field, value, …), not as dicts, which
    is faster and keeps the order of fields.
    """

    def __init__(self, url: str, log: Log, *, timeout: float, stop: asyncio.Event) -> None:
        """Prepare clients; nothing connects yet.

        `timeout` is seconds for one command, `MOST_TIMEOUT` at most; patience ends `DRAIN`
        seconds after `stop`.
        """
        timeout = min(timeout, MOST_TIMEOUT)
        self._log = log
        self._stop = stop
        self._stopped: float | None = None
        # Any: redis-py types replies as bytes or str, as dicts and so on; here they are bytes,
        # and those of the streams are lists.
        self.client: Any = make_client(url, timeout)
        self.reader: Any = make_client(url, timeout + BLOCK_MS / 1000)
        self._down_since: float | None = None
        self._refused_at = -REFUSED
        self.answered = False
        """Whether Redis has ever answered."""
        UP.set(0)

    @property
    def up(self) -> bool:
        """Whether the last command was answered."""
        return self.answered and self._down_since is None

    async def patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Await `operation()` until Redis accepts it, and return its result.

        It may run more than once although an earlier try took effect, so it must be harmless
        to repeat. Raises what no repetition can mend, and Unavailable when the service is to
        stop and Redis is still away.
        """
        backoff = Backoff(0.05, 1.0)
        tried = False
        while True:
            try:
                result = await operation()
            except Exception as error:
                reason = transient(error)
                if reason is None:
                    raise
                self.failed(error, reason)
                tried = True
                if self._stop.is_set():
                    self._stopped = self._stopped or time.monotonic()
                    if time.monotonic() - self._stopped > DRAIN:
                        raise Unavailable(str(error)) from error
                await asyncio.sleep(backoff.delay())
            else:
                self.succeeded(again=tried)
                return result

    def failed(self, error: BaseException, reason: str) -> None:
        """Note a failure; only the first of an outage is logged."""
        FAILURES.labels(reason).inc()
        if reason in ("memory", "refused"):
            self._refused_at = time.monotonic()
        if self._down_since is None:
            self._down_since = time.monotonic()
            UP.set(0)
            self._log.warning("waiting for Redis", reason=reason, error=str(error))

    def succeeded(self, again: bool = False) -> None:
        """Note an answer, which ends an outage.

        A server that is full still reads and renews. So where it has just refused a write, only
        a command that had failed itself ends the outage (`again`), or some time without refusals.
        """
        if self._down_since is not None:
            if not again and time.monotonic() - self._refused_at < REFUSED:
                return
            seconds = round(time.monotonic() - self._down_since, 3)
            self._down_since = None
            self._log.info("Redis answers again", seconds=seconds)
        self.answered = True
        UP.set(1)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()
        await self.reader.aclose()
