"""One line: receive the frames of a feed's connection and have them written down."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any

from chassis import clock
from chassis.backoff import Backoff
from chassis.lifecycle import NotDrained
from chassis.logs import Log
from chassis.redis import Unavailable
from chassis.tasks import end, until
from chassis.websocket import BatchingClient, ConnectionClosed, InvalidHandshake, dial
from relay.feedfile import Feed
from relay.feeds import Peer
from relay.frames.reader import LARGEST_FRAME
from relay.talking import NotReady, unless

from .lane import Lane
from .metrics import LineMetrics
from .pressure import Pressure
from .settings import Settings
from .talk import Talk, refusal
from .writer import Writer

PING_EVERY = 20.0
"""Seconds between pings, which keep the line from looking idle."""

LEAST_WAIT = 0.1
"""Seconds until the next look at whether a sign of life is due, once the receiver was woken."""

MOST_WAIT = 1.0
"""The same while none is due."""

ROUND = 0.25
"""Seconds between two calls of `look_after`."""


class Line:
    """The connection to one URL of a feed, made anew whenever it ends."""

    def __init__(
        self, peer: Peer, lane: Lane, settings: Settings, log: Log, words: Feed | None = None
    ) -> None:
        """Prepare to read `peer` into its lane; `words`, if any, say how to talk to it."""
        self.peer = peer
        self.metrics = LineMetrics(peer.feed, peer.name)
        self.trouble = ""
        """Why a feed that is talked to is not connected, in its own words, as far as is known."""
        self._lane = lane
        self._log = log
        self._talk = Talk(lane.link, lane.name, words) if words else None
        self._pause = 0.0
        """Seconds to wait at least before the next attempt."""
        self._longest_silence = settings.idle_timeout
        self._longest_wordless = (words.message_timeout if words else None) or math.inf
        self._reading_since: float | None = None
        """Since when a message is waited for, on the event loop's clock; None: one is in hand."""
        self._pressure = Pressure(lane, peer, self.metrics, log)
        largest = words.max_message_size if words else None
        self._writer = Writer(
            lane, peer, self._pressure.backlog, self.metrics, largest or LARGEST_FRAME
        )
        self._connection: BatchingClient | None = None
        self._signs: _Signs | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    @property
    def state(self) -> str:
        """Say how the line is, for whoever looks on."""
        if self.connected:
            return "connected"
        return f"waiting: {self.trouble}" if self.trouble else "waiting"

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the line connected and its frames written until `stop`, then drain."""
        try:
            await self._lane.join(self._pressure)
            backoff = Backoff(0.1, 10.0)
            while not stop.is_set():
                ending = await self._connect_once(backoff, stop)
                self.metrics.ended[ending].inc()
                if not stop.is_set():
                    await until(stop, max(backoff.delay(), self._pause))
        except Unavailable:
            self._log.warning("stopped without Redis", line=self.peer.name)
        finally:
            self._lane.leave(self._pressure)
            self.metrics.backlog.set(0)
            self.metrics.paused.set(0)

    async def _connect_once(self, backoff: Backoff, stop: asyncio.Event) -> str:
        """Connect, receive until the connection ends or `stop`; returns how it ended."""
        self._pause = 0.0
        try:
            url, options = self.peer.url, dict[str, Any]()
            if self._talk:
                url, options = await unless(stop, self._talk.target())
            # A paused reader sees no pongs, so pings must not time out: `look_after` does.
            async with dial(
                url, stop=stop, ping_interval=PING_EVERY, ping_timeout=None, **options
            ) as connection:
                backoff.succeeded()
                if self._talk is None:
                    return await self._listen(connection, stop)
                async with self._talk.on(connection, stop):
                    return await self._listen(connection, stop)
        except (OSError, TimeoutError, InvalidHandshake, EOFError, NotReady) as error:
            if stop.is_set():
                return "stopped"
            self._log.warning("no connection", line=self.peer.name, error=self._shown(error))
            if self._talk:
                status, retry_after = refusal(error)
                self._part(
                    self._shown(error),
                    self._talk.ended(opened=False, status=status, retry_after=retry_after),
                )
            return "refused"

    async def _listen(self, connection: BatchingClient, stop: asyncio.Event) -> str:
        """Have the connection's frames written between notes of its begin and its end."""
        code, why = 0, ""
        await self._writer.connected()
        self._connection, self.trouble = connection, ""
        self.metrics.connected.set(1)
        self._log.info("connected", feed=self.peer.feed, line=self.peer.name)
        self._signs = _Signs(connection, self._writer)
        closing = asyncio.ensure_future(_close(connection, stop))
        ending = "stopped"
        try:
            await self._receive(connection, self._signs, stop)
        except ConnectionClosed as closed:
            if not stop.is_set():
                code = closed.rcvd.code if closed.rcvd else 1006
                ending = "closed" if code in (1000, 1001) else "dropped"
                if not self.connected:
                    ending = "idle"
                why = self._hidden(closed.rcvd.reason) if closed.rcvd else _words(closed)
                self._log.warning(
                    "disconnected", feed=self.peer.feed, line=self.peer.name, code=code,
                    reason=why, ending=ending,
                )  # fmt: skip
        finally:
            self._signs.stop()
            self._connection = self._signs = None
            await end(closing)
            self.metrics.connected.set(0)
        if self._talk:
            self._part(f"{code} {why}".strip(), self._talk.ended(opened=True, code=code))
        await self._writer.disconnected()
        return ending

    async def _receive(
        self, connection: BatchingClient, signs: _Signs, stop: asyncio.Event
    ) -> None:  # fmt: skip
        """Write what comes, or that nothing does, one after the other until the connection ends."""
        loop = asyncio.get_running_loop()
        self._reading_since = loop.time()
        while True:
            signs.idle = True
            frames = await connection.receive()
            signs.idle = False
            if not frames:
                await self._writer.alive()
                continue
            self._reading_since = None
            try:
                await self._writer.frames(frames)
            except Unavailable as error:
                count = len(frames) + await _unwritten(connection)
                lost = f"up to {count} frames of {self.peer.name} were not written"
                raise NotDrained(f"{lost}: {error}") from error
            if self._talk:
                self._talk.answer(connection, frames)
            await self._pressure.wait_for_room(self._writer, stop)
            signs.wake()
            self._reading_since = loop.time()

    def look_after(self, now: float) -> None:
        """End the connection when nothing is heard; mind its signs of life. `now`: the loop's.

        To be called every `ROUND` seconds, for all lines in one go: a task that wakes up for each
        would cost more than all else that a silent line does.
        """
        connection, signs = self._connection, self._signs
        if connection is None or signs is None:
            return
        if self._talk:
            self.metrics.refusals.set(self._talk.refusals)
        silence = now - connection.heard
        # A connection may stand and answer pings though nothing comes any more.
        wordless = now - self._reading_since if self._reading_since is not None else 0.0
        too_long = silence > self._longest_silence or wordless > self._longest_wordless
        if too_long and not connection.reading_paused:
            silence = max(silence, wordless)
            self._log.warning("silent line", line=self.peer.name, seconds=round(silence, 1))
            self._connection = None
            connection.abort()
        else:
            signs.look_after(clock.monotonic())

    def _part(self, trouble: str, pause: float) -> None:
        """Keep in mind why there is no connection, and for how long there shall be none."""
        self.trouble, self._pause = trouble, pause
        if self._talk:
            self.metrics.refusals.set(self._talk.refusals)

    def _shown(self, error: BaseException) -> str:
        return self._hidden(_words(error))

    def _hidden(self, text: str) -> str:
        """Leave the feed's secrets out of a text."""
        return self._talk.hide(text) if self._talk else text


class _Signs:
    """Wakes the receiver of a connection when a sign of life is due, as long as any are needed.

    A timer that is set again only when it fires: frames that come meanwhile cost nothing.
    """

    def __init__(self, connection: BatchingClient, writer: Writer) -> None:
        self.idle = False
        """Whether the receiver waits for something to come."""
        self._connection = connection
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.wake()

    def wake(self) -> None:
        """Begin, or go on: a frame has come."""
        if self._timer is None:
            self._timer = self._loop.call_later(LEAST_WAIT, self._fire)

    def stop(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def look_after(self, now: float) -> None:
        """Let time go by, or begin again if somebody needs signs; not if they are being given."""
        if self._timer is not None or not self.idle:
            return
        if self._writer.needed(now):
            self._connection.nudge()
            self.wake()
        elif now + ROUND >= self._writer.due:  # no more than that is counted at a time
            self._writer.pass_by(now)

    def _fire(self) -> None:
        self._timer = None
        now = clock.monotonic()
        if not self._writer.needed(now):
            return
        left = min(self._writer.due - now, MOST_WAIT)
        if left <= 0:
            if self._writer.asks(now):
                self._writer.pass_by(now)
            else:
                self._connection.nudge()
            left = LEAST_WAIT
        self._timer = self._loop.call_later(max(left, 0.001), self._fire)


async def _close(connection: BatchingClient, stop: asyncio.Event) -> None:
    """Close a connection at `stop`; what has been received is still handed out before it ends."""
    await stop.wait()
    with contextlib.suppress(Exception):
        await connection.close()


async def _unwritten(connection: BatchingClient) -> int:
    """End a connection and count what it has received that nobody has taken."""
    connection.abort()
    count = 0
    with contextlib.suppress(ConnectionClosed):
        while True:
            count += len(await connection.receive())
    return count


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
