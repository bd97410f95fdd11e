"""The orderer as a service: find the feeds, take a fair share of them, order each."""

from __future__ import annotations

import asyncio
from typing import Any

from chassis import logs, ops
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from relay import keys

from .feed import Feed
from .settings import Settings

ROLE = "orderer"
"""Name of the lease on a feed."""

log = logs.get("orderer")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Order the feeds that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)

    async def find() -> list[str]:
        feeds = await link.client.smembers(keys.FEEDS)
        return sorted(feed.decode() for feed in feeds)

    async def order(feed: str, lease: Lease, stopped: asyncio.Event) -> None:
        await Feed(link, feed, lease, settings, log).run(stopped)

    shares = Shares(
        link,
        "orderer",
        instance_name(),
        settings.lease_ttl,
        log,
        find=find,
        name=lambda feed: (feed, ROLE),
        do=order,
    )

    def readiness() -> dict[str, Any]:
        return {"ready": link.up, "redis": link.up, "feeds": shares.active}

    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await shares.run(stop)
    await link.close()
