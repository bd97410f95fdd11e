"""Looks at Redis, shared by all who look: however many they are, Redis is asked once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from chassis import clock
from chassis.lease import lease_key
from chassis.redis import Link, ResponseError, checked, transient
from relay import keys, lanes

from . import picture
from .feed import Feed
from .peers import Peers

FRESH = 0.5
"""Seconds for which a look at a feed serves whoever asks."""

LIST_FRESH = 2.0
"""Seconds for which the list of feeds does; longer if they are many."""

FEEDS_PER_SECOND = 200
"""Feeds that are looked at for the list in a second, on the average, at most."""

FEEDS_KNOWN = 100
"""Feeds whose last look is remembered."""

UNREADABLE = (ResponseError, ValueError, LookupError, TypeError)
"""What comes of keys that hold what no service of ours has written."""

Look = Callable[[], Awaitable[bytes | None]]


class Shared:
    """What one look found, for all who ask within `fresh` seconds of it."""

    def __init__(self, look: Look, fresh: float) -> None:
        self.fresh = fresh
        self._look = look
        self._looking: asyncio.Future[bytes | None] | None = None
        self._looked = 0.0

    async def get(self) -> bytes | None:
        """Look, or share the look that is under way or fresh; raises what the look raised."""
        now = clock.monotonic()
        if self._looking is None or (self._looking.done() and now - self._looked >= self.fresh):
            self._looked = now
            self._looking = asyncio.ensure_future(self._look())
            # Perhaps nobody waits any longer when it fails.
            self._looking.add_done_callback(lambda look: look.cancelled() or look.exception())
        # Who goes away does not take it from the others.
        return await asyncio.shield(self._looking)


class Looks:
    """All that the page shows, as JSON; all methods raise what the link raises."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._peers = Peers(link)
        self._list = Shared(self._look_at_all, LIST_FRESH)
        self._feeds: OrderedDict[str, Shared] = OrderedDict()

    async def feeds(self) -> bytes | None:
        """List the feeds, each with its state."""
        return await self._list.get()

    async def feed(self, name: str) -> bytes | None:
        """Tell all about one feed; None if there is none of that name."""
        shared = self._feeds.pop(name, None) or self._first_look(name)
        self._feeds[name] = shared
        if len(self._feeds) > FEEDS_KNOWN:
            self._feeds.popitem(last=False)
        return await shared.get()

    def _first_look(self, name: str) -> Shared:
        feed = Feed(self._link, self._peers, name)

        async def look() -> bytes | None:
            found = await feed.look()
            return None if found is None else orjson.dumps(found)

        return Shared(look, FRESH)

    async def _look_at_all(self) -> bytes:
        table = await lanes.known(self._link)
        names = sorted(table)
        self._list.fresh = max(LIST_FRESH, len(names) / FEEDS_PER_SECOND)
        commands = [
            command
            for name in names
            for command in (
                ("HGET", keys.next(table[name]), name),
                ("HMGET", keys.status(table[name]), name, keys.STATUS_TIME),
                ("GET", lease_key(table[name], keys.ORDERER)),
            )
        ]
        replies = await self._link.send_all(commands)
        now = clock.wall_us()
        rows = [_row(name, replies[3 * at : 3 * at + 3], now) for at, name in enumerate(names)]
        return orjson.dumps({"time": now, "fresh": self._list.fresh, "feeds": rows})


def _row(name: str, replies: list[Any], now: int) -> dict[str, Any]:
    """Sum up a feed by what Redis replied; one that cannot be read does not hide the others."""
    try:
        stand, (status, told), holder = checked(replies)
        return picture.summary(name, picture.Order.read(stand, status, told, holder), now)
    except UNREADABLE as error:
        if transient(error):
            raise
        return picture.unreadable(name)
