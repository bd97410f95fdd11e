"""A lane as the lines of this process share it: the pen, how much waits, and who waits for time.

What is measured is measured once for all lines of a lane. A lane in which something was written,
or waits, is looked at every second; one at rest only now and then, for what others may have done
to it: an ingestor that reads another line of a feed, or a Redis that has gone back. Where feeds
share a lane it is seen more often who of them waits for time: that spares all others of those that
have just sent something to say that they are alive.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from chassis import clock
from chassis.logs import Log
from chassis.redis import Command, Link, checked
from relay import keys, lanes, raw
from relay.allowance import Allowance
from relay.entry import START, position
from relay.feeds import Peer

from .backlog import Backlog
from .pen import Pens

EVERY = 1.0
"""Seconds between two looks at a lane in which something goes on."""

AT_REST = 5.0
"""The same where nothing does."""

LATE = 2.0
"""Seconds after a look was due from which on nobody knows any more who waits for time."""

GLANCED = 0.05
"""Seconds between two glances at a lane at least."""

COUNT_ENTRIES = 50
"""Entries of `raw` to read at a time when what waits there is counted."""


class Member(Protocol):
    """What a lane needs to know of a line."""

    peer: Peer
    backlog: Backlog
    paused: bool

    def tell(self) -> None:
        """Tell the metrics what waits."""


class Lane:
    """One lane."""

    def __init__(self, link: Link, pens: Pens, allowance: Allowance, limit: int, name: str) -> None:
        """Prepare; of the frames that wait, up to `limit` of a feed are of interest."""
        self.name = name
        self.shared = lanes.shared(name)
        self.link = link
        self.pen = pens[name]
        self.allowance = allowance
        self.limit = limit
        self.stored = 0
        """Bytes that Redis needs for the lane, the messages that have gone out included."""
        self.average = 0.0
        """Frames that wait of a line, on the average."""
        self._aside: dict[str, int] = {}
        """The feeds for which something is set aside, with how many bytes that is for all."""
        self.took = 0.0
        """Seconds that the last look took."""
        self.members: list[Member] = []
        self._waiting: frozenset[str] = frozenset()
        """The feeds that hold frames back."""
        self._read = (0, 0)
        """The last entry that the orderer had read when it told who they are."""
        self._looked = self._compared = self._known_until = -math.inf
        self._uncounted: list[Member] = []
        self._counting: asyncio.Future[None] | None = None
        self._looking: asyncio.Future[bool] | None = None
        self._glancing: asyncio.Future[bool] | None = None
        self._glanced = -math.inf

    # Lines come and go ------------------------------------------------------------------------

    async def join(self, member: Member) -> None:
        """Let a line join, and count what an earlier ingestor left waiting of its feed.

        That takes however long Redis takes. Lines that come together are counted together.
        """
        self._uncounted.append(member)
        while member in self._uncounted:
            if self._counting is None:
                self._counting = asyncio.ensure_future(self._count_new())
            await asyncio.shield(self._counting)

    def leave(self, member: Member) -> None:
        """Let a line go."""
        for members in (self.members, self._uncounted):
            if member in members:
                members.remove(member)

    async def _count_new(self) -> None:
        try:
            await asyncio.sleep(0)  # others are about to join, too
            new = list(self._uncounted)
            await self.link.patiently(partial(self._count, new))
            for member in new:
                if member in self._uncounted:
                    self._uncounted.remove(member)
                    self.members.append(member)
        finally:
            self._counting = None

    async def _count(self, members: Sequence[Member]) -> None:
        cursor = await self.link.send("HGET", keys.order(self.name), keys.ORDER_SEEN) or START
        backlogs: dict[str, list[Backlog]] = {}
        for member in members:
            member.backlog.clear()
            backlogs.setdefault(member.peer.feed, []).append(member.backlog)
        while any(member.backlog.frames <= self.limit for member in members):
            entries = await self.link.send(
                "XRANGE", keys.raw(self.name), b"(" + cursor, "+", "COUNT", COUNT_ENTRIES
            )
            if not entries:
                break
            for entry, values in entries:
                for feed, part in raw.parts(self.name, values):
                    for backlog in backlogs.get(feed, ()):
                        backlog.wrote(entry, raw.count_frames(part))
            cursor = entries[-1][0]

    # What waits -------------------------------------------------------------------------------

    def waits_for_time(self, feed: str, now: float) -> bool:
        """Tell whether a feed holds frames back, or may do so: nobody knows."""
        return feed in self._waiting or now > self._known_until

    def aside(self, feed: str) -> int:
        """Tell how many bytes are set aside in the lane, if any are for this feed."""
        return self._aside.get(feed, 0)

    def has_read(self, entry: tuple[int, int]) -> bool:
        """Tell whether the orderer had read an entry when it said who holds frames back."""
        return entry <= self._read

    def due(self, now: float) -> bool:
        """Tell whether it is time to look again."""
        return bool(self.members) and now - self._looked >= (EVERY if self._busy else AT_REST)

    @property
    def _busy(self) -> bool:
        """Whether something was written, or waits, as far as is known."""
        return (
            bool(self._waiting)
            or self._unread
            or any(member.paused or member.backlog.waiting for member in self.members)
        )

    @property
    def _unread(self) -> bool:
        """Whether something was written that the orderer has not read."""
        return position(self.pen.last) > self._read

    async def look(self, within: float = 0.0) -> None:
        """Learn how far the orderer and the sinks are, if Redis answers.

        What was seen `within` so many seconds holds good. Who asks while somebody else does gets
        to know what that one sees.
        """
        if clock.monotonic() - self._looked < within:
            return
        if self._looking is None:
            self._looking = asyncio.ensure_future(self.link.attempt(self._measure))
            self._looking.add_done_callback(self._have_looked)
        await asyncio.shield(self._looking)

    def _have_looked(self, _: asyncio.Future[bool]) -> None:
        self._looking = None

    async def look_for_loss(self, now: float) -> None:
        """Forget the entries that `raw` no longer has although the orderer has not read them."""
        if now - self._compared >= EVERY and any(one.backlog.frames for one in self.members):
            self._compared = now
            await self.link.attempt(self._compare)

    async def _measure(self) -> None:
        now, members = clock.monotonic(), list(self.members)
        feeds = sorted({member.peer.feed for member in members})
        serials = [keys.of(self.name, feed, keys.ORDER_SERIAL) for feed in feeds]
        commands: list[Command] = [
            ("HMGET", keys.order(self.name), keys.ORDER_SEEN, keys.ORDER_WAITING, *serials),
            ("HMGET", keys.confirmed(self.name), keys.ASIDE, *feeds),
        ]
        if self._busy or self._looked < 0:
            await self.allowance.look()
            # All of it: what a few samples let one guess may be wrong fourfold, and a feed that
            # is held back for that would be so for good.
            commands += [
                ("MEMORY", "USAGE", keys.raw(self.name), "SAMPLES", 0),
                ("MEMORY", "USAGE", keys.ordered(self.name), "SAMPLES", 0),
            ]
        (seen, waiting, *serials), (aside, *confirmed), *sizes = checked(
            await self.link.send_all(commands)
        )
        if sizes:
            # What waits in `raw` comes into `ordered` before it is trimmed there.
            self.stored = 2 * (sizes[0] or 0) + (sizes[1] or 0)
            self.pen.unchecked = 0
        self._looked, self.took = now, clock.monotonic() - now
        self._note(seen, waiting)
        size, *whose = (aside or b"0").decode().split()
        self._aside = dict.fromkeys(whose, int(size))
        unsent = {
            feed: max(0, int(serial or 0) - int(sent or 0))
            for feed, serial, sent in zip(feeds, serials, confirmed, strict=False)
        }
        for member in members:
            member.backlog.seen(seen or START)
            member.backlog.unsent = unsent[member.peer.feed]
            member.tell()
        self.average = sum(member.backlog.waiting for member in members) / max(1, len(members))
        self._known_until = now + LATE + (EVERY if self._busy else AT_REST)

    def _note(self, seen: bytes | None, waiting: bytes | None) -> None:
        self._read = position(seen or START)
        self._waiting = frozenset((waiting or b"").decode().split())

    def glance(self, since: float) -> bool:
        """Have the lane seen again, and tell whether to wait for it: not if it was seen `since`.

        So it is learned who holds frames back. With a thousand feeds somebody asks all the time.
        """
        if self._glanced > since:
            return False
        if self._glancing is None and clock.monotonic() - self._glanced >= GLANCED:
            self._glancing = asyncio.ensure_future(self.link.attempt(self._see))
            self._glancing.add_done_callback(self._have_glanced)
        return True

    def _have_glanced(self, _: asyncio.Future[bool]) -> None:
        self._glancing = None

    async def _see(self) -> None:
        self._glanced = clock.monotonic()
        fields = (keys.ORDER_SEEN, keys.ORDER_WAITING)
        self._note(*await self.link.send("HMGET", keys.order(self.name), *fields))

    async def _compare(self) -> None:
        oldest = [entry for member in self.members if (entry := member.backlog.oldest)]
        if oldest:
            first = min(oldest, key=position)
            found = await self.link.send("XRANGE", keys.raw(self.name), first, "+", "COUNT", 1)
            for member in self.members:
                member.backlog.lost(found[0][0] if found else None)


class Lanes:
    """The lanes of a process."""

    def __init__(self, link: Link, limit: int, log: Log) -> None:
        """Prepare; up to `limit` frames of a feed may wait."""
        self.link = link
        self._limit = limit
        self._pens = Pens(link)
        self._allowance = Allowance(link, log)
        self._lanes: dict[str, Lane] = {}

    def __getitem__(self, name: str) -> Lane:
        if name not in self._lanes:
            self._lanes[name] = Lane(self.link, self._pens, self._allowance, self._limit, name)
        return self._lanes[name]

    async def watch(self) -> None:
        """Look at each lane when it is time, for ever; all that are due go out together."""
        while True:
            now = clock.monotonic()
            lanes = list(self._lanes.values())
            await asyncio.gather(*(lane.look() for lane in lanes if lane.due(now)))
            await asyncio.gather(*(lane.look_for_loss(now) for lane in lanes))
            await asyncio.sleep(EVERY / 4)
