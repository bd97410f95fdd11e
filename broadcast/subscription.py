"""A replica's ear: hears what is published on a channel, and knows when it does not.

Redis forgets who did not hear a message: a connection that drops comes back without a word, and
a server that is frozen looks like one that is silent. So what is published stands in a stream
as well. A new subscription begins with a look into it, and once a second a probe tells, through
the same connection, where the stream ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from importlib import resources
from typing import Protocol

from chassis import clock, tasks
from chassis.backoff import Backoff
from chassis.metrics import Count
from chassis.redis import Link, Published, Script, Subscriber, transient

_PROBE = Script(resources.files(__package__).joinpath("probe.lua").read_text())

PROBE = 1.0
"""Seconds between two probes."""

DEAF = 3.5
"""Seconds without a probe after which the subscription counts as dead."""

TOGETHER = 64
"""Messages that are handed over together, when so many have come."""


class Listener(Protocol):
    """Who gets what is heard. Whatever it raises that Redis' absence explains ends nothing."""

    async def subscribed(self) -> None:
        """Look into the stream: from now on all is heard, but not what came before."""

    async def heard(self, messages: list[bytes]) -> None:
        """Take messages, in the order in which they were published."""

    async def probe(self, end: bytes) -> None:
        """Check that nothing was lost: `end` was the stream's last id, `0-0` if it was empty.

        Whatever was published before that was heard before this, or never will be.
        """


class Subscription:
    """The subscription of one replica to one channel."""

    def __init__(
        self,
        link: Link,
        listener: Listener,
        resubscriptions: Count,
        *,
        channel: str,
        probe: str,
        stream: str,
    ) -> None:
        """Prepare to hear `channel`, whose messages stand in `stream` too.

        `probe` is a channel that no other replica uses; `resubscriptions` counts how often it
        had to begin anew.
        """
        self._link = link
        self._listener = listener
        self._resubscriptions = resubscriptions
        self._channel = channel.encode()
        self._probe = probe.encode()
        self._stream = stream
        self.hears = False
        """Whether what is published now is heard."""

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`, with a new subscription after each failure."""
        backoff = Backoff(0.05, 0.5, 5.0)
        while not stop.is_set():
            subscriber = self._link.listen()
            backoff.succeeded()
            try:
                await tasks.first(self._listen(subscriber, stop), self._send_probes(stop))
            except Exception as error:
                if transient(error) is None:
                    raise
                self._resubscriptions.inc()
            finally:
                self.hears = False
                with contextlib.suppress(Exception):  # whatever it is, the connection is dropped
                    await subscriber.close()
            if not stop.is_set():
                await self._diagnose()
            await tasks.until(stop, backoff.delay())

    async def _diagnose(self) -> None:
        """Find out whether Redis is away, or only the subscription was cut."""
        try:
            await self._link.send("PING")
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)
        else:
            self._link.succeeded()

    async def _send_probes(self, stop: asyncio.Event) -> None:
        """Send a probe every second; fails with the Redis client."""
        while not await tasks.until(stop, PROBE):
            await self._link.send(*_PROBE(keys=[self._stream], args=[self._probe]))
            self._link.succeeded()

    async def _listen(self, subscriber: Subscriber, stop: asyncio.Event) -> None:
        """Hear until `stop`; raises whatever the Redis client raises, also when deaf."""
        channels = {self._channel, self._probe}
        await subscriber.subscribe(*channels)
        confirmed: set[bytes] = set()
        heard = clock.monotonic()
        while not stop.is_set():
            message = await subscriber.next(PROBE)
            if message is not None and message.data is None:
                # Also after a reconnection that nobody told of.
                confirmed.add(message.channel)
                if confirmed == channels:
                    await self._begin()
                    self.hears = True
                    heard = clock.monotonic()
            elif message is not None:
                messages, probe = await self._gather(subscriber, message)
                if messages:
                    await self._listener.heard(messages)
                if probe:
                    heard = clock.monotonic()
                    await self._listener.probe(probe)
            if clock.monotonic() - heard > DEAF:
                raise ConnectionError("the subscription is deaf")

    async def _gather(
        self, subscriber: Subscriber, message: Published | None
    ) -> tuple[list[bytes], bytes | None]:
        """Take what else has come by now, up to a probe."""
        messages: list[bytes] = []
        while message is not None:
            if message.data is None:
                # The subscription was renewed in between: something may be missing.
                await self._begin()
            elif message.channel != self._channel:
                return messages, message.data
            else:
                messages.append(message.data)
            if len(messages) == TOGETHER:
                break
            message = await subscriber.next(0)
        return messages, None

    async def _begin(self) -> None:
        await self._listener.subscribed()
        self._link.succeeded()
