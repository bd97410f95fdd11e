"""A connection that hears what is published."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

from redis.exceptions import ConnectionError, RedisError

from chassis.tasks import until

from .address import Address
from .wire import Stream, connect

UNHEARD = 1000
"""Messages that may wait to be taken; then the server is not read for a while."""


class Published(NamedTuple):
    """What a subscriber hears."""

    channel: bytes
    data: bytes | None
    """None confirms the subscription: from now on all is heard, but not what came before."""


class _Hearing(Stream):
    """The connection of a subscriber."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: deque[Published] = deque()
        self.come = asyncio.Event()
        """Set when something has come, be it the end."""
        self.error: Exception | None = None
        self._paused = False

    def received(self, reply: Any) -> None:
        """Keep what is published until it is taken."""
        if isinstance(reply, Exception):
            self.error = self.error or reply
        elif isinstance(reply, list) and reply[0] in (b"message", b"subscribe"):
            data = reply[2] if reply[0] == b"message" else None
            self.queue.append(Published(reply[1], data))
            if len(self.queue) == UNHEARD:
                self._paused = True
                self._transport.pause_reading()
        self.come.set()

    def take(self) -> Published:
        """Take what came first."""
        published = self.queue.popleft()
        if self._paused and not self.queue and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return published

    def ended(self, error: RedisError) -> None:
        """Keep the reason, for whoever waits."""
        self.error = self.error or error
        self.come.set()


class Subscriber:
    """Hears the channels that it has subscribed to, until its connection ends."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Prepare; connecting may take `timeout` seconds."""
        self._address = address
        self._timeout = timeout
        self._stream: _Hearing | None = None

    async def subscribe(self, *channels: bytes) -> None:
        """Connect, and ask for channels; each is confirmed by itself."""
        self._stream = await connect(self._address, self._timeout, _Hearing)
        self._stream.write([*self._address.greeting, ("SUBSCRIBE", *channels)])

    async def next(self, timeout: float) -> Published | None:
        """Wait for what comes next, `timeout` seconds at most; raises when nothing can come."""
        stream = self._stream
        if stream is None:
            raise ConnectionError("not subscribed")
        if not stream.queue and stream.error is None:
            stream.come.clear()
            if timeout > 0:
                await until(stream.come, timeout)
            else:
                await asyncio.sleep(0)
        if stream.queue:
            return stream.take()
        if stream.error is not None:
            raise stream.error
        return None

    async def close(self) -> None:
        """Hear no more."""
        if self._stream is not None:
            self._stream.abort(ConnectionError("closed by us"))
