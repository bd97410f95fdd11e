"""Which lane carries a feed.

A lane is a pair of streams with one lease, one checkpoint and one serial number. The first feeds
that come get lanes of their own, which have their names; later ones share some. The table stands
in Redis, and whoever first sees a feed writes its row: no two services can disagree. A row is
never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import NamedTuple

from chassis.redis import Link, ResponseError, Script, pairs

from . import keys

_ENTER = Script(resources.files(__package__).joinpath("enter.lua").read_text())

SHARED = 12
"""Lanes that feeds share: even over two, three, four or six replicas."""

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


async def known(link: Link) -> dict[str, str]:
    """Read the lane of each feed there is."""
    table, members = await link.send_all([("HGETALL", keys.FEEDS), ("SMEMBERS", keys.FEEDS)])
    if not isinstance(table, Exception):
        return {feed.decode(): lane.decode() for feed, lane in pairs(table).items()}
    if isinstance(members, ResponseError) or not isinstance(members, list):
        raise table
    # As an earlier version left it: each feed has its own.
    return {feed.decode(): feed.decode() for feed in members}
