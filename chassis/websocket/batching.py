"""WebSocket connections that receive and send in batches.

`websockets` does the protocol; what is different here is how messages are handed over. `recv()`
and `send()` cost a turn of the event loop's machinery for each message; taking all that has
arrived at once, and writing many frames to the transport together, costs a fraction of it. Flow
control stays exact: reading from the socket pauses when the inbox is full, so that a slow reader
slows the peer by TCP's own means.

Two things are done beside `websockets`. A whole, unfragmented data frame of less than 64 KiB is
cut out of the bytes here, in a third of the time. Everything else (control frames, fragments, long
frames, errors) goes to `websockets` byte for byte, in its turn; so its state is always the true
one. And the frames of text messages are put together here, in a fifth of the time. The tests
compare the two on random streams cut at random places, and hold `websockets` to what this module
expects of its insides.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Container, Iterable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import CLIENT, CLOSED, OPEN, SERVER, Event

try:
    from websockets.speedups import apply_mask
except ImportError:  # as websockets does where there is no compiled extension
    from websockets.utils import apply_mask

WRITE_LIMIT = 256 * 1024
"""Bytes waiting to be written at which `drain()` begins to wait."""

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of a message at which the connection is closed with 1009."""

TURN = 0.01
"""Seconds after which one peer has to wait for the others, whatever it sends."""


class _Batching(Connection):
    """What the client's and the server's connection share."""

    INBOX_FRAMES = 8192
    """Messages in the inbox at which reading from the socket pauses."""

    INBOX_BYTES = 4 * 1024 * 1024
    """Bytes in the inbox at which reading from the socket pauses."""

    EXTRA_RATE = 5_000.0
    """Control frames and fragments per second on the long run; the inbox does not count them."""

    EXTRA_BURST = 20_000.0
    """Control frames and fragments at once; a peer that sends more is dropped."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inbox: list[bytes] = []
        self._inbox_bytes = 0
        self._extra = 0.0
        self._partial = b""
        self._fragments: list[bytes] = []
        self._fragments_size = 0
        self._fragments_binary = False
        self._inbox_binary: set[int] | None = None
        self.binary: Container[int] = ()
        """Which of the messages that `receive()` returned last were binary, by their place."""
        self.reading_paused = False
        """Whether the socket is not read because the inbox is full."""
        self._behind = False  # whether bytes wait that could be taken in, for others' sake
        self._halted = False  # whether the socket is not read for either reason
        self._arrival: asyncio.Future[None] | None = None
        self._nudged = False
        self.heard = self.loop.time()
        """When bytes last came from the peer, on the event loop's clock."""
        self.on_pong: Callable[[bytes], None] | None = None
        """Called with the payload of each pong."""

    # Receiving

    async def receive(self) -> list[bytes]:
        """Wait for messages and take all that have arrived, each as bytes, at least one.

        Text and binary messages come alike (`binary` tells them apart), and UTF-8 is not checked.
        Raises ConnectionClosed once the connection is closed and everything received has been
        taken. One task may wait at a time. After a `nudge()` it returns at once, maybe with none.
        """
        while not self._inbox and not self._nudged:
            if self.protocol.state is CLOSED:
                raise self.close_exc
            self._arrival = self.loop.create_future()
            await self._arrival
        self._nudged = False
        inbox, self._inbox = self._inbox, []
        self._inbox_bytes = 0
        self.binary, self._inbox_binary = self._inbox_binary or (), None
        if self.reading_paused:
            self.reading_paused = False
            self._go_on()
        return inbox

    @property
    def unfinished(self) -> int:
        """Bytes that have come of a message that is not whole yet."""
        return self._fragments_size + len(self._partial) + len(self.protocol.reader.buffer)

    def nudge(self) -> None:
        """Have the task that waits in `receive()` look up, though no message has come."""
        if self._arrival is not None and not self._arrival.done():
            self._nudged = True
            self._arrival.set_result(None)

    def process_event(self, event: Event) -> None:
        """Put a complete message into the inbox; leave all other events to websockets."""
        if isinstance(event, Frame) and (event.opcode not in _DATA or not event.fin):
            self._extra += 1
            if self._extra > self.EXTRA_BURST:
                self.flooded()
                return
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            if isinstance(event, Frame) and event.opcode is Opcode.PONG and self.on_pong:
                self.on_pong(bytes(event.data))
            return
        data = bytes(event.data)
        if event.opcode is not Opcode.CONT:
            self._fragments_binary = event.opcode is Opcode.BINARY
        if not event.fin:
            self._fragments.append(data)
            self._fragments_size += len(data)
            return
        if event.opcode is Opcode.CONT:
            data = b"".join([*self._fragments, data])
            self._fragments.clear()
            self._fragments_size = 0
        if self._fragments_binary:
            self._note_binary()
        self._inbox.append(data)
        self._inbox_bytes += len(data)

    def data_received(self, data: bytes) -> None:
        """Take in bytes from the socket, then wake the receiver and mind the inbox's bounds."""
        before, self.heard = self.heard, self.loop.time()
        if self._extra:
            self._extra = max(0.0, self._extra - (self.heard - before) * self.EXTRA_RATE)
        self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        """Take bytes in while there is time, and room; what is left then waits in `_partial`."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        end, at = self.loop.time() + TURN, 0
        self._behind = False
        while at < len(data) and not self._behind and not self._full:
            piece = data[at : at + _PIECE]
            at += len(piece)
            self._take_piece(self._partial + piece if self._partial else piece, end)
            # A frame that is longer than a piece is taken all the same.
            taken = len(self._partial) < at < len(data)
            self._behind |= taken and self.loop.time() > end
        if at < len(data):
            self._partial += data[at:]
        if self._inbox:
            self._wake()
        self.reading_paused = self._full
        self._halt(self.reading_paused or self._behind)
        if self._behind and not self.reading_paused:
            self.loop.call_later(TURN, self._go_on)

    def _take_piece(self, data: bytes, end: float) -> None:
        """Take some bytes in; what is left at the loop's time `end` waits."""
        self._partial = b""
        if self._between_frames():
            data = self._take_data_frames(data, end)
        # In slices, for a peer that is dropped in between shall not be listened to any further.
        for start in range(0, len(data), _SLICE):
            if start and self.loop.time() > end:
                self._partial, self._behind = data[start:], True
                break
            super().data_received(data[start : start + _SLICE])

    @property
    def _full(self) -> bool:
        """Whether nothing more fits into the inbox."""
        return len(self._inbox) >= self.INBOX_FRAMES or self._inbox_bytes >= self.INBOX_BYTES

    def _go_on(self) -> None:
        """Go on with what waits, and then with reading, unless the inbox is full."""
        if not self.reading_paused and not self.transport.is_closing():
            self._take_in(b"")

    def _halt(self, halt: bool) -> None:
        """Stop reading from the socket, or go on."""
        if halt and not self._halted:
            self.transport.pause_reading()
        elif self._halted and not halt:
            self.transport.resume_reading()
        self._halted = halt

    def flooded(self) -> None:
        """Drop a peer that sends more control frames or fragments than anybody needs."""
        if self.protocol.state is OPEN:
            self.protocol.fail(CloseCode.POLICY_VIOLATION)  # what it has sent is not read further
        self.abort()

    def _between_frames(self) -> bool:
        """Tell whether `websockets` awaits the first byte of a frame, outside of a message."""
        protocol = self.protocol
        if (
            protocol.state is not OPEN
            or protocol.current_size is not None
            or protocol.reader.buffer
            or protocol.extensions
            or (protocol.max_message_size or _LONG) < _LONG
            or (protocol.max_fragment_size or _LONG) < _LONG
        ):
            return False
        # Its parser is a chain of generators; between frames, the last one is `at_eof`.
        awaited: Any = protocol.parser
        while awaited.gi_yieldfrom is not None:
            awaited = awaited.gi_yieldfrom
        return bool(awaited.__name__ == "at_eof")

    def _take_data_frames(self, data: bytes, end: float) -> bytes:
        """Put the whole data frames at the beginning of `data` into the inbox.

        Returns what `websockets` is to go on with; an incomplete frame is kept for later, and so
        is what stands behind a control frame at the loop's time `end`.
        """
        inbox = self._inbox
        masked = self.protocol.side is SERVER
        overhead = 6 if masked else 2
        mask_bit = 0x80 if masked else 0
        at, size = 0, len(data)
        while size - at >= 2:
            start = at + overhead
            # A wrong mask bit makes this 128 or more: not ours to judge.
            length = data[at + 1] ^ mask_bit
            if data[at] not in _WHOLE or length > 126:
                stop = start + length
                if data[at] not in _CONTROL or length > 125 or stop > size:
                    return data[at:]
                super().data_received(data[at:stop])
                at = stop
                if self.protocol.state is not OPEN:
                    return data[at:]
                if self.loop.time() > end:
                    self._behind = True
                    break
                continue
            if length == 126:
                start += 2
                if start > size:
                    break
                length = data[at + 2] << 8 | data[at + 3]
            stop = start + length
            if stop > size:
                break
            message = data[start:stop]
            if masked:
                message = apply_mask(message, data[start - 4 : start])
            if data[at] != _TEXT:
                self._note_binary()
            inbox.append(message)
            self._inbox_bytes += length
            at = stop
        self._partial = data[at:]
        return b""

    def _note_binary(self) -> None:
        """Note that the next message in the inbox is a binary one."""
        if self._inbox_binary is None:
            self._inbox_binary = set()
        self._inbox_binary.add(len(self._inbox))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take what has come and waits, and wake the receiver, for nothing more will come."""
        if self._partial and self._between_frames():
            self._take_data_frames(self._partial, math.inf)
        super().connection_lost(exc)
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # Sending

    def write(self, messages: Iterable[bytes], ping: bytes | None = None) -> None:
        """Write text messages, then perhaps a ping, to the transport in one go.

        There is no flow control here: await `drain()` afterwards. Raises ConnectionClosed when
        the connection is no longer open.
        """
        protocol = self.protocol
        if protocol.state is not OPEN:
            raise self.close_exc if protocol.state is CLOSED else _closing(self)
        parts = protocol.data_to_send()
        if protocol.extensions or protocol.expect_continuation_frame:
            for message in messages:
                protocol.send_text(message)
        else:
            _add_frames(parts, messages, masked=protocol.side is CLIENT)
        if ping is not None:
            protocol.send_ping(ping)
        self.transport.write(b"".join([*parts, *protocol.data_to_send()]))

    @property
    def unwritten(self) -> int:
        """Bytes that the kernel has not yet taken."""
        return self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """Drop the connection at once; a peer that does not read would not see a close frame."""
        self.transport.abort()


def _add_frames(parts: list[bytes], messages: Iterable[bytes], *, masked: bool) -> None:
    """Add the frame of each text message to `parts` (RFC 6455, section 5.2)."""
    messages = list(messages)
    mask_bit = 0x80 if masked else 0
    masks = _masks.take(len(messages)) if masked else b""
    for at, message in enumerate(messages):
        length = len(message)
        if length < 126:
            parts.append(bytes((_TEXT, mask_bit | length)))
        elif length < _LONG:
            parts.append(bytes((_TEXT, mask_bit | 126, length >> 8, length & 0xFF)))
        else:
            parts.append(bytes((_TEXT, mask_bit | 127)) + length.to_bytes(8, "big"))
        if masked:
            mask = masks[4 * at : 4 * at + 4]
            parts.append(mask)
            message = apply_mask(message, mask)
        parts.append(message)


class _Masks:
    """Masks that nobody can foresee, as section 5.3 demands; to draw many at once is cheaper."""

    DRAW = 1024
    """Bytes to draw at a time."""

    def __init__(self) -> None:
        self._drawn = b""

    def take(self, count: int) -> bytes:
        """Take the masks of so many messages."""
        size = 4 * count
        if len(self._drawn) < size:
            self._drawn = os.urandom(max(size, self.DRAW))
        masks, self._drawn = self._drawn[:size], self._drawn[size:]
        return masks


_masks = _Masks()


def _closing(connection: Connection) -> Exception:
    """Make the error for a connection whose closing handshake is under way."""
    protocol = connection.protocol
    return ConnectionClosedError(
        protocol.close_rcvd, protocol.close_sent, protocol.close_rcvd_then_sent
    )


_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})

# First bytes of frames (RFC 6455, section 5.2): FIN with text or binary; close, ping, pong.
_TEXT = 0x81
_WHOLE = frozenset({_TEXT, 0x82})
_CONTROL = frozenset({0x88, 0x89, 0x8A})
_PIECE = 64 * 1024
"""Bytes that are taken in before others are looked after; so many can be 30 000 frames."""

_SLICE = 4 * 1024
"""Bytes that `websockets` is given at once; so many can be 2000 frames."""

_LONG = 1 << 16
"""Length from which on a frame's length takes eight bytes."""


class BatchingClient(_Batching, ClientConnection):
    """A client's connection that receives and sends in batches."""


class BatchingServer(_Batching, ServerConnection):
    """A server's connection that receives and sends in batches; pass it to `serve()`."""
