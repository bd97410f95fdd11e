"""One connection to an endpoint: messages go out, confirmations come in, positions are saved."""

from __future__ import annotations

import asyncio
import contextlib
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Protocol

from chassis import clock
from chassis.logs import Log
from chassis.tasks import first, until
from relay import ordered
from relay.feeds import Peer
from relay.ordered import Entry, Span

from .acks import Acks
from .asking import Asking, Stuck
from .contiguity import Contiguity
from .entries import batches, fitting
from .lane import Lane
from .manner import Manner
from .meter import Meter
from .metrics import SinkMetrics
from .settings import AT_MOST_ONCE, Settings
from .window import Confirmed, Window

CONFIRM_EVERY = 0.02
"""Seconds between questions while messages flow. With many sinks it is `PACE` for each of them."""

PACE = 0.001

HEARD_AT_ONCE = 100
"""Frames that are looked into before others have their turn."""

DISCARD_EVERY = 0.05
"""Seconds between two times that what an endpoint says is dropped."""

LAST_CONFIRMATION = 3.0
"""Seconds that a stopping sink waits for the last pong."""


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
        self, connection: Connection, peer: Peer, lane: Lane, stop: asyncio.Event, *,
        pace: Callable[[], float], meter: Meter, metrics: SinkMetrics, settings: Settings, log: Log,
        manner: Manner | None = None, hear: Callable[[list[bytes]], None] | None = None,
    ) -> None:  # fmt: skip
        """Prepare to send the messages of the peer's feed until `stop`, while the lease stands.

        `pace` tells how many seconds to leave between two questions, `manner` how the endpoint
        wants its messages, and `hear` is given what it says that confirms nothing.
        """
        self._connection = connection
        self._peer = peer
        self._lane = lane
        self._stop = stop
        self._pace = pace
        self._meter = meter
        self._metrics = metrics
        self._log = log
        self._at_most_once = settings.delivery == AT_MOST_ONCE
        position = lane.positions[peer]
        self._tail = lane.stream.tail(peer, position)
        self._contiguity = Contiguity(position.serial)
        self._on_the_way: dict[bytes, tuple[int | None, int]] = {}
        """Of entries that are: the serial of the last message, and when the first was received."""
        self._manner = manner
        self._hear = hear
        self._window = Window(settings.stuck_timeout, manner.most if manner else math.inf)
        self._ending = ""  # once no more messages are going to be sent: why
        self._moved = asyncio.Event()  # when something is confirmed
        self._asking: Asking | Acks
        self._acks: Acks | None = None
        if manner is not None and manner.ack is not None:
            patience = settings.stuck_timeout
            self._asking = self._acks = Acks(manner.ack, self._window, self._confirm, patience)
        else:
            self._asking = Asking(connection, self._window, pace, self._confirm)
            connection.on_pong = self._asking.pong

    def wake(self) -> None:
        """Look again whether to stop."""
        self._tail.wake()

    @property
    def waiting_since(self) -> int | None:
        """When the oldest message was received that is not confirmed, µs; None: not known."""
        return next((since for _, since in self._on_the_way.values()), self._tail.since)

    async def run(self) -> str:
        """Send until told to stop, or until what follows wants another connection; returns which.

        Either way it waits for what was sent to be confirmed. Raises ConnectionClosed and Stuck.
        """
        try:
            # The first is the session; the others serve it, and end with it or by raising.
            await first(self._send_and_drain(), self._live(), self._listen())
        finally:
            self._asking.stop()
            self._tail.close()
        return self._ending

    async def _live(self) -> None:
        """Drop the connection when the endpoint is stuck."""
        try:
            await self._asking.stuck
        except Stuck:
            self._connection.abort()
            raise

    async def _send_and_drain(self) -> None:
        self._ending = await self._messages()
        if not self._stop.is_set():
            await first(self._drain(), self._stop.wait())
        if self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drain(), LAST_CONFIRMATION)

    async def _drain(self) -> None:
        """Wait until all is confirmed, and that is saved."""
        while self._window.messages:
            self._asking.hurry()
            await self._wait_for_a_move()
        await self._lane.saved(self._peer)

    async def _listen(self) -> None:
        """Take what the endpoint says; if nobody wants to hear it, so that its pongs come through.

        Its pongs are heard at once; but who talks without end fills the connection's inbox, and is
        then not read until the next time. Otherwise it would have the process to itself.
        """
        while True:
            frames = await self._connection.receive()
            if self._acks is None and self._hear is None:
                await asyncio.sleep(DISCARD_EVERY)
                continue
            for at in range(0, len(frames), HEARD_AT_ONCE):
                part = frames[at : at + HEARD_AT_ONCE]
                acks = self._acks
                rest = part if acks is None else [one for one in part if not acks.heard(one)]
                if rest and self._hear is not None:
                    self._hear(rest)
                await asyncio.sleep(0)

    # Messages out ----------------------------------------------------------------------------

    async def _messages(self) -> str:
        """Send messages; returns how that ended.

        A connection of its own is for a new numbering, and for what an older state of Redis
        makes go back.
        """
        written: dict[bytes, Span] = {}
        shared = self._lane.stream.shared
        while not self._stop.is_set():
            entries = await self._tail.take()
            spans = fitting(entries, written, shared=shared)
            for span in spans:
                if missing := self._contiguity.missing(span):
                    self._sound_the_alarm(span, missing)
            same = entries[: len(spans)]
            for (entry, values), span in zip(same, spans, strict=True):
                self._on_the_way[entry] = span.serial, ordered.received_at(values)
            for batch in batches(same, self._window.slice):
                if not await self._room() or not await self._write(batch):
                    return "stopped"
            written.update((span.key, span) for span in spans)
            if len(same) < len(entries):
                odd = ordered.span(*entries[len(same)], shared=shared)
                if odd.key in written and odd.epoch == written[odd.key].epoch:
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

    async def _room(self, *, begun: bool = False) -> bool:
        """Wait until less is on its way than the window; returns False to send no more.

        What is `begun` goes on in spite of `stop`, as long as the lease stands.
        """
        while not self._stop.is_set():
            if self._window.full:
                self._metrics.paused.set(1)
                await self._wait_for_a_move()
            elif not self._lane.lease.held:
                # It has run out and may be renewed or lost at any moment.
                await asyncio.sleep(0.05)
            else:
                break
        self._metrics.paused.set(0)
        return not self._stop.is_set() or (begun and self._lane.lease.held)

    async def _write(self, entries: list[Entry]) -> bool:
        """Write entries, slice by slice; returns False to send no more."""
        messages: list[bytes] = []
        ends: dict[int, bytes] = {}
        for entry, values in entries:
            messages += ordered.messages(values)
            ends[len(messages)] = entry
        last, total, counts = entries[-1][0], len(messages), list(ends)
        size = sum(map(len, messages)) + 8 * total
        if self._at_most_once:
            fence = self._lane.lease.value
            await self._lane.save(self._peer, last, self._forget(last))
            # If that took long, another may have had the lease, and have sent these.
            if not await self._room(begun=True) or self._lane.lease.value != fence:
                return False
        at = 0
        while at < total:
            if at and not await self._room(begun=True):
                return False
            count = self._window.fitting(min(total - at, -(-total * self._window.slice // size)))
            if self._manner is not None:
                count = await self._manner.allow(count, self._stop)
                if not count:
                    return False
            part = messages[at : at + count]
            if self._acks is None:
                ended = bisect_right(counts, at + count)
                done = max(at, counts[ended - 1]) if ended else at
                self._write_part(part, done - at, ends.get(done, b""), size * count // total)
            else:
                self._write_singly(part, [ends.get(at + one, b"") for one in range(1, count + 1)])
            at += count
            self._meter.count(len(part))
            self._metrics.unconfirmed.set(self._window.messages)
        self._meter.observe(entries)
        return True

    def _write_part(self, part: list[bytes], done: int, end: bytes, size: int) -> None:
        """Write some messages; the first `done` of them end the entry `end`, the rest goes on.

        There is no drain(): the window bounds what may wait here, and confirmations tell whether
        it moves.
        """
        now, ping = clock.monotonic(), None
        of_rest = size * (len(part) - done) // len(part)
        if done:
            ping = self._window.send(end, done, size - of_rest, now)
        if done < len(part):
            ping = self._window.send(b"", len(part) - done, of_rest, now) or ping
        if self._manner is not None:
            part = [self._manner.put(message) for message in part]
        self._connection.write(part, self._asking.sending() or ping)

    def _write_singly(self, part: list[bytes], ends: list[bytes]) -> None:
        """Write messages that are confirmed one by one, each with the entry that it ends."""
        manner, acks, now = self._manner, self._acks, clock.monotonic()
        if manner is None or acks is None:
            return
        put = []
        for message, end in zip(part, ends, strict=True):
            self._window.send(end, 1, len(message), now)
            put.append(manner.put(message))
            acks.sent(manner.count)
        self._connection.write(put)

    # Confirmations in ------------------------------------------------------------------------

    def _confirm(self, confirmed: Confirmed) -> None:
        """Note what a pong confirms, and have that saved."""
        if confirmed.entry and not self._at_most_once:
            self._lane.confirm(self._peer, confirmed.entry, self._forget(confirmed.entry))
        now = clock.monotonic()
        for part in confirmed.sent:
            self._metrics.round_trip.observe(now - part.when, part.messages)
            self._metrics.confirmed.inc(part.messages)
        self._metrics.unconfirmed.set(self._window.messages)
        self._moved.set()

    def _forget(self, entry: bytes) -> int | None:
        """Forget what was on its way up to an entry; tells its serial."""
        serial, _ = self._on_the_way[entry]
        for before in list(self._on_the_way):
            del self._on_the_way[before]
            if before == entry:
                break
        return serial

    async def _wait_for_a_move(self) -> None:
        """Wait until something is confirmed, for a moment at most."""
        self._moved.clear()
        await until(self._moved, 1.0)
