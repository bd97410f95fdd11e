"""The publisher as a service: take a fair share of the sinks, keep each one supplied."""

from __future__ import annotations

import asyncio
from typing import Any

from chassis import logs, ops
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from relay.feeds import Peer

from .settings import Settings
from .sink import Sink

log = logs.get("publisher")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Supply the sinks that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
    working: dict[Peer, Sink] = {}

    async def find() -> list[Peer]:
        return list(settings.sinks)

    async def supply(peer: Peer, lease: Lease, stopped: asyncio.Event) -> None:
        others = [
            other.name for other in settings.sinks if other.feed == peer.feed and other != peer
        ]
        working[peer] = Sink(link, peer, others, lease, settings, log)
        try:
            await working[peer].run(stopped)
        finally:
            del working[peer]

    shares = Shares(
        link,
        "publisher",
        instance_name(),
        settings.lease_ttl,
        log,
        find=find,
        name=lambda peer: (peer.feed, f"sink:{peer.name}"),
        do=supply,
    )

    def readiness() -> dict[str, Any]:
        return {
            "ready": link.up,
            "redis": link.up,
            "sinks": {
                f"{peer.feed}={peer.name}": "connected" if sink.connected else "waiting"
                for peer, sink in working.items()
            },
        }

    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await shares.run(stop)
    await link.close()
