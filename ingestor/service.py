"""The ingestor as a service: take a fair share of the lines, keep each one written down."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from chassis import logs, ops
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from relay import keys
from relay.allowance import Allowance
from relay.feedfile import Feed
from relay.feeds import Peer

from .line import Line
from .lines import Lines, Piece
from .settings import Settings

log = logs.get("ingestor")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Write down the lines that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
    allowance = Allowance(link, log)

    def line(peer: Peer, words: Feed | None) -> Line:
        return Line(link, peer, settings, allowance, log, words)

    lines = Lines(settings.lines, settings.feeds, line, log)

    async def find() -> list[Piece]:
        return lines.pieces

    async def receive(piece: Piece, _lease: Lease, stopped: asyncio.Event) -> None:
        await lines[piece].run(stopped)

    # Two ingestors on one line for a moment do no harm, a dropped connection may: so a lease
    # that ran out while Redis was away is simply taken again.
    shares = Shares(
        link,
        "ingestor",
        instance_name(),
        settings.lease_ttl,
        log,
        find=find,
        name=lambda piece: (piece.peer.feed, keys.line_role(piece.peer.name)),
        do=receive,
        keep=True,
    )

    def readiness() -> dict[str, Any]:
        return {
            "ready": link.up,
            "redis": link.up,
            "lines": {
                f"{piece.peer.feed}={piece.peer.name}": lines[piece].state
                for piece in shares.active
            },
        }

    if settings.feeds.name:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lines.reload)
    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await shares.run(stop)
    await link.close()
