"""One connection to an endpoint: messages go out, confirmations come in, positions are saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from chassis import clock
from chassis.lease import Lease
from chassis.logs import Log
from chassis.redis import Link
from chassis.tasks import first, until
from relay import keys, ordered
from relay.feeds import Peer
from relay.ordered import Entry, Span
from relay.reading import ReadSize

from .contiguity import Contiguity
from .entries import batches, fitting
from .meter import Meter
from .metrics import SinkMetrics
from .position import Position
from .settings import AT_MOST_ONCE, Settings
from .upkeep import Upkeep
from .window import Confirmed, Window

READ_MESSAGES = 2000
"""Messages to read and write at a time, roughly."""

CONFIRM_EVERY = 0.02
"""Seconds between questions while messages flow; where much is on its way, there is no pause."""

DISCARD_EVERY = 0.05
"""Seconds between two times that what an endpoint says is dropped."""

KEEP_ALIVE = 20.0
"""Seconds between pings while nothing flows."""

LOOK_EVERY = 1.0
"""Seconds between trimmings and looks at the numbering's identity."""

LAST_CONFIRMATION = 3.0
"""Seconds that a stopping sink waits for the last pong."""


class Stuck(Exception):
    """The endpoint shows no sign of reading."""


class Connection(Protocol):
    """What is asked of a WebSocket connection; see `chassis.websocket` for the contract."""

    on_pong: Callable[[bytes], None] | None

    def write(self, messages: Iterable[bytes], ping: bytes | None = None) -> None:
        """Write text messages, then perhaps a ping."""

    async def receive(self) -> list[bytes]:
        """Take what the endpoint says."""

    @property
    def unwritten(self) -> int:
        """Bytes that the kernel has not yet taken."""

    def abort(self) -> None:
        """Drop the connection at once."""

    async def close(self) -> None:
        """Close the connection, with a handshake."""


class Session:
    """Send on one connection, from the sink's position on, and move that with the pongs."""

    def __init__(
        self,
        connection: Connection,
        peer: Peer,
        lane: str,
        stop: asyncio.Event,
        *,
        link: Link,
        lease: Lease,
        position: Position,
        upkeep: Upkeep,
        meter: Meter,
        metrics: SinkMetrics,
        settings: Settings,
        log: Log,
    ) -> None:
        """Prepare to send the messages of the peer's feed until `stop`, while `lease` stands."""
        self._connection = connection
        self._peer = peer
        self._stop = stop
        self._link = link
        self._lease = lease
        self._position = position
        self._upkeep = upkeep
        self._meter = meter
        self._metrics = metrics
        self._log = log
        self._at_most_once = settings.delivery == AT_MOST_ONCE
        self._ordered = keys.ordered(lane)
        self._contiguity = Contiguity(position.serial)
        self._serials: dict[bytes, int | None] = {}
        """Of entries that are on their way, the serial of the last message."""
        self._read_size = ReadSize(READ_MESSAGES)
        self._window = Window(settings.stuck_timeout)
        self._ending = ""  # once no more messages are going to be sent: why
        self._drained = asyncio.Event()  # then, once all are confirmed and that is saved
        self._moved = asyncio.Event()  # when something is sent or confirmed
        self._much = asyncio.Event()  # when so much is on its way that to wait would hold it up
        self._confirmed: Confirmed | None = None
        self._answered = asyncio.Event()  # when that is what the last question was answered with
        connection.on_pong = self._on_pong

    async def run(self) -> str:
        """Send until told to stop, or until what follows wants another connection; returns which.

        Either way it waits for what was sent to be confirmed. Raises ConnectionClosed, Stuck and
        what the upkeep and saving a position raise.
        """
        try:
            # The first is the session; the others serve it, and end with it or by raising.
            await first(self._send_and_drain(), self._confirmations(), self._discard())
        except Stuck:
            self._connection.abort()
            raise
        return self._ending

    async def _send_and_drain(self) -> None:
        self._ending = await self._messages()
        self._moved.set()
        if not self._stop.is_set():
            await first(self._drained.wait(), self._stop.wait())
        if self._stop.is_set():
            await until(self._drained, LAST_CONFIRMATION)

    async def _discard(self) -> None:
        """Drop what the endpoint says, so that its pongs come through.

        Its pongs are heard at once; but who talks without end fills the connection's inbox, and is
        then not read until the next time. Otherwise it would have the process to itself.
        """
        while True:
            await self._connection.receive()
            await asyncio.sleep(DISCARD_EVERY)

    # Messages out ----------------------------------------------------------------------------

    async def _messages(self) -> str:
        """Send messages; returns how that ended.

        A connection of its own is for a new numbering, and for what an older state of Redis
        makes go back.
        """
        cursor = self._position.confirmed
        written: dict[bytes, Span] = {}
        while not self._stop.is_set():
            entries = await self._read(cursor)
            spans = fitting(entries, written)
            for span in spans:
                if missing := self._contiguity.missing(span):
                    self._sound_the_alarm(span, missing)
            same = entries[: len(spans)]
            for (entry, _), span in zip(same, spans, strict=True):
                self._serials[entry] = span.serial
            for batch in batches(same, self._window.slice):
                if not await self._room() or not await self._write(batch):
                    break
                cursor = batch[-1][0]
            else:
                written.update((span.of, span) for span in spans)
                if len(same) < len(entries):
                    odd = ordered.span(*entries[len(same)])
                    if odd.of in written and odd.epoch == written[odd.of].epoch:
                        self._log.warning(
                            "Redis went back", sink=self._peer.name,
                            entry=entries[len(same)][0].decode(),
                        )  # fmt: skip
                    return "epoch"
        return "stopped"

    def _sound_the_alarm(self, span: Span, missing: int) -> None:
        self._metrics.data_loss.inc()
        self._log.error(
            "messages are gone that were not sent", feed=self._peer.feed, sink=self._peer.name,
            messages=missing, epoch=span.epoch, before=span.first,
        )  # fmt: skip

    async def _read(self, cursor: bytes) -> list[Entry]:
        """Read the next entries after `cursor`; wait a moment for them."""
        try:
            streams = await self._link.read({self._ordered: cursor}, count=self._read_size.entries)
        except Exception as error:
            self._link.note(error)
            await asyncio.sleep(0.1)
            return []
        entries = streams.get(self._ordered, [])
        if entries:
            self._read_size.learn(entries)
        return entries

    async def _room(self, *, begun: bool = False) -> bool:
        """Wait until less is on its way than the window; returns False to send no more.

        What is `begun` goes on in spite of `stop`, as long as the lease stands.
        """
        while not self._stop.is_set():
            if self._window.full:
                self._metrics.paused.set(1)
                await self._wait_for_a_move()
            elif not self._lease.held:
                # It has run out and may be renewed or lost at any moment.
                await asyncio.sleep(0.05)
            else:
                break
        self._metrics.paused.set(0)
        return not self._stop.is_set() or (begun and self._lease.held)

    async def _write(self, entries: list[Entry]) -> bool:
        """Write entries, slice by slice; returns False to send no more."""
        messages: list[bytes] = []
        for _, values in entries:
            messages += ordered.messages(values)
        last, total = entries[-1][0], len(messages)
        size = sum(map(len, messages)) + 8 * total
        if self._at_most_once:
            fence = self._lease.value
            await self._save(last, total, size)
            # If that took long, another may have had the lease, and have sent these.
            if not await self._room(begun=True) or self._lease.value != fence:
                return False
        at = 0
        while at < total:
            if at and not await self._room(begun=True):
                return False
            part = messages[at : at + -(-total * self._window.slice // size)]
            at += len(part)
            ping = self._window.send(
                last if at == total else b"",
                len(part),
                size * len(part) // total,
                clock.monotonic(),
            )
            # No drain(): the window bounds what may wait here, and pongs tell whether it moves.
            self._connection.write(part, ping)
            self._moved.set()
            if self._window.filling:
                self._much.set()
            self._meter.count(len(part))
            self._metrics.unconfirmed.set(self._window.messages)
        self._meter.observe(entries)
        return True

    # Confirmations in ------------------------------------------------------------------------

    async def _confirmations(self) -> None:
        """Ping behind what was sent and save what the pongs confirm."""
        asked = looked = clock.monotonic()
        while True:
            if not self._window.messages:
                if self._ending:
                    self._drained.set()
                await self._wait_for_a_move()
            now = clock.monotonic()
            if self._window.messages or now - asked >= KEEP_ALIVE:
                await self._confirm()
                asked = now
            if now - looked >= LOOK_EVERY:
                await self._link.attempt(self._upkeep.look)
                looked = now
            self._much.clear()
            if not self._ending and not self._window.filling:
                await until(self._much, CONFIRM_EVERY)

    async def _confirm(self) -> None:
        """Ask, wait for the answer, save what it confirms; raises Stuck when none comes."""
        self._answered.clear()
        self._connection.write((), self._window.ask(clock.monotonic()))
        while not await until(self._answered, self._window.patience(clock.monotonic())):
            # Pongs on the way extend the patience.
            if self._window.patience(clock.monotonic()) <= 0:
                raise Stuck
        confirmed, self._confirmed = self._confirmed, None
        if confirmed is None or not confirmed.sent:
            return
        if confirmed.entry and not self._at_most_once:
            await self._save(confirmed.entry, confirmed.advance, confirmed.size)
        now = clock.monotonic()
        for part in confirmed.sent:
            self._metrics.round_trip.observe(now - part.when, part.messages)
            self._metrics.confirmed.inc(part.messages)
        self._metrics.unconfirmed.set(self._window.messages)

    def _on_pong(self, payload: bytes) -> None:
        confirmed = self._window.pong(payload, clock.monotonic())
        if confirmed is not None:
            self._confirmed = confirmed
            self._answered.set()
            self._moved.set()

    async def _save(self, entry: bytes, messages: int, size: int) -> None:
        """Save a position, however long Redis takes."""
        serial = self._serials.get(entry)
        for before in list(self._serials) if entry in self._serials else ():
            del self._serials[before]
            if before == entry:
                break
        await self._link.patiently(lambda: self._upkeep.advance(entry, serial, messages, size))

    async def _wait_for_a_move(self) -> None:
        """Wait until something was sent or confirmed, for a moment at most."""
        self._moved.clear()
        await until(self._moved, 1.0)
