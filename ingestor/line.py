"""One line: receive the frames of a feed's connection and write them to Redis in batches."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Coroutine
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from chassis.backoff import Backoff
from chassis.lease import Lease
from chassis.lifecycle import NotDrained
from chassis.logs import Log
from chassis.redis import Link, Unavailable, transient
from chassis.tasks import end, until
from chassis.websocket import BatchingClient, dial
from relay import keys
from relay.feeds import Peer

from .backlog import Backlog, unsent
from .metrics import LineMetrics
from .settings import Settings

BATCH_FRAMES = 2000
"""Frames in one entry at most."""

BATCH_BYTES = 1024 * 1024
"""Bytes of frames in one entry, roughly at most."""

LARGEST_FRAME = 1024 * 1024
"""Bytes; larger frames are rejected and only their beginning is kept."""

REJECTED_LENGTH = 1000
"""Entries in the stream of rejected frames."""

REJECTED_BYTES = 4096
"""Bytes of a rejected frame that are kept."""

PING_EVERY = 20.0
"""Seconds between pings, which keep the line from looking idle."""

NAMES = [b"%d" % at for at in range(BATCH_FRAMES)]
"""Field names of the frames in a batch."""


class Line:
    """The connection to one URL of a feed, made anew whenever it ends."""

    def __init__(self, link: Link, peer: Peer, settings: Settings, log: Log) -> None:
        self.peer = peer
        self.metrics = LineMetrics(peer.feed, peer.name)
        self.connected = False
        self._link = link
        self._settings = settings
        self._log = log
        self._backlog = Backlog()
        self._raw = keys.raw(peer.feed)
        self._paused = False
        self._noting = asyncio.Lock()
        """Held while a note is made, so that the last one written is the one that is true."""

    # From start to stop --------------------------------------------------------------------

    async def run(self, lease: Lease, stop: asyncio.Event) -> None:
        """Keep the line connected and its frames written until `stop`, then drain."""
        try:
            await self._link.patiently(self._announce)
            backoff = Backoff(0.1, 10.0)
            while not stop.is_set():
                ending = await self._connect_once(backoff, lease, stop)
                self.metrics.ended[ending].inc()
                if not stop.is_set():
                    await until(stop, backoff.delay())
        except Unavailable:
            self._log.warning("stopped without Redis", line=self.peer.name)
        finally:
            self.metrics.backlog.set(0)
            self.metrics.paused.set(0)

    async def _announce(self) -> None:
        """Make the feed known, and count what an earlier ingestor left waiting."""
        client = self._link.client
        await client.sadd(keys.FEEDS, self.peer.feed)
        seen = await client.hget(keys.order(self.peer.feed), keys.ORDER_SEEN) or b"0-0"
        backlog = Backlog()
        cursor = seen
        while backlog.frames <= self._settings.backlog:
            entries = await client.xrange(self._raw, b"(" + cursor, "+", count=50)
            if not entries:
                break
            for entry, values in entries:
                backlog.wrote(entry, 0 if keys.EVENT in values[6:7] else len(values) // 2 - 3)
            cursor = entries[-1][0]
        self._backlog = backlog

    async def _connect_once(self, backoff: Backoff, lease: Lease, stop: asyncio.Event) -> str:
        """Connect, receive until the connection ends or `stop`; returns how it ended."""
        try:
            # A paused reader sees no pongs, so pings must not time out: `_watch` sees to that.
            async with dial(
                self.peer.url, stop=stop, ping_interval=PING_EVERY, ping_timeout=None
            ) as connection:
                backoff.succeeded()
                return await self._receive(connection, lease, stop)
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            if stop.is_set():
                return "stopped"
            self._log.warning("no connection", line=self.peer.name, error=_words(error))
            return "refused"

    async def _receive(self, connection: BatchingClient, lease: Lease, stop: asyncio.Event) -> str:
        """Write down the connection's frames between two notes, of its begin and its end."""
        name = secrets.token_hex(4)
        held = lease.value
        await self._note(name, keys.CONNECTED)
        self.connected = True
        self.metrics.connected.set(1)
        self._log.info("connected", feed=self.peer.feed, line=self.peer.name)
        watch = asyncio.ensure_future(self._watch(connection, name, lease, held, stop))
        ending = "stopped"
        try:
            while True:
                frames = await connection.receive()
                try:
                    await self._write(frames, name)
                except Unavailable as error:
                    lost = f"up to {len(frames)} frames of {self.peer.name} were not written"
                    raise NotDrained(f"{lost}: {error}") from error
                await self._wait_for_room(name, stop)
        except ConnectionClosed as closed:
            if not stop.is_set():
                code = closed.rcvd.code if closed.rcvd else 1006
                ending = "closed" if code in (1000, 1001) else "dropped"
                if watch.done() and watch.result():
                    ending = "idle"
                self._log.warning(
                    "disconnected", feed=self.peer.feed, line=self.peer.name, code=code,
                    reason=closed.rcvd.reason if closed.rcvd else _words(closed), ending=ending,
                )  # fmt: skip
        finally:
            async with self._noting:
                await end(watch)
            self.connected = False
            self.metrics.connected.set(0)
        await self._note(name, keys.DISCONNECTED)
        return ending

    async def _watch(
        self, connection: BatchingClient, name: str, lease: Lease, held: str, stop: asyncio.Event
    ) -> bool:
        """End the connection at `stop`, or when nothing is heard; tell whether it was silence."""
        limit = self._settings.idle_timeout
        while not await until(stop, min(1.0, limit / 4)):
            # While the lease had run out, the orderer may have presumed the line dead.
            value = lease.value
            if value and value != held and await self._try(self._reassure(name)):
                held = value
            await self._look()
            await self._try(self._look_for_loss())
            silence = asyncio.get_running_loop().time() - connection.heard
            if silence > limit and not connection.reading_paused:
                self._log.warning("silent line", line=self.peer.name, seconds=round(silence, 1))
                connection.abort()
                return True
        # What has been received is still handed out before ConnectionClosed is raised.
        with contextlib.suppress(Exception):
            await connection.close()
        return False

    # Writing -------------------------------------------------------------------------------

    async def _write(self, frames: list[bytes], connection: str) -> None:
        """Write `frames` as few entries, at most `BATCH_FRAMES` in each."""
        received = time.time_ns() // 1000
        if any(len(frame) > LARGEST_FRAME for frame in frames):
            frames = await self._without_oversized(frames)
        start = 0
        while start < len(frames):
            batch = _cut(frames, start)
            start += len(batch)
            values: list[Any] = [None] * (2 * len(batch))
            values[0::2] = NAMES[: len(batch)]
            values[1::2] = batch
            await self._append(
                [keys.T, received, keys.LINE, self.peer.name, keys.CONN, connection, *values],
                len(batch),
            )
            self.metrics.frames.inc(len(batch))
            self.metrics.bytes.inc(sum(map(len, batch)))
            self.metrics.batch.observe(len(batch))
        self.metrics.heard.set(received / 1e6)

    async def _append(self, values: list[Any], frames: int) -> None:
        """Add an entry to `raw`. A lost reply may write it twice: the orderer drops repeats."""

        async def add() -> bytes:
            began = time.perf_counter()
            entry: bytes = await self._link.client.execute_command("XADD", self._raw, "*", *values)
            self.metrics.write.observe(time.perf_counter() - began)
            return entry

        self._backlog.wrote(await self._link.patiently(add), frames)

    async def _note(self, connection: str, event: bytes) -> None:
        """Write down a change of the connection, in its place among the frames."""
        async with self._noting:
            await self._append(self._event(connection, event), 0)
            self._paused = event == keys.PAUSED

    async def _reassure(self, connection: str) -> None:
        """Write down that the connection still stands, unless its feed is paused."""
        async with self._noting:
            if not self._paused:
                values = self._event(connection, keys.RESUMED)
                await self._link.client.execute_command("XADD", self._raw, "*", *values)

    def _event(self, connection: str, event: bytes) -> list[Any]:
        return [
            keys.T, time.time_ns() // 1000, keys.LINE, self.peer.name,
            keys.CONN, connection, keys.EVENT, event,
        ]  # fmt: skip

    async def _without_oversized(self, frames: list[bytes]) -> list[bytes]:
        """Park the frames that are too large; returns the others."""
        large = [frame for frame in frames if len(frame) > LARGEST_FRAME]
        self.metrics.oversized.inc(len(large))

        async def park() -> None:
            pipeline = self._link.client.pipeline(transaction=False)
            for frame in large:
                pipeline.xadd(
                    keys.rejected(self.peer.feed),
                    {
                        keys.REJECTED_REASON: "oversized",
                        keys.REJECTED_LINE: self.peer.name,
                        keys.REJECTED_SIZE: len(frame),
                        keys.REJECTED_FRAME: frame[:REJECTED_BYTES],
                    },
                    maxlen=REJECTED_LENGTH,
                )
            await pipeline.execute()

        await self._link.patiently(park)
        return [frame for frame in frames if len(frame) <= LARGEST_FRAME]

    # Backpressure --------------------------------------------------------------------------

    async def _wait_for_room(self, connection: str, stop: asyncio.Event) -> None:
        """Hold the feed back while too many frames wait, until a quarter of them has gone."""
        limit = self._settings.backlog
        backlog = self._backlog
        if backlog.unchecked >= max(1, limit // 16):
            await self._look()
        if backlog.waiting < limit:
            return
        self._log.warning("feed paused", line=self.peer.name, backlog=backlog.waiting)
        await self._note(connection, keys.PAUSED)
        self.metrics.paused.set(1)
        while backlog.waiting > limit * 3 // 4 and not await until(stop, 0.05):
            await self._look()
        self.metrics.paused.set(0)
        await self._note(connection, keys.RESUMED)
        self._log.info("feed resumed", line=self.peer.name, backlog=backlog.waiting)

    async def _look(self) -> None:
        """Learn how far the orderer and the sinks are, and see that the feed is still known."""
        await self._try(self._measure())
        self.metrics.backlog.set(self._backlog.waiting)

    async def _try(self, job: Coroutine[Any, Any, None]) -> bool:
        """Do what may fail for now, and tell whether it did not."""
        try:
            await job
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)
            return False
        return True

    async def _measure(self) -> None:
        feed = self.peer.feed
        client = self._link.client
        await client.sadd(keys.FEEDS, feed)
        fields = [keys.ORDER_SEEN, keys.ORDER_EPOCH, keys.ORDER_NEXT]
        seen, epoch, following = await client.hmget(keys.order(feed), fields)
        self._backlog.seen(seen or b"0-0")
        if epoch is None:
            self._backlog.sent(0, False)
            return
        ordered = keys.ordered(feed)
        after = await client.get(keys.slowest(feed))
        older = False
        if after is None or after.partition(b"-")[0] != epoch:
            beyond = await client.xrange(ordered, b"(" + after if after else "-", "+", count=1)
            older = bool(beyond) and int(beyond[0][0].partition(b"-")[0]) < int(epoch)
            # No sink has come to this epoch yet: all that is there of it waits.
            oldest = await client.xrange(ordered, epoch + b"-0", "+", count=1)
            after = oldest[0][0] if oldest else None
        self._backlog.sent(unsent(epoch, following, after), older)

    async def _look_for_loss(self) -> None:
        """Forget the entries that `raw` no longer has although the orderer has not read them."""
        oldest = self._backlog.oldest
        if oldest is not None:
            found = await self._link.client.xrange(self._raw, oldest, "+", count=1)
            self._backlog.lost(found[0][0] if found else None)


def _cut(frames: list[bytes], start: int) -> list[bytes]:
    """Take as many frames from `start` on as fit into one entry, at least one."""
    batch = frames[start : start + BATCH_FRAMES]
    size = 0
    for at, frame in enumerate(batch):
        size += len(frame)
        if size > BATCH_BYTES and at:
            return batch[:at]
    return batch


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
