"""Which lane carries a feed.

A lane is a pair of streams with one lease, one checkpoint and one serial number. The first feeds
that come get lanes of their own, which have their names; later ones share some. The table stands
in Redis, and whoever first sees a feed writes its row: no two services can disagree. A row is
never changed; it goes when the feed is forgotten.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from chassis import clock
from chassis.redis import Link, ResponseError, Script, pairs

from . import keys

_ENTER = Script(resources.files(__package__).joinpath("enter.lua").read_text())

SHARED = 6
"""Lanes that feeds share: even over two, three or six replicas. What comes in within a moment is
written and committed lane by lane, so that many would cost nearly as much as a lane for each."""

AGAIN = 5.0
"""Seconds after which the table is read again though it has the same length."""

MARK = "+"
"""Begins the name of a shared lane; no feed's name has it."""


class Own(NamedTuple):
    """Who gets a lane of its own."""

    first: int = 16
    """So many feeds that come first."""
    named: Sequence[str] = ()
    """And these."""


def shared(lane: str) -> bool:
    """Tell whether feeds share a lane."""
    return lane.startswith(MARK)


async def enter(link: Link, feeds: Iterable[str], own: Own) -> None:
    """Make feeds known."""
    named = [feed for feed in feeds if feed in own.named]
    others = [feed for feed in feeds if feed not in own.named]
    args = [own.first, SHARED, MARK, len(named), *named, *others]
    await link.send(*_ENTER(keys=[keys.FEEDS], args=args))


async def leave(link: Link, feed: str) -> None:
    """Make a feed unknown again, of which Redis has nothing else any more."""
    await link.send("HDEL", keys.FEEDS, feed)


async def known(link: Link) -> dict[str, str]:
    """Read the lane of each feed there is."""
    try:
        table = await link.send("HGETALL", keys.FEEDS)
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        # As an earlier version left it: each feed has its own.
        return {feed.decode(): feed.decode() for feed in await link.send("SMEMBERS", keys.FEEDS)}
    return {feed.decode(): lane.decode() for feed, lane in pairs(table).items()}


class Table:
    """The table as it was read last: again as soon as it has another length, and now and then."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._rows: dict[str, str] = {}
        self._read = -math.inf

    async def rows(self) -> Mapping[str, str]:
        """Get the lane of each feed there is: the same object, as long as nothing has changed.

        Raises what the link raises.
        """
        if not await self._fresh():
            found = await known(self._link)
            if found != self._rows:  # who goes by it can tell whether it has changed
                self._rows = found
            self._read = clock.monotonic()
        return self._rows

    def again(self) -> None:
        """Read it anew the next time: a row that has gone may have made way for another."""
        self._read = -math.inf

    async def _fresh(self) -> bool:
        if clock.monotonic() - self._read >= AGAIN:
            return False
        with contextlib.suppress(ResponseError):  # not a hash yet
            return bool(await self._link.send("HLEN", keys.FEEDS) == len(self._rows))
        return False
