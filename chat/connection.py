"""A client's connection: hands over all that has arrived, takes frames ready made.

`websockets` does the protocol. Its `recv()` tells text from binary but waits for each message,
and its `send()` makes a frame anew for each client; what a chat mostly does is to write one
frame to everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import CLOSED, OPEN, Event

from .endings import BY_CODE, Ending

INBOX_MESSAGES = 64
"""Messages in the inbox at which reading from the socket pauses."""

INBOX_BYTES = 256 * 1024
"""Bytes in the inbox at which reading from the socket pauses."""

SLOW_BYTES = 1024 * 1024
"""Bytes that the kernel has not taken at which a client counts as too slow and is cut."""

STALLED = 10.0
"""Seconds without the kernel's taking anything after which a client counts as too slow."""

SEND_BUFFER = 64 * 1024
"""Bytes of the kernel's own buffer: without a limit it would hide a client that does not read."""

HOPELESS = 128 * 1024
"""Bytes not taken by the kernel behind which a close frame would come too late."""

_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class Message(NamedTuple):
    """A message from a client, in its bytes."""

    data: bytes
    binary: bool


class Connection(ServerConnection):
    """A server's connection; pass it to `serve()`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inbox: list[Message] = []
        self._inbox_bytes = 0
        self._fragments: list[bytes] = []
        self._binary = False
        self._paused = False
        self._arrival: asyncio.Future[None] | None = None
        self._unwritten = 0
        self._stalled_since = 0.0
        self.heard = self.loop.time()
        """When bytes last came from the client, on the event loop's clock."""
        self.pinged = 0.0
        """When a ping was last sent."""
        self.address = ""
        """The client's address, as far as known."""
        self.ending: Ending | None = None
        """Why the server has ended the connection, if it has."""
        self.on_lost: Callable[[], None] | None = None
        """Called once when the connection is gone."""

    # Receiving

    async def receive(self) -> list[Message]:
        """Wait for messages and take all that have arrived, at least one.

        Raises ConnectionClosed once the connection is closed and all has been taken.
        """
        while not self._inbox:
            if self.protocol.state is CLOSED:
                raise self.close_exc
            self._arrival = self.loop.create_future()
            await self._arrival
        inbox, self._inbox = self._inbox, []
        self._inbox_bytes = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return inbox

    def process_event(self, event: Event) -> None:
        """Put a complete message into the inbox; leave all other events to websockets."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            return
        data = bytes(event.data)
        if event.opcode is not Opcode.CONT:
            self._binary = event.opcode is Opcode.BINARY
        if not event.fin:
            self._fragments.append(data)
            return
        if self._fragments:
            data = b"".join([*self._fragments, data])
            self._fragments.clear()
        self._inbox.append(Message(data, self._binary))
        self._inbox_bytes += len(data)

    def data_received(self, data: bytes) -> None:
        """Take in bytes from the socket, then wake the receiver and mind the inbox's bounds."""
        self.heard = self.loop.time()
        super().data_received(data)
        if self._inbox:
            self._wake()
            full = len(self._inbox) >= INBOX_MESSAGES or self._inbox_bytes >= INBOX_BYTES
            if full and not self._paused:
                self._paused = True
                self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the receiver, for nothing more will come."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # Sending

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return self.protocol.state is OPEN

    def write(self, frames: bytes) -> None:
        """Write whole frames, unless the connection is closing; there is no flow control."""
        if self.protocol.state is OPEN:
            self.transport.write(frames)

    @property
    def unwritten(self) -> int:
        """Bytes that the kernel has not yet taken."""
        return self.transport.get_write_buffer_size()

    def stalled(self, now: float) -> bool:
        """Tell whether the kernel has taken nothing for too long; ask every second or so."""
        unwritten = self.unwritten
        if unwritten < self._unwritten or unwritten == 0 or not self._stalled_since:
            self._stalled_since = now
        self._unwritten = unwritten
        return now - self._stalled_since >= STALLED

    def ping_once(self, now: float) -> None:
        """Send a ping, whose pong is a sign of life; nobody waits for it."""
        if self.protocol.state is OPEN:
            self.pinged = now
            self.protocol.send_ping(b"")
            self.send_data()

    def cut(self, ending: Ending) -> None:
        """Drop the connection at once."""
        if self.ending is None:
            self.ending = ending
        self.transport.abort()

    async def part(self, ending: Ending, farewell: bytes = b"") -> None:
        """Say `farewell` (frames), and close with the ending's code and reason.

        Returns when the connection is gone; one that would not hear it is cut.
        """
        if ending.code is None:
            self.cut(ending)
            return
        if self.ending is None:
            self.ending = ending
        self.write(farewell)
        if self.unwritten > HOPELESS:
            self.transport.abort()
        with contextlib.suppress(ConnectionClosed):
            await self.close(ending.code, ending.words)

    # The end

    def ended(self) -> tuple[Ending, int, str]:
        """Tell how the connection has ended: the ending, the close code, and the reason given."""
        protocol = self.protocol
        received, sent = protocol.close_rcvd, protocol.close_sent
        first = received if protocol.close_rcvd_then_sent or sent is None else sent
        code = int(first.code) if first else 1006
        reason = first.reason if first else ""
        if self.ending is not None:
            return self.ending, code, reason
        if received is not None and first is received:
            return Ending.LEFT, code, reason
        return BY_CODE.get(code, Ending.LOST), code, reason
