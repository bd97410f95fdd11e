"""What Redis allows, and what is thought of it before it has been asked."""

from __future__ import annotations

import math

from chassis import logs
from chassis.redis import Link
from relay import keys
from relay.allowance import KEPT, RELAY, UNSETTLED, Allowance


async def test_nothing_is_dropped_before_redis_was_asked(link: Link) -> None:
    """Whoever asks while another is asking would take it for no memory, and keep nothing."""
    allowance = Allowance(link, logs.get("example"))
    assert (allowance.kept, allowance.unsettled, allowance.short) == (math.inf, math.inf, False)


async def test_feeds_share_what_there_is(link: Link) -> None:
    """Two feeds would each fill what is there for both."""
    await link.send("HSET", keys.FEEDS, "a", "a", "b", "b", "c", "b")
    await link.send("CONFIG", "SET", "maxmemory", 2**30)
    try:
        allowance = Allowance(link, logs.get("example"))
        await allowance.look()
        feed = RELAY * 2**30 / 2
        assert (allowance.kept, allowance.unsettled) == (KEPT * feed, UNSETTLED * feed)
    finally:
        await link.send("CONFIG", "SET", "maxmemory", 0)
