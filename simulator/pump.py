"""The feed's shell: keep the schedule's pace and write the same frames to every connection."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from chassis import clock, tasks
from chassis.logs import Log
from chassis.websocket import OPEN, WRITE_LIMIT, BatchingServer, ConnectionClosed

from . import metrics
from .feed import ABORT, Binary, Chunk, Feed
from .numbering import Numbering
from .sent import Sent

PLACES = 1000
"""Places to walk at a time; more would only make the endpoint, on the same loop, wait."""

TICK = 0.001
"""Seconds between two writes at least, when there is a rate; timers are no finer."""

STUCK = 10.0
"""Seconds that one connection may hold up the feed before it is dropped."""

CLOSING = 5.0
"""Seconds that a client may take to confirm what it received before a cut."""

_TEXT = [bytes((0x81, size)) for size in range(126)]
_BINARY = [bytes((0x82, size)) for size in range(126)]


def to_wire(chunk: Chunk) -> bytes:
    """Put each frame's two-byte header before it.

    The messages of the feed are short, and a server's frames are not masked; so the bytes can
    be built once for all connections, at a tenth of the cost of one `send()` each.
    """
    if chunk.binary:
        return b"".join(
            (_BINARY if type(frame) is Binary else _TEXT)[len(frame)] + frame
            for frame in chunk.frames
        )
    text = _TEXT
    return b"".join([text[len(frame)] + frame for frame in chunk.frames])


class Pump:
    """Send a feed to whoever is connected; it pauses while nobody is."""

    def __init__(self, feed: Feed, numbering: Numbering, sent: Sent, rate: float, log: Log) -> None:
        self._feed = feed
        self._numbering = numbering
        self._sent = sent
        self._rate = rate
        self._log = log
        self._lines: set[BatchingServer] = set()
        self._changed = asyncio.Event()
        self._emptied = asyncio.Event()
        self._written = self._lost = self._repeated = self._garbage = 0
        self._disconnections = 0

    async def hold(self, connection: BatchingServer) -> None:
        """Let a connection take part until it is closed; what it says is ignored."""
        self._lines.add(connection)
        self._changed.set()
        metrics.FEED_CONNECTIONS.inc()
        try:
            while True:
                await connection.receive()
        finally:
            metrics.FEED_CONNECTIONS.dec()
            self._lines.discard(connection)
            self._changed.set()
            if not self._lines:
                self._emptied.set()

    async def run(self) -> None:
        """Send the feed, for ever: once it is finished the connections stay open, silent."""
        while True:
            while not self._is_heard():
                await self._change()
            self._emptied.clear()
            await self._send(self._feed.rewind())
            start = clock.monotonic() - self._feed.place / (self._rate or 1)
            while not self._emptied.is_set():
                await self._step(start)

    async def _step(self, start: float) -> None:
        """Send what is due of a feed that would have begun at `start`."""
        feed = self._feed
        if not self._is_heard():
            self._emptied.set()
            return
        if feed.finished:
            await self._change()
            return
        places = PLACES
        if self._rate:
            due = (clock.monotonic() - start) * self._rate
            places = int(due) + 1 - feed.place
            if places <= 0:
                await tasks.until(self._emptied, max(TICK, (feed.place - due) / self._rate))
                return
        chunk = feed.take(min(places, PLACES))
        await self._send(chunk)
        if chunk.cut is not None:
            await self._disconnect(chunk.cut)
        if self._feed.finished:  # not `feed`: to mypy that one is as it was above
            self._log.info("feed finished", **self.state())
        await asyncio.sleep(TICK if self._rate and places <= PLACES else 0)

    def _is_heard(self) -> bool:
        """Tell whether anybody is connected, not counting those who are closing."""
        return any(line.state is OPEN for line in self._lines)

    async def _change(self) -> None:
        """Wait until a connection has come or gone."""
        self._changed.clear()
        await self._changed.wait()

    async def _send(self, chunk: Chunk) -> None:
        """Write a chunk to all connections, then wait until each can take more."""
        wire = to_wire(chunk)
        self._sent.note(chunk.spans, clock.monotonic())
        for line in self._lines:
            if wire and line.state is OPEN:
                line.transport.write(wire)
        self._count(chunk)
        for line in list(self._lines):
            if line.unwritten > WRITE_LIMIT:
                try:
                    with contextlib.suppress(ConnectionError):
                        async with asyncio.timeout(STUCK):
                            await line.drain()
                except TimeoutError:
                    self._log.warning("connection to the feed is stuck", seconds=STUCK)
                    metrics.FEED_STUCK.inc()
                    line.abort()

    async def _disconnect(self, code: int) -> None:
        """Close all connections, with a close code or roughly."""
        self._disconnections += 1
        metrics.FEED_DISCONNECTIONS.inc()
        await asyncio.gather(*(self._close(line, code) for line in list(self._lines)))

    @staticmethod
    async def _close(line: BatchingServer, code: int) -> None:
        if code != ABORT:
            await line.close(code, "the feed disconnects")
            return
        # What is counted as sent should have arrived: only the end is rough.
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(CLOSING):
                await (await line.ping())
        line.abort()

    def _count(self, chunk: Chunk) -> None:
        self._written += len(chunk.frames)
        self._lost += chunk.lost
        self._repeated += chunk.repeated
        self._garbage += chunk.garbage
        for counter, count in (
            (metrics.SENT, chunk.sent),
            (metrics.LOST, chunk.lost),
            (metrics.REPEATED, chunk.repeated),
            (metrics.GARBAGE, chunk.garbage),
        ):
            if count:
                counter.inc(count)

    def state(self) -> dict[str, Any]:
        """Tell how far the feed is, as `GET /feed` shows it."""
        feed = self._feed
        begun = feed.place if feed.total is None else min(feed.place, feed.total)
        generation, _ = self._numbering.locate(max(0, begun - 1))
        _, next_id = self._numbering.locate(begun)
        return {
            "sent": self._sent.count,
            "written": self._written,
            "total": feed.total,
            "lost": self._lost,
            "repeated": self._repeated,
            "garbage": self._garbage,
            "held": feed.held,
            "finished": feed.finished,
            "generation": generation,
            "next_id": next_id,
            "connections": len(self._lines),
            "disconnections": self._disconnections,
        }
