"""The publisher as a service: take a fair share of the sinks, keep each one supplied."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from chassis import logs, ops, websocket
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from chassis.tasks import first
from relay import keys, lanes
from relay.allowance import Allowance
from relay.feedfile import Endpoint
from relay.feeds import Peer

from .drain import Drain
from .lane import Lane
from .reader import Reader
from .session import CONFIRM_EVERY, PACE
from .settings import Settings
from .sink import Dial, Sink

log = logs.get("publisher")


class Supply(NamedTuple):
    """A lane, and the sinks of the feeds that it carries."""

    lane: str
    peers: tuple[Peer, ...]
    words: tuple[Endpoint | None, ...]
    """What a file says of each; with other words it is another piece of work."""


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Supply the sinks that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
    supplied: dict[Peer, Sink] = {}
    reader = Reader(link)
    endpoints = dict(settings.endpoints)
    shares = share(link, reader, settings, supplied, endpoints)
    drain = Drain(link, endpoints, settings.drain_timeout, log)

    def reload() -> None:
        """Read the file of feeds again; lanes of endpoints that have changed are begun anew."""
        nonlocal settings
        if change := settings.feeds.again(log):
            settings = replace(settings, feeds=change.file)
            drain.take_over(settings.endpoints, settings.feeds.words)

    def readiness() -> dict[str, Any]:
        return {
            "ready": link.up,
            "redis": link.up,
            "sinks": {
                f"{peer.feed}={peer.name}": "connected" if sink.connected else "waiting"
                for peer, sink in supplied.items()
            },
        }

    if settings.feeds.name:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await first(shares.run(stop), reader.run(), drain.run())
    await link.close()


def share(
    link: Link, reader: Reader, settings: Settings, supplied: dict[Peer, Sink],
    endpoints: Mapping[Peer, Endpoint | None], *, dial: Dial = websocket.dial,
) -> Shares[Supply]:  # fmt: skip
    """Supply this replica's fair share of the lanes; their sinks stand in `supplied` meanwhile.

    `endpoints` may change; what each is told is what stands there when its lane is taken up.
    """
    allowance = Allowance(link, log)
    at_work: dict[Peer, Supply] = {}
    few = len({peer.feed for peer in endpoints}) <= lanes.Own().first
    """Whether endpoints are connected before their feed is known."""

    feeds = lanes.Table(link)
    pieces: list[Supply] = []
    made_of: tuple[Mapping[str, str], Mapping[Peer, Endpoint | None]] = {}, {}
    """The table and the endpoints as they were when the pieces were made."""

    async def find() -> list[Supply]:
        nonlocal pieces, made_of
        if endpoints != made_of[1]:
            feeds.again()
        table = await feeds.rows()
        if table is not made_of[0] or endpoints != made_of[1]:
            pieces, made_of = sort(table), (table, dict(endpoints))
        # A feed that became known may be in another lane: no sink is connected twice meanwhile.
        return [
            piece for piece in pieces
            if all(at_work.get(peer, piece) == piece for peer in piece.peers)
        ]  # fmt: skip

    def sort(table: Mapping[str, str]) -> list[Supply]:
        found: dict[str, list[Peer]] = {}
        for peer in endpoints:
            lane = table.get(peer.feed)
            if lane is None and few:
                lane = peer.feed  # that will be its lane, most likely
            if lane is not None:
                found.setdefault(lane, []).append(peer)
        # Sorted: one that is to leave stands elsewhere among them than it did, and is the same.
        return [
            Supply(lane, tuple(peers), tuple(map(endpoints.get, peers)))
            for lane, peers in ((lane, sorted(each)) for lane, each in found.items())
        ]

    def pace() -> float:
        return max(CONFIRM_EVERY, PACE * len(supplied))

    async def supply(piece: Supply, lease: Lease, stopped: asyncio.Event) -> None:
        lane = Lane(link, piece.lane, lease, reader, settings.retain, pace, allowance, log)
        sinks = {
            peer: Sink(peer, lane, settings, pace, log, words=words, dial=dial)
            for peer, words in zip(piece.peers, piece.words, strict=True)
        }
        supplied.update(sinks)
        at_work.update(dict.fromkeys(sinks, piece))
        try:
            await lane.run(sinks, stopped)
        finally:
            for peer, sink in sinks.items():
                del supplied[peer], at_work[peer]
                sink.retire()

    return Shares(
        link,
        "publisher",
        instance_name(),
        settings.lease_ttl,
        log,
        find=find,
        name=lambda piece: (piece.lane, keys.PUBLISHER),
        do=supply,
        kind=lambda piece: lanes.shared(piece.lane),
    )
