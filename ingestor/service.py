"""The ingestor as a service: take a fair share of the lines, keep each one written down."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from chassis import logs, ops
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from chassis.tasks import first
from relay import keys, lanes
from relay.feedfile import Feed
from relay.feeds import Peer

from .lane import Lane, Lanes
from .line import Line
from .lines import Lines, Piece
from .settings import Settings

log = logs.get("ingestor")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Write down the lines that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
    ours = Lanes(link, settings.backlog, log)

    def make(peer: Peer, lane: Lane, words: Feed | None) -> Line:
        return Line(peer, lane, settings, log, words)

    lines = Lines(settings.lines, settings.feeds, settings.own_lanes, ours, make, log)

    async def read(piece: Piece, _lease: Lease, stopped: asyncio.Event) -> None:
        await lines.read(piece, stopped)

    # Two ingestors on one line for a moment do no harm, a dropped connection may: so a lease
    # that ran out while Redis was away is simply taken again.
    shares = Shares(
        link,
        "ingestor",
        instance_name(),
        settings.lease_ttl,
        log,
        find=lines.find,
        name=lambda piece: (piece.lane, keys.lines_role(piece.number)),
        do=read,
        keep=True,
        kind=lambda piece: lanes.shared(piece.lane),
    )

    def readiness() -> dict[str, Any]:
        return {"ready": link.up, "redis": link.up, "lines": lines.states}

    if settings.feeds.name:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lines.reload)
    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await first(shares.run(stop), ours.watch(), lines.go_round())
    await link.close()
