"""A client's connection: hands over all that has arrived, takes frames ready made.

`websockets` makes a frame anew for each client that `send()` is called for; what a broadcast
mostly does is to write one frame to everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.protocol import CONNECTING, OPEN

from chassis.websocket import BatchingServer

from .closing import BY_CODE, FLOOD, LEFT, LOST, CloseReason

SLOW_BYTES = 1024 * 1024
"""Bytes that the kernel has not taken at which a client counts as too slow and is cut."""

STALLED = 10.0
"""Seconds without the kernel's taking anything after which a client counts as too slow."""

SEND_BUFFER = 64 * 1024
"""Bytes of the kernel's own buffer: without a limit it would hide a client that does not read."""

UNFINISHED = 32 * 1024 * 1024
"""Bytes of unfinished messages, and of finished ones that wait, of all connections together."""

MODEST = 4 * 1024
"""Bytes up to which a connection may have such a message although there is no more room."""

UNSENT = 128 * 1024 * 1024
"""Bytes that the kernel has not taken of all connections together."""

HANDSHAKE = 64 * 1024
"""Bytes of a request at most; proxies that put sessions into cookies make it 20 KiB long."""

DAWDLING = 10.0
"""Seconds that a message may take to come."""

HOPELESS = 128 * 1024
"""Bytes not taken by the kernel behind which a close frame would come too late."""


class Message(NamedTuple):
    """A message from a client, in its bytes."""

    data: bytes
    binary: bool


class Connection(BatchingServer):
    """A server's connection; pass it to `serve()`."""

    INBOX_FRAMES = 64
    INBOX_BYTES = 256 * 1024
    EXTRA_RATE = 100.0
    EXTRA_BURST = 2_000.0

    strangers: ClassVar[dict[Connection, float]] = {}
    """Those that have not finished their handshake, and since when; the oldest first."""

    waiting = 0
    """Bytes of messages that are unfinished, or wait to be taken, of all connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.written = 0
        """Bytes of frames that were written, control frames left out."""
        self._asked = 0
        self._counted = 0
        self._unfinished_since: float | None = None
        self._taken = 0
        self._stalled_since = 0.0
        self.pinged = 0.0
        """When a ping was last sent, on the event loop's clock."""
        self.path = ""
        """The path that was asked for, without the query."""
        self.address = ""
        """The client's address, as far as known."""
        self.ending: CloseReason | None = None
        """Why the server has ended the connection, if it has."""
        self.on_lost: Callable[[], None] | None = None
        """Called once when the connection is gone."""

    async def messages(self) -> list[Message]:
        """Wait for messages and take all that have arrived, at least one.

        Raises ConnectionClosed once the connection is closed and all has been taken.
        """
        received = await self.receive()
        self._count()
        return [Message(data, place in self.binary) for place, data in enumerate(received)]

    def data_received(self, data: bytes) -> None:
        """Take bytes in, unless they are too many with all that others have not finished."""
        if self.protocol.state is CONNECTING:
            self._asked += len(data)
            if self._asked > HANDSHAKE:
                self.abort()
                return
        super().data_received(data)
        if not self.unfinished or self._inbox:
            self._unfinished_since = None
        if self.unfinished and self._unfinished_since is None:
            self._unfinished_since = self.heard
        if self._count() > MODEST and Connection.waiting > UNFINISHED:
            self.cut(FLOOD)

    def _count(self) -> int:
        """Count what waits here into what waits in all."""
        size = self.unfinished + self._inbox_bytes
        Connection.waiting += size - self._counted
        self._counted = size
        return size

    def dawdles(self, now: float) -> bool:
        """Tell whether a message has taken too long to come; ask every second or so."""
        since = self._unfinished_since
        return since is not None and now - since >= DAWDLING and not self.reading_paused

    def flooded(self) -> None:
        """Note why a client is dropped that sends too many control frames or fragments."""
        if self.ending is None:
            self.ending = FLOOD
        super().flooded()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, as a stranger."""
        super().connection_made(transport)
        Connection.strangers[self] = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who wants to know that the connection is gone."""
        super().connection_lost(exc)
        Connection.strangers.pop(self, None)
        Connection.waiting -= self._counted
        self._counted = 0
        if self.on_lost is not None:
            self.on_lost()

    # Sending

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return self.protocol.state is OPEN

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames, unless the connection is closing; there is no flow control."""
        if self.protocol.state is OPEN:
            self.written += len(frames)
            self.transport.write(frames)

    def lags(self, now: float) -> bool:
        """Tell whether too much waits for the kernel, or for too long; ask every second or so."""
        unwritten = self.unwritten
        taken = self.written - unwritten
        if taken > self._taken or unwritten == 0 or not self._stalled_since:
            self._taken = taken
            self._stalled_since = now
        return unwritten > SLOW_BYTES or now - self._stalled_since >= STALLED

    def ping_once(self, now: float) -> None:
        """Send a ping, whose pong is a sign of life; nobody waits for it."""
        if self.protocol.state is OPEN:
            self.pinged = now
            self.protocol.send_ping(b"")
            self.send_data()

    # The end

    def cut(self, ending: CloseReason) -> None:
        """Drop the connection at once."""
        if self.ending is None:
            self.ending = ending
        self.abort()

    async def part(self, ending: CloseReason, farewell: bytes = b"") -> None:
        """Say `farewell` (frames), and close with the ending's code and reason.

        Returns when the connection is gone; one that would not hear it is cut.
        """
        if ending.code is None:
            self.cut(ending)
            return
        if self.ending is None:
            self.ending = ending
        self.write_frames(farewell)
        if self.unwritten > HOPELESS:
            self.abort()
        # Closing waits for what is unwritten, and a client that does not read lets it wait.
        cutting = self.loop.call_later((self.close_timeout or 0) + 0.2, self.abort)
        try:
            with contextlib.suppress(ConnectionClosed):
                await self.close(ending.code, ending.words)
        finally:
            cutting.cancel()

    @property
    def lingers(self) -> bool:
        """Whether the closing handshake has taken longer than it may."""
        deadline = self.close_deadline
        return not self.open and (deadline is None or self.loop.time() > deadline)

    def ended(self) -> tuple[CloseReason, int, str]:
        """Tell how the connection has ended: the ending, the close code, and the reason given."""
        protocol = self.protocol
        received, sent = protocol.close_rcvd, protocol.close_sent
        first = received if protocol.close_rcvd_then_sent or sent is None else sent
        code = int(first.code) if first else 1006
        reason = first.reason if first else ""
        if self.ending is not None:
            return self.ending, code, reason
        if received is not None and first is received:
            return LEFT, code, reason
        return BY_CODE.get(code, LOST), code, reason
