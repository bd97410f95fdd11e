"""One sink: send a feed's messages in order to an endpoint, and know what has arrived.

A pong that answers a ping sent after some messages says that the endpoint's WebSocket library
has read them. That is the strongest sign there is without the endpoint's help, and the only
thing that moves the confirmed position. A window bounds the bytes on their way unconfirmed; it
adapts so that a pong takes about a second at most. So an endpoint that reads slowly is told from
one that does not read at all, and little is sent again after a reconnect.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from chassis import keys, times
from chassis.backoff import Backoff
from chassis.lease import Lease
from chassis.lifecycle import first, until
from chassis.logs import Log
from chassis.names import Peer
from chassis.redis import BLOCK_MS, Helping, Link, Unavailable, transient
from chassis.websocket import BatchingClient, dial

from .metrics import SinkMetrics
from .position import START, Position, order
from .settings import AT_MOST_ONCE, Settings

LEAST_WINDOW = 16 * 1024
MOST_WINDOW = 1024 * 1024
"""Bytes that may be on their way unconfirmed; one batch more is let through."""

QUICK = 0.25
SLOW = 1.0
"""Seconds for a pong below which the window doubles, and above which it is halved."""

READ_MESSAGES = 2000
"""Messages to read and write at a time, roughly."""

WRITE_BYTES = 128 * 1024
"""Bytes to write together, roughly; a single entry may be larger."""

CONFIRM_EVERY = 0.02
"""Seconds between pings while messages flow."""

KEEP_ALIVE = 20.0
"""Seconds between pings while nothing flows."""

TRIM_EVERY = 1.0
"""Seconds between trimmings and looks at the numbering's identity."""

LAST_CONFIRMATION = 3.0
"""Seconds that a stopping sink waits for the last pong."""


class Lost(Exception):
    """Redis has lost the numbering; begin anew."""


class Stuck(Exception):
    """The endpoint shows no sign of reading."""


@dataclass(slots=True)
class _Sent:
    """Messages on their way, up to and including the entry `position`."""

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
        self._thousand = (0, time.perf_counter())
        self._logged = 0.0
        self._highest = START
        self._helping = Helping(READ_MESSAGES)

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
            async with dial(self.peer.url, ping_interval=None) as connection:
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

    async def read(self, cursor: bytes) -> list[tuple[bytes, list[bytes]]]:
        """Read the next entries after `cursor`; wait a moment for them."""
        try:
            reply: Any = await self._link.reader.xread(
                {self._ordered: cursor}, count=self._helping.entries, block=BLOCK_MS
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
        entries: list[tuple[bytes, list[bytes]]] = reply[0][1]
        self._helping.learn(entries)
        return entries

    # Counting ------------------------------------------------------------------------------

    def observe(self, entries: list[tuple[bytes, list[bytes]]], messages: int) -> None:
        """Measure what was just written."""
        now = time.time_ns() // 1000
        metrics = self.metrics
        for entry, values in entries:
            count = len(values) // 2 - 1
            if order(entry) <= order(self._highest):
                metrics.resent.inc(count)
            for received, frames in times.unpack(values[1], count):
                metrics.relay.observe(max(0, now - received) / 1e6, frames)
        self._highest = max(self._highest, entries[-1][0], key=order)
        metrics.messages.inc(messages)
        metrics.batch.observe(messages)
        metrics.sent.set(now / 1e6)
        self._count_thousands(messages)

    def _count_thousands(self, messages: int) -> None:
        """Measure the time taken per thousand messages; log it, once a second at most."""
        sent, began = self._thousand
        sent += messages
        now = time.perf_counter()
        if sent >= 1000:
            seconds = (now - began) * 1000 / sent
            self.metrics.thousand.observe(seconds, sent // 1000)
            if now - self._logged >= 1:
                self._logged = now
                self._log.info(
                    "messages sent", sink=self.peer.name, messages=1000, seconds=round(seconds, 6)
                )
            sent, began = sent % 1000, now
        self._thousand = (sent, began)

    # Positions -----------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """The confirmed position."""
        return self._position

    @property
    def may_send(self) -> bool:
        """Whether the lease still stands, so that no other publisher sends at the same time."""
        return self._lease.held

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
        self.window = 4 * LEAST_WINDOW
        self._sent: deque[_Sent] = deque()
        self._connection = connection
        self._stuck_timeout = stuck_timeout
        self._pings = 0
        self._pong: asyncio.Future[None] | None = None
        self._awaited = b""
        self.moved = asyncio.Event()
        """Set whenever something was sent or confirmed."""
        connection.on_pong = self._on_pong

    def sent(self, position: bytes, messages: int, size: int) -> None:
        """Note that messages up to `position` were written."""
        self._sent.append(_Sent(position, messages, size, time.perf_counter()))
        self.size += size
        self.messages += messages
        self.moved.set()

    async def confirm(self) -> list[_Sent]:
        """Ping behind all that was sent, await the pong; returns what that confirms.

        Raises Stuck when there is none in time.
        """
        upto = len(self._sent)
        self._pings += 1
        self._awaited = b"%d" % self._pings
        self._pong = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self._connection.write((), ping=self._awaited)
        try:
            async with asyncio.timeout(self._stuck_timeout):
                await self._pong
        except TimeoutError:
            raise Stuck from None
        took = time.perf_counter() - began
        if took < QUICK:
            self.window = min(MOST_WINDOW, 2 * self.window)
        elif took > SLOW:
            self.window = max(LEAST_WINDOW, self.window // 2)
        confirmed = [self._sent.popleft() for _ in range(upto)]
        self.size -= sum(sent.size for sent in confirmed)
        self.messages -= sum(sent.messages for sent in confirmed)
        self.moved.set()
        return confirmed

    async def wait(self, seconds: float) -> None:
        """Wait until something was sent or confirmed, at most `seconds`."""
        self.moved.clear()
        await until(self.moved, seconds)

    def _on_pong(self, payload: bytes) -> None:
        if payload == self._awaited and self._pong is not None and not self._pong.done():
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
        self._done = asyncio.Event()

    async def messages(self) -> None:
        """Send messages until `stop` or until a new numbering wants a connection of its own."""
        sink = self._sink
        cursor = sink.position.confirmed
        epoch: bytes | None = None
        while not self._stop.is_set():
            entries = await sink.read(cursor)
            if not entries:
                continue
            if epoch is None:
                epoch = _epoch(entries[0][0])
            same = [entry for entry in entries if _epoch(entry[0]) == epoch]
            for batch in _batches(same):
                if not await self._wait_for_room():
                    break
                await self._write(batch)
                cursor = batch[-1][0]
            else:
                if len(same) < len(entries):
                    self.ending = "epoch"
                    break
        self._done.set()
        # The confirmations' half returns when all is confirmed, and ends this half with it.
        if self._stop.is_set():
            await asyncio.sleep(LAST_CONFIRMATION)
        else:
            await asyncio.Event().wait()

    async def _wait_for_room(self) -> bool:
        """Wait until less is on its way than the window; returns False to send no more."""
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
        return not self._stop.is_set()

    async def _write(self, entries: list[tuple[bytes, list[bytes]]]) -> None:
        sink = self._sink
        frames: list[bytes] = []
        for _, values in entries:
            frames += values[3::2]
        last = entries[-1][0]
        if sink.at_most_once:
            await sink.save(last, len(frames))
        # No drain(): the window bounds what may wait here, and the pongs tell whether it moves.
        self._connection.write(frames)
        self._flight.sent(last, len(frames), sum(map(len, frames)) + 8 * len(frames))
        sink.observe(entries, len(frames))
        sink.metrics.unconfirmed.set(self._flight.messages)

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
            await sink.save(confirmed[-1].position, messages)
        now = time.perf_counter()
        for sent in confirmed:
            sink.metrics.round_trip.observe(now - sent.when, sent.messages)
        sink.metrics.confirmed.inc(messages)
        sink.metrics.unconfirmed.set(flight.messages)


async def _discard(connection: BatchingClient) -> None:
    """Read and drop what the endpoint says, so that its pongs come through."""
    while True:
        await connection.receive()


def _batches(
    entries: list[tuple[bytes, list[bytes]]],
) -> Iterator[list[tuple[bytes, list[bytes]]]]:
    """Cut entries into batches of about `WRITE_BYTES`."""
    batch: list[tuple[bytes, list[bytes]]] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += sum(map(len, entry[1]))
        if size >= WRITE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _epoch(entry: bytes) -> bytes:
    return entry.partition(b"-")[0]
