"""What a line writes: its batches, the changes of its connection, its signs of life, in order.

It writes one thing after the other, so a part's place in `raw` is its place in what happened.
"""

from __future__ import annotations

from typing import Any

from chassis import clock
from relay import keys, raw
from relay.feeds import Peer
from relay.frames.reader import LARGEST_FRAME
from relay.messages import Reject
from relay.rejected import park

from .backlog import Backlog
from .lane import Lane
from .listening import Listening
from .metrics import LineMetrics

UNREAD = 1000
"""Signs of life that may lie in `raw` unread: where nobody reads, nobody needs more."""

RECENT = 2.0
"""Seconds after a frame in which signs of life are written until it shows whether the feed holds
frames back. If the orderer is later than that, it learns later how much time has gone by."""


class Writer:
    """The hand of one line; all but `alive` are written however long Redis takes."""

    def __init__(
        self, lane: Lane, peer: Peer, backlog: Backlog, metrics: LineMetrics,
        largest: int = LARGEST_FRAME,
    ) -> None:  # fmt: skip
        """Prepare to write what `peer` sends; frames above `largest` bytes are rejected."""
        self._largest = largest
        self._lane = lane
        self._peer = peer
        self._backlog = backlog
        self._metrics = metrics
        self._connection = ""
        self._listening = Listening(0.0)

    @property
    def due(self) -> float:
        """When a sign of life is due, on the monotonic clock; inf: not at all."""
        return self._listening.due

    def needed(self, now: float) -> bool:
        """Tell whether signs of life are needed: time matters to feeds that hold frames back only.

        Without frames none can come to be held back, so it is enough to know how it was when the
        last ones had been read.
        """
        lane, latest = self._lane, self._backlog.latest
        unknown = not lane.has_read(latest) and self._listening.silence(now) < RECENT
        return unknown or lane.waits_for_time(self._peer.feed, now)

    def asks(self, now: float) -> bool:
        """Tell whether it is being asked if a sign of life is needed.

        That is what to do before the first one after frames: mostly the orderer has read them and
        holds nothing back, and to ask costs a third of what Redis and it have to do for a sign.
        """
        lane = self._lane
        known = lane.has_read(self._backlog.latest) or lane.waits_for_time(self._peer.feed, now)
        return not known and lane.glance(self._listening.heard)

    def pass_by(self, now: float) -> None:
        """Count the time in which nothing came, where nobody needs a sign of life."""
        self._listening.pass_by(now)

    async def connected(self) -> None:
        """Write that a connection stands, a new one."""
        self._connection = clock.token(4)
        self._listening = Listening(clock.monotonic())
        await self._change(keys.CONNECTED)

    async def disconnected(self) -> None:
        """Write that the connection has ended."""
        await self._change(keys.DISCONNECTED)

    async def paused(self) -> None:
        """Write that the feed is not read for a while."""
        await self._change(keys.PAUSED)
        self._listening.hold_back()

    async def resumed(self) -> None:
        """Write that the feed is read again."""
        self._listening.go_on(clock.monotonic())
        await self._change(keys.RESUMED)

    async def alive(self) -> None:
        """Write that nothing comes, if Redis takes it at once; the next one comes soon enough."""
        values = self._pack_change(keys.ALIVE)
        if self._backlog.beats < UNREAD and await self._lane.pen.attempt(
            self._peer.feed, values, self._metrics.write.observe
        ):
            self._backlog.beats += 1
        else:
            self._listening.take_back()

    async def frames(self, frames: list[bytes]) -> None:
        """Write frames, just received, as few entries."""
        received = clock.wall_us()
        listened = self._listening.entry(clock.monotonic(), frames=True)
        if any(len(frame) > self._largest for frame in frames):
            frames = await self._without_oversized(frames)
        metrics = self._metrics
        for batch in raw.batches(frames):
            values = raw.pack_batch(received, self._peer.name, self._connection, listened, batch)
            size = sum(map(len, batch))
            await self._append(values, len(batch), size)
            metrics.frames.inc(len(batch))
            metrics.bytes.inc(size)
            metrics.batch.observe(len(batch))
        metrics.heard.set(received / 1e6)

    async def _change(self, event: bytes) -> None:
        await self._append(self._pack_change(event), 0)

    def _pack_change(self, event: bytes) -> list[Any]:
        listened = self._listening.entry(clock.monotonic(), frames=False)
        return raw.pack_change(
            clock.wall_us(), self._peer.name, self._connection, listened, event
        )  # fmt: skip

    async def _append(self, values: list[Any], frames: int, size: int = 0) -> None:
        """Add a part to `raw`."""
        entry = await self._lane.pen.write(
            self._peer.feed, values, frames, size, self._metrics.write.observe
        )
        self._backlog.wrote(entry, frames)

    async def _without_oversized(self, frames: list[bytes]) -> list[bytes]:
        """Park the frames that are too large; returns the others."""
        large = [frame for frame in frames if len(frame) > self._largest]
        self._metrics.oversized.inc(len(large))
        rejects = [Reject("oversized", self._peer.name, frame) for frame in large]
        link, lane, feed = self._lane.link, self._lane.name, self._peer.feed
        await link.patiently(lambda: park(link, lane, feed, rejects))
        return [frame for frame in frames if len(frame) <= self._largest]
