"""The publisher as a service: take a fair share of the sinks, keep each one supplied."""

from __future__ import annotations

import asyncio
from typing import Any

from chassis import logs, ops, websocket
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from relay.feeds import Peer

from .settings import Settings
from .sink import Dial, Sink

log = logs.get("publisher")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Supply the sinks that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
    supplied: dict[Peer, Sink] = {}
    shares = share(link, settings, supplied)

    def readiness() -> dict[str, Any]:
        return {
            "ready": link.up,
            "redis": link.up,
            "sinks": {
                f"{peer.feed}={peer.name}": "connected" if sink.connected else "waiting"
                for peer, sink in supplied.items()
            },
        }

    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await shares.run(stop)
    await link.close()


def share(
    link: Link, settings: Settings, supplied: dict[Peer, Sink], *, dial: Dial = websocket.dial
) -> Shares[Peer]:
    """Supply this replica's fair share of the sinks; they stand in `supplied` meanwhile."""

    async def find() -> list[Peer]:
        return list(settings.sinks)

    async def supply(peer: Peer, lease: Lease, stopped: asyncio.Event) -> None:
        others = [
            other.name for other in settings.sinks if other.feed == peer.feed and other != peer
        ]
        supplied[peer] = Sink(link, peer, others, lease, settings, log, dial=dial)
        try:
            await supplied[peer].run(stopped)
        finally:
            del supplied[peer]

    return Shares(
        link,
        "publisher",
        instance_name(),
        settings.lease_ttl,
        log,
        find=find,
        name=lambda peer: (peer.feed, f"sink:{peer.name}"),
        do=supply,
    )
