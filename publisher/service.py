"""The publisher as a service: take a fair share of the sinks, keep each one supplied."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from chassis import logs, ops, websocket
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from relay import keys, lanes
from relay.allowance import Allowance
from relay.feeds import Peer

from .settings import Settings
from .sink import Dial, Sink

log = logs.get("publisher")


class Supply(NamedTuple):
    """A sink, and the lane that carries its feed."""

    lane: str
    peer: Peer

    @property
    def place(self) -> tuple[str, str]:
        """The lane, and the role in it."""
        return self.lane, keys.sink_role(self.lane, self.peer.feed, self.peer.name)


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
) -> Shares[Supply]:
    """Supply this replica's fair share of the sinks; they stand in `supplied` meanwhile."""
    allowance, endpoints = Allowance(link, log), settings.endpoints

    async def find() -> list[Supply]:
        # Until its feed is known, a sink waits at what would be a lane of the feed's own.
        table = await lanes.known(link)
        return [Supply(table.get(peer.feed, peer.feed), peer) for peer in endpoints]

    async def supply(piece: Supply, lease: Lease, stopped: asyncio.Event) -> None:
        lane, peer = piece
        others = [other.name for other in endpoints if other.feed == peer.feed and other != peer]
        words = endpoints[peer]
        supplied[peer] = Sink(
            link, peer, lane, others, lease, settings, allowance, log, words=words, dial=dial
        )
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
        name=lambda piece: piece.place,
        do=supply,
    )
