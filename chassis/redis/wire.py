"""A connection to the server: commands out as they come, replies back in their order.

It is our own, over hiredis, because every message of the relay passes it several times: redis-py
locks, packs, awaits and times each command by itself, which costs more than all else that the
relay does with a message. Nothing here tries again: a repeated XADD writes twice, so the caller
decides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import hiredis
from redis.exceptions import ConnectionError, RedisError
from redis.exceptions import TimeoutError as TimedOut

from chassis import clock, network
from chassis.tasks import end

from .address import Address, Command
from .errors import reply_error


class Stream(asyncio.Protocol):
    """One connection, from its first byte to its end."""

    def __init__(self) -> None:
        self.heard = clock.monotonic()
        """When the server last sent anything."""
        self._reader = hiredis.Reader(replyError=reply_error)
        self._transport: Any = None  # uvloop's are no asyncio.Transport

    @property
    def open(self) -> bool:
        """Whether it stands."""
        return self._transport is not None

    def write(self, commands: Sequence[Command]) -> None:
        """Send commands; what is sent within one turn of the loop goes out together."""
        if self._transport is None:
            raise ConnectionError("the connection has ended")
        self._transport.write(b"".join(map(hiredis.pack_command, commands)))

    def abort(self, error: RedisError) -> None:
        """End it at once, because of `error`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self.ended(error)

    def received(self, reply: Any) -> None:
        """Take a reply; an error comes as an exception."""
        raise NotImplementedError

    def ended(self, error: RedisError) -> None:
        """Take note that nothing comes any more."""
        raise NotImplementedError

    # Called by the event loop -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take apart what has come."""
        self.heard = clock.monotonic()
        reader, received = self._reader, self.received
        reader.feed(data)
        try:
            while self._transport is not None and (reply := reader.gets()) is not False:
                received(reply)
        except hiredis.ProtocolError as error:
            self.abort(ConnectionError(f"what came is no reply: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if self._transport is not None:
            self._transport = None
            self.ended(ConnectionError(str(error or "closed by the server")))


class _Exchange:
    """Commands that were sent together, and the replies that have come."""

    __slots__ = ("count", "replies", "sent", "whole")

    def __init__(self, count: int, whole: asyncio.Future[list[Any]]) -> None:
        self.count = count
        self.replies: list[Any] = []
        self.whole = whole
        self.sent = clock.monotonic()


class Exchanges(Stream):
    """A connection on which each command is answered, in order."""

    def __init__(self, timeout: float) -> None:
        """Set up; after `timeout` seconds in which a reply is due and nothing comes, it ends."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._waiting: deque[_Exchange] = deque()
        self._watched = False

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and wait for all their replies."""
        self.write(commands)
        exchange = _Exchange(len(commands), self._loop.create_future())
        self._waiting.append(exchange)
        if not self._watched:
            self._watched = True
            self._loop.call_later(self._timeout / 4, self._watch)
        return await exchange.whole

    def received(self, reply: Any) -> None:
        """Give the reply to the oldest exchange."""
        if not self._waiting:
            self.abort(ConnectionError("a reply that nobody asked for"))
            return
        exchange = self._waiting[0]
        exchange.replies.append(reply)
        if len(exchange.replies) == exchange.count:
            self._waiting.popleft()
            if not exchange.whole.done():
                exchange.whole.set_result(exchange.replies)

    def ended(self, error: RedisError) -> None:
        """Tell all who wait."""
        while self._waiting:
            whole = self._waiting.popleft().whole
            if not whole.done():
                whole.set_exception(error)

    def _watch(self) -> None:
        self._watched = self.open and bool(self._waiting)
        if not self._watched:
            return
        if clock.monotonic() - max(self._waiting[0].sent, self.heard) > self._timeout:
            self.abort(TimedOut("no reply in time"))
        else:
            self._loop.call_later(self._timeout / 4, self._watch)


S = TypeVar("S", bound=Stream)


async def connect(address: Address, timeout: float, make: Callable[[], S]) -> S:
    """Connect within `timeout` seconds; raises redis-py's ConnectionError or TimeoutError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if address.path:
                _, stream = await loop.create_unix_connection(make, address.path)
            else:
                sock = await network.connect(address.host, address.port)
                name = address.host if address.tls else None
                _, stream = await loop.create_connection(
                    make, sock=sock, ssl=address.tls, server_hostname=name
                )
    except TimeoutError:
        raise TimedOut("no connection in time") from None
    except OSError as error:
        raise ConnectionError(str(error)) from error
    return stream


class Wire:
    """The connection that many use at once: made when it is needed, and anew when it has ended."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Prepare; `timeout` is in seconds, for connecting and then as for `Exchanges`."""
        self._address = address
        self._timeout = timeout
        self._stream: Exchanges | None = None
        self._connecting: asyncio.Future[Exchanges] | None = None

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together and return their replies, with errors among them.

        Raises redis-py's ConnectionError or TimeoutError; then nobody knows what was done.
        """
        stream = self._stream
        if stream is None or not stream.open:
            stream = await self._connected()
        return await stream.exchange(commands)

    def abort(self) -> None:
        """End the connection at once: the next exchange makes a new one."""
        if self._stream is not None:
            self._stream.abort(ConnectionError("ended by us"))

    async def close(self) -> None:
        """End the connection for good."""
        if self._connecting is not None:
            await end(self._connecting)
        self.abort()

    async def _connected(self) -> Exchanges:
        """Connect, once for all who wait for it."""
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._settled)
        return await asyncio.shield(self._connecting)

    def _settled(self, connecting: asyncio.Future[Exchanges]) -> None:
        self._connecting = None
        if not connecting.cancelled():
            connecting.exception()  # seen, also if nobody waits any longer

    async def _connect(self) -> Exchanges:
        stream = await connect(
            self._address, self._timeout, lambda: Exchanges(self._timeout)
        )  # fmt: skip
        try:
            if self._address.greeting:
                for reply in await stream.exchange(self._address.greeting):
                    if isinstance(reply, Exception):
                        raise reply
        except BaseException:
            stream.abort(ConnectionError("not let in"))
            raise
        self._stream = stream
        return stream
