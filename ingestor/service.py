"""The ingestor as a service: take a fair share of the lines, keep each one written down."""

from __future__ import annotations

import asyncio
from typing import Any

from chassis import logs, ops
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from relay.feeds import Peer

from .line import Line
from .settings import Settings

log = logs.get("ingestor")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Write down the lines that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
    lines = {peer: Line(link, peer, settings, log) for peer in settings.lines}

    async def find() -> list[Peer]:
        return list(settings.lines)

    async def receive(peer: Peer, _lease: Lease, stopped: asyncio.Event) -> None:
        await lines[peer].run(stopped)

    # Two ingestors on one line for a moment do no harm, a dropped connection may: so a lease
    # that ran out while Redis was away is simply taken again.
    shares = Shares(
        link,
        "ingestor",
        instance_name(),
        settings.lease_ttl,
        log,
        find=find,
        name=lambda peer: (peer.feed, f"line:{peer.name}"),
        do=receive,
        keep=True,
    )

    def readiness() -> dict[str, Any]:
        return {
            "ready": link.up,
            "redis": link.up,
            "lines": {
                f"{peer.feed}={peer.name}": "connected" if lines[peer].connected else "waiting"
                for peer in shares.active
            },
        }

    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await shares.run(stop)
    await link.close()
