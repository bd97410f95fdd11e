"""One sink: send a feed's messages in order to an endpoint, and know what has arrived.

A pong that answers a ping sent after some messages says that the endpoint's WebSocket library
has read them. That is the strongest sign there is without the endpoint's help, and the only
thing that moves the confirmed position. A window bounds the bytes on their way unconfirmed; it
adapts so that a pong takes about a second at most. More pings go out in between, slice by slice,
and each of their pongs is a sign of life. So an endpoint that reads slowly is told from one that
does not read at all, and little is sent again after a reconnect.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from chassis.backoff import Backoff
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import BLOCK_MS, Link, Unavailable, transient
from chassis.tasks import first, until
from chassis.websocket import BatchingClient, dial
from relay import keys
from relay.feeds import Peer
from relay.reading import ReadSize

from .entries import Entry, batches, fitting
from .meter import Meter
from .metrics import SinkMetrics
from .position import Position
from .settings import AT_MOST_ONCE, Settings

LEAST_WINDOW = 4 * 1024
MOST_WINDOW = 1024 * 1024
"""Bytes that may be on their way unconfirmed, at first the least; one slice more is let through."""

LEAST_SLICE = 1024
SLICES = 16
"""Bytes written before another ping: this part of the window, and so many at least. The window
shrinks to as little when even `LEAST_WINDOW` brings an endpoint near to seeming stuck."""

QUICK = 0.25
SLOW = 1.0
"""Seconds for a pong below which the window doubles, and above which it is halved; also a
sixteenth and a quarter of the time after which the endpoint seems stuck."""

READ_MESSAGES = 2000
"""Messages to read and write at a time, roughly."""

CONFIRM_EVERY = 0.02
"""Seconds between pings while messages flow."""

KEEP_ALIVE = 20.0
"""Seconds between pings while nothing flows."""

TRIM_EVERY = 1.0
"""Seconds between trimmings and looks at the numbering's identity."""

LAST_CONFIRMATION = 3.0
"""Seconds that a stopping sink waits for the last pong."""

OTHERWISE_SILENT = 10.0
"""Seconds more than the time-out after which the kernel, too, gives an endpoint up."""


class Lost(Exception):
    """Redis has lost the numbering; begin anew."""


class Stuck(Exception):
    """The endpoint shows no sign of reading."""


@dataclass(slots=True)
class _Sent:
    """Messages on their way; `position` is the entry that they end, empty if it goes on."""

    position: bytes
    messages: int
    size: int
    when: float


class Sink:
    """The connection to one endpoint, made anew whenever it ends."""

    def __init__(
        self, link: Link, peer: Peer, others: list[str], lease: Lease, settings: Settings, log: Log
    ) -> None:
        """Prepare to send to `peer`; `others` names the feed's other sinks."""
        self.peer = peer
        self.metrics = SinkMetrics(peer.feed, peer.name)
        self.connected = False
        self._link = link
        self._lease = lease
        self._settings = settings
        self._log = log
        self._position = Position(link, peer.feed, peer.name, others, settings.retain)
        self._ordered = keys.ordered(peer.feed)
        self.meter = Meter(self.metrics, log, peer.name)
        self._read_size = ReadSize(READ_MESSAGES)

    # From start to stop --------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the sink connected and its messages sent until `stop`, then drain."""
        try:
            await self._load()
            backoff = Backoff(0.1, 10.0)
            while not stop.is_set():
                await self.look_around()
                ending = await self._connect_once(backoff, stop)
                self.metrics.ended[ending].inc()
                if ending not in ("epoch", "stopped") and not stop.is_set():
                    await until(stop, backoff.delay())
        except Lost:
            # The lease's next holder, most likely this very publisher, begins anew.
            self.metrics.data_loss.inc()
            self._log.error("Redis has lost the numbering", sink=self.peer.name)
        except Unavailable:
            self._log.warning("stopped without Redis", sink=self.peer.name)
        finally:
            self.metrics.unconfirmed.set(0)
            self.metrics.paused.set(0)
            self.metrics.lag.set(0)

    async def _load(self) -> None:
        if not await self._link.patiently(self._position.load):
            self.metrics.data_loss.inc()
            self._log.error("Redis has lost the numbering", sink=self.peer.name)
        self._log.info(
            "sending", feed=self.peer.feed, sink=self.peer.name,
            after=self._position.confirmed.decode(),
        )  # fmt: skip

    async def _connect_once(self, backoff: Backoff, stop: asyncio.Event) -> str:
        """Connect, send until the connection ends or `stop`; returns how it ended."""
        try:
            async with dial(
                self.peer.url,
                stop=stop,
                silence=self._settings.stuck_timeout + OTHERWISE_SILENT,
                ping_interval=None,
            ) as connection:
                backoff.succeeded()
                self.connected = True
                self.metrics.connected.set(1)
                self._log.info("connected", feed=self.peer.feed, sink=self.peer.name)
                try:
                    return await self._send(connection, stop)
                finally:
                    self.connected = False
                    self.metrics.connected.set(0)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            reason = closed.rcvd.reason if closed.rcvd else str(closed)
            self._log.warning("disconnected", sink=self.peer.name, code=code, reason=reason)
            return "closed" if code in (1000, 1001) else "dropped"
        except Stuck:
            self._log.warning("endpoint does not read", sink=self.peer.name)
            return "stuck"
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            words = str(error) or type(error).__name__
            self._log.warning("no connection", sink=self.peer.name, error=words)
            return "refused"

    async def _send(self, connection: BatchingClient, stop: asyncio.Event) -> str:
        """Send on one connection; returns how it ended unless by an exception."""
        flight = _Flight(connection, self._settings.stuck_timeout)
        sending = _Sending(self, connection, flight, stop)
        try:
            await first(sending.messages(), sending.confirmations(), _discard(connection))
        except Stuck:
            connection.abort()
            raise
        return sending.ending

    # Reading from Redis --------------------------------------------------------------------

    async def read(self, cursor: bytes) -> list[Entry]:
        """Read the next entries after `cursor`; wait a moment for them."""
        try:
            reply: Any = await self._link.reader.xread(
                {self._ordered: cursor}, count=self._read_size.entries, block=BLOCK_MS
            )
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)
            await asyncio.sleep(0.1)
            return []
        if not reply:
            return []
        entries: list[Entry] = reply[0][1]
        self._read_size.learn(entries)
        return entries

    def went_back(self, entry: bytes) -> None:
        """Say that `entry` begins with what was sent already: Redis has lost its last moments."""
        self._log.warning("Redis went back", sink=self.peer.name, entry=entry.decode())

    # Positions -----------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """The confirmed position."""
        return self._position

    @property
    def may_send(self) -> bool:
        """Whether the lease still stands, so that no other publisher sends at the same time."""
        return self._lease.held

    @property
    def fence(self) -> str:
        """What tells one holding of the lease from the next."""
        return self._lease.value

    async def save(self, position: bytes, messages: int) -> None:
        """Save the position, however long Redis takes."""
        await self._link.patiently(lambda: self._position.save(position, messages))

    async def look_around(self) -> None:
        """Trim behind the sink and see how far it lags; raises Lost when the numbering is gone."""
        try:
            if await self._position.lost():
                await self._position.forget()
                raise Lost
            await self._position.settle()
            oldest = await self._position.oldest_unconfirmed()
            self.metrics.lag.set(max(0.0, time.time() - oldest / 1e6) if oldest else 0)
        except Lost:
            raise
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)

    @property
    def at_most_once(self) -> bool:
        """Whether a position is saved before its messages are sent."""
        return self._settings.delivery == AT_MOST_ONCE


class _Flight:
    """What is on its way on one connection: sent, but not confirmed."""

    def __init__(self, connection: BatchingClient, stuck_timeout: float) -> None:
        self.size = 0
        self.messages = 0
        self.window = LEAST_WINDOW
        self._sent: deque[_Sent] = deque()
        self._connection = connection
        self._stuck_timeout = stuck_timeout
        self._pings = 0
        self._answered = 0
        self._unpinged = 0
        self._awaited = 0
        self._pong: asyncio.Future[None] | None = None
        self._patience: asyncio.Timeout | None = None
        self.moved = asyncio.Event()
        """Set whenever something was sent or confirmed."""
        connection.on_pong = self._on_pong

    @property
    def slice(self) -> int:
        """Bytes to write before another ping."""
        return max(LEAST_SLICE, self.window // SLICES)

    def write(self, frames: list[bytes], size: int) -> None:
        """Write frames, and a ping behind them if enough has been written since the last."""
        self._unpinged += size
        # No drain(): the window bounds what may wait here, and the pongs tell whether it moves.
        ping = self._next_ping() if self._unpinged >= self.slice else None
        self._connection.write(frames, ping=ping)

    def sent(self, position: bytes, messages: int, size: int) -> None:
        """Note that messages up to `position` were written, or part of an entry."""
        self._sent.append(_Sent(position, messages, size, time.perf_counter()))
        self.size += size
        self.messages += messages
        self.moved.set()

    async def confirm(self) -> list[_Sent]:
        """Ping behind all that was sent, await the pong; returns what that confirms.

        Raises Stuck when neither this pong nor one from on the way to it comes in time.
        """
        upto = len(self._sent)
        self._pong = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        ping = self._next_ping()
        self._awaited = self._pings
        self._connection.write((), ping=ping)
        try:
            async with asyncio.timeout(self._stuck_timeout) as self._patience:
                await self._pong
        except TimeoutError:
            raise Stuck from None
        finally:
            self._patience = None
        took = time.perf_counter() - began
        confirmed = [self._sent.popleft() for _ in range(upto)]
        size = sum(sent.size for sent in confirmed)
        if took < min(QUICK, self._stuck_timeout / 16):
            # That little is read quickly does not tell how long a full window takes.
            if not 0 < size < self.window // 4:
                self.window = min(MOST_WINDOW, 2 * self.window)
        elif took > self._stuck_timeout / 4:
            self.window = max(LEAST_SLICE, self.window // 2)
        elif took > SLOW:
            self.window = max(min(LEAST_WINDOW, self.window), self.window // 2)
        self.size -= size
        self.messages -= sum(sent.messages for sent in confirmed)
        self.moved.set()
        return confirmed

    async def wait(self, seconds: float) -> None:
        """Wait until something was sent or confirmed, at most `seconds`."""
        self.moved.clear()
        await until(self.moved, seconds)

    def _next_ping(self) -> bytes:
        self._unpinged = 0
        self._pings += 1
        return b"%d" % self._pings

    def _on_pong(self, payload: bytes) -> None:
        number = int(payload) if payload.isdigit() else 0
        if not self._answered < number <= self._pings:
            return
        self._answered = number
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time() + self._stuck_timeout)
        # A peer may leave out pongs for all but its latest ping.
        if self._pong is not None and not self._pong.done() and number >= self._awaited:
            self._pong.set_result(None)


class _Sending:
    """The two halves of sending on one connection: messages go out, confirmations come in."""

    def __init__(
        self, sink: Sink, connection: BatchingClient, flight: _Flight, stop: asyncio.Event
    ) -> None:
        self.ending = "stopped"
        self._sink = sink
        self._connection = connection
        self._flight = flight
        self._stop = stop
        self._unsaved = 0
        self._done = asyncio.Event()

    async def messages(self) -> None:
        """Send messages until `stop` or until what follows wants a connection of its own.

        That is a new numbering, or what an older state of Redis makes go back.
        """
        sink = self._sink
        cursor = sink.position.confirmed
        written: bytes | None = None
        while not self._stop.is_set():
            entries = await sink.read(cursor)
            if not entries:
                continue
            same = fitting(entries, written)
            for batch in batches(same, self._flight.slice):
                if not await self._wait_for_room() or not await self._write(batch):
                    break
                cursor = written = batch[-1][0]
            else:
                if len(same) < len(entries):
                    self.ending = "epoch"
                    odd = entries[len(same)][0]
                    if _epoch(odd) == _epoch(cursor):
                        sink.went_back(odd)
                    break
        self._done.set()
        # The confirmations' half returns when all is confirmed, and ends this half with it.
        if self._stop.is_set():
            await asyncio.sleep(LAST_CONFIRMATION)
        else:
            await asyncio.Event().wait()

    async def _wait_for_room(self, *, begun: bool = False) -> bool:
        """Wait until less is on its way than the window; returns False to send no more.

        What is `begun` goes on in spite of `stop`, as long as the lease stands.
        """
        sink, flight = self._sink, self._flight
        while not self._stop.is_set():
            if flight.size >= flight.window:
                sink.metrics.paused.set(1)
                await flight.wait(1.0)
            elif not sink.may_send:
                # The lease has run out and may be renewed or lost at any moment.
                await asyncio.sleep(0.05)
            else:
                break
        sink.metrics.paused.set(0)
        return not self._stop.is_set() or (begun and sink.may_send)

    async def _write(self, entries: list[Entry]) -> bool:
        """Write entries, slice by slice; returns False to send no more."""
        sink, flight = self._sink, self._flight
        frames: list[bytes] = []
        for _, values in entries:
            frames += values[3::2]
        last = entries[-1][0]
        if sink.at_most_once:
            fence = sink.fence
            await sink.save(last, len(frames))
            # If that took long, another may have had the lease, and have sent these.
            if not await self._wait_for_room(begun=True) or sink.fence != fence:
                return False
        size = sum(map(len, frames)) + 8 * len(frames)
        at = 0
        while at < len(frames):
            if at and not await self._wait_for_room(begun=True):
                return False
            part = frames[at : at + -(-len(frames) * flight.slice // size)]
            at += len(part)
            flight.write(part, size * len(part) // len(frames))
            flight.sent(
                last if at == len(frames) else b"", len(part), size * len(part) // len(frames)
            )
            sink.meter.count(len(part))
            sink.metrics.unconfirmed.set(flight.messages)
        sink.meter.observe(entries)
        return True

    async def confirmations(self) -> None:
        """Ping behind what was sent and save what the pongs confirm, until all is done."""
        sink, flight = self._sink, self._flight
        pinged = looked = time.monotonic()
        while True:
            if not flight.messages:
                if self._done.is_set():
                    return
                await flight.wait(1.0)
            now = time.monotonic()
            if flight.messages or now - pinged >= KEEP_ALIVE:
                await self._confirm()
                pinged = now
            if now - looked >= TRIM_EVERY:
                await sink.look_around()
                looked = now
            if not self._done.is_set():
                await asyncio.sleep(CONFIRM_EVERY)

    async def _confirm(self) -> None:
        sink, flight = self._sink, self._flight
        confirmed = await flight.confirm()
        if not confirmed:
            return
        messages = sum(sent.messages for sent in confirmed)
        if not sink.at_most_once:
            await self._save(confirmed)
        now = time.perf_counter()
        for sent in confirmed:
            sink.metrics.round_trip.observe(now - sent.when, sent.messages)
        sink.metrics.confirmed.inc(messages)
        sink.metrics.unconfirmed.set(flight.messages)

    async def _save(self, confirmed: list[_Sent]) -> None:
        """Save the position behind the last whole entry among what was confirmed."""
        position, messages = b"", 0
        for sent in confirmed:
            self._unsaved += sent.messages
            if sent.position:
                position, messages, self._unsaved = sent.position, messages + self._unsaved, 0
        if position:
            await self._sink.save(position, messages)


async def _discard(connection: BatchingClient) -> None:
    """Read and drop what the endpoint says, so that its pongs come through."""
    while True:
        await connection.receive()


def _epoch(entry: bytes) -> bytes:
    return entry.partition(b"-")[0]
