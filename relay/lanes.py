"""Which lane carries a feed.

A lane is a pair of streams with one lease, one checkpoint and one serial number. An orderer takes
lanes that carry many feeds; as yet each feed gets one of its own, which has its name. The table
stands in Redis, and whoever first sees a feed writes its row: no two services can disagree. A row
is never changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from chassis.redis import Link, ResponseError, Script, pairs

from . import keys

_ENTER = Script(resources.files(__package__).joinpath("enter.lua").read_text())


async def enter(link: Link, feeds: Iterable[str]) -> None:
    """Make feeds known."""
    await link.send(*_ENTER(keys=[keys.FEEDS], args=list(feeds)))


async def known(link: Link) -> dict[str, str]:
    """Read the lane of each feed there is."""
    table, members = await link.send_all([("HGETALL", keys.FEEDS), ("SMEMBERS", keys.FEEDS)])
    if not isinstance(table, Exception):
        return {feed.decode(): lane.decode() for feed, lane in pairs(table).items()}
    if isinstance(members, ResponseError) or not isinstance(members, list):
        raise table
    # As an earlier version left it: each feed has its own.
    return {feed.decode(): feed.decode() for feed in members}
