"""One line: receive the frames of a feed's connection and have them written down."""

from __future__ import annotations

import asyncio
import contextlib

from chassis import clock
from chassis.backoff import Backoff
from chassis.lifecycle import NotDrained
from chassis.logs import Log
from chassis.redis import Link, Unavailable
from chassis.tasks import end, until
from chassis.websocket import BatchingClient, ConnectionClosed, InvalidHandshake, dial
from relay.feeds import Peer

from .backlog import Backlog
from .metrics import LineMetrics
from .pressure import Pressure
from .settings import Settings
from .writer import Writer

PING_EVERY = 20.0
"""Seconds between pings, which keep the line from looking idle."""

LEAST_WAIT = 0.1
"""Seconds until the next look at whether a sign of life is due, once the receiver was woken."""

MOST_WAIT = 1.0
"""The same while none is due."""


class Line:
    """The connection to one URL of a feed, made anew whenever it ends."""

    def __init__(self, link: Link, peer: Peer, settings: Settings, log: Log) -> None:
        self.peer = peer
        self.metrics = LineMetrics(peer.feed, peer.name)
        self.connected = False
        backlog = Backlog()
        self._link = link
        self._settings = settings
        self._log = log
        self._writer = Writer(link, peer, backlog, self.metrics)
        self._pressure = Pressure(link, peer, backlog, settings.backlog, self.metrics, log)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the line connected and its frames written until `stop`, then drain."""
        try:
            await self._link.patiently(self._pressure.count)
            backoff = Backoff(0.1, 10.0)
            while not stop.is_set():
                ending = await self._connect_once(backoff, stop)
                self.metrics.ended[ending].inc()
                if not stop.is_set():
                    await until(stop, backoff.delay())
        except Unavailable:
            self._log.warning("stopped without Redis", line=self.peer.name)
        finally:
            self.metrics.backlog.set(0)
            self.metrics.paused.set(0)

    async def _connect_once(self, backoff: Backoff, stop: asyncio.Event) -> str:
        """Connect, receive until the connection ends or `stop`; returns how it ended."""
        try:
            # A paused reader sees no pongs, so pings must not time out: `_watch` sees to that.
            async with dial(
                self.peer.url, stop=stop, ping_interval=PING_EVERY, ping_timeout=None
            ) as connection:
                backoff.succeeded()
                return await self._listen(connection, stop)
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
            if stop.is_set():
                return "stopped"
            self._log.warning("no connection", line=self.peer.name, error=_words(error))
            return "refused"

    async def _listen(self, connection: BatchingClient, stop: asyncio.Event) -> str:
        """Have the connection's frames written between notes of its begin and its end."""
        await self._writer.connected()
        self.connected = True
        self.metrics.connected.set(1)
        self._log.info("connected", feed=self.peer.feed, line=self.peer.name)
        watch = asyncio.ensure_future(self._watch(connection, stop))
        nudge = _Nudge(connection, self._writer)
        ending = "stopped"
        try:
            await self._receive(connection, stop)
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
            nudge.stop()
            await end(watch)
            self.connected = False
            self.metrics.connected.set(0)
        await self._writer.disconnected()
        return ending

    async def _receive(self, connection: BatchingClient, stop: asyncio.Event) -> None:
        """Write what comes, or that nothing does, one after the other until the connection ends."""
        while True:
            frames = await connection.receive()
            if not frames:
                await self._writer.alive()
                continue
            try:
                await self._writer.frames(frames)
            except Unavailable as error:
                lost = f"up to {len(frames)} frames of {self.peer.name} were not written"
                raise NotDrained(f"{lost}: {error}") from error
            await self._pressure.wait_for_room(self._writer, stop)

    async def _watch(self, connection: BatchingClient, stop: asyncio.Event) -> bool:
        """End the connection at `stop`, or when nothing is heard; tell whether it was silence."""
        limit = self._settings.idle_timeout
        while not await until(stop, min(1.0, limit / 4)):
            await self._pressure.look()
            await self._pressure.look_for_loss()
            silence = asyncio.get_running_loop().time() - connection.heard
            if silence > limit and not connection.reading_paused:
                self._log.warning("silent line", line=self.peer.name, seconds=round(silence, 1))
                connection.abort()
                return True
        # What has been received is still handed out before ConnectionClosed is raised.
        with contextlib.suppress(Exception):
            await connection.close()
        return False


class _Nudge:
    """Wakes the receiver of a connection when a sign of life is due.

    A timer that is set again only when it fires: frames that come meanwhile cost nothing.
    """

    def __init__(self, connection: BatchingClient, writer: Writer) -> None:
        self._connection = connection
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LEAST_WAIT, self._fire)

    def stop(self) -> None:
        """Wake nobody any more."""
        self._timer.cancel()

    def _fire(self) -> None:
        left = min(self._writer.due - clock.monotonic(), MOST_WAIT)
        if left <= 0:
            self._connection.nudge()
            left = LEAST_WAIT
        self._timer = self._loop.call_later(max(left, 0.001), self._fire)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
