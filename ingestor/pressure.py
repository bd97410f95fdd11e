"""Holds a feed back while too much of it waits in Redis."""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple

from chassis.logs import Log
from chassis.tasks import until
from relay.feeds import Peer

from .backlog import Backlog
from .lane import Lane
from .metrics import LineMetrics
from .writer import Writer

GONE = 3 / 4
"""Share of what may wait at which a feed that was held back is read again."""

ASIDE = 1 / 5
"""Share of its memory that a shared lane may need for what is set aside of it; feeds for which
something is are held back then, and the others go on."""

CRAMMED = 5 / 4
"""How much of its memory a shared lane takes when all of its feeds are held back."""

LEAST_PAUSE = 0.05
"""Seconds between two looks at what waits, while a feed is held back, at least."""

MOST_PAUSE = 0.5
"""The same, at most: a look takes long for other reasons, too."""

REST = 20
"""How many times as long as a look it is until the next: to measure 500 MiB takes Redis 30 ms."""


class Load(NamedTuple):
    """What waits of a line and of its lane, and what may."""

    frames: int
    """Frames of the line."""
    most: int
    """Frames of a line that may wait."""
    average: float
    """Frames that wait of a line of the lane, on the average."""
    stored: int
    """Bytes that the lane needs."""
    room: float
    """Bytes that it may need."""
    shared: bool
    """Whether other feeds are in the lane, too."""
    aside: int
    """Bytes that are set aside in the lane for endpoints that are away, if any for this feed's."""
    short: bool
    """Whether Redis has no memory for anybody."""

    def full(self, share: float) -> bool:
        """Tell whether this share of what may wait does, so that the line is to be held back.

        Frames are each line's own. Bytes are the lane's, and can be told apart by feed only by
        looking at each entry; so where feeds share a lane that is full, those are held back first
        of which more waits than on the average: who sends little is not to suffer from who sends
        much. Is the lane above that by a quarter all the same, it is held back as a whole.
        """
        if self.frames >= self.most * share or self.short:
            return True
        room = self.room * share
        if not self.shared:
            return self.stored >= room
        if self.aside >= room * ASIDE:
            return True
        room *= 1 - ASIDE
        return self.stored >= room and (self.frames > self.average or self.stored >= room * CRAMMED)


class Pressure:
    """The back-pressure of one line: what waits, and whether there is room for more."""

    def __init__(self, lane: Lane, peer: Peer, metrics: LineMetrics, log: Log) -> None:
        """Watch over what waits of `peer`."""
        self.peer = peer
        self.backlog = Backlog()
        self.paused = False
        """Whether the feed is held back."""
        self._lane = lane
        self._metrics = metrics
        self._log = log

    def tell(self) -> None:
        """Tell the metrics what waits."""
        self._metrics.backlog.set(self.backlog.waiting)

    async def wait_for_room(self, writer: Writer, stop: asyncio.Event) -> None:
        """Hold the feed back while too much waits, until a quarter of it has gone."""
        backlog, lane = self.backlog, self._lane
        if (
            backlog.unchecked >= max(1, lane.limit // 16)
            or lane.pen.unchecked >= lane.allowance.feed // 16
        ):
            await lane.look()
        if not self._full(1.0):
            return
        self._log.warning(
            "feed paused", feed=self.peer.feed, line=self.peer.name, backlog=backlog.waiting,
            bytes=lane.stored,
        )  # fmt: skip
        await writer.paused()
        self.paused = True
        self._metrics.paused.set(1)
        try:
            pause = LEAST_PAUSE
            while self._full(GONE) and not await until(stop, pause):
                # Others of the lane may be held back, too: one look serves all.
                await lane.look(within=pause / 2)
                pause = min(max(LEAST_PAUSE, REST * lane.took), MOST_PAUSE)
        finally:
            self.paused = False
            self._metrics.paused.set(0)
        await writer.resumed()
        self._log.info(
            "feed resumed", feed=self.peer.feed, line=self.peer.name, backlog=backlog.waiting
        )

    def _full(self, share: float) -> bool:
        lane = self._lane
        return Load(
            self.backlog.waiting, lane.limit, lane.average, lane.stored,
            lane.allowance.feed or math.inf, lane.shared, lane.aside(self.peer.feed),
            lane.allowance.short,
        ).full(share)  # fmt: skip
