"""Supply the endpoints that are no longer in the file until they have what is theirs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from typing import Any

from chassis import clock
from chassis.logs import Log
from chassis.redis import Command, Link, ResponseError, pairs
from relay import keys, lanes
from relay.entry import START
from relay.feedfile import Endpoint
from relay.feeds import Peer

from .leaving import Leaving, Stand
from .metrics import UNDELIVERED

LOOK_EVERY = 1.0
"""Seconds between looks at how far those that leave are."""

MOST = 2 * LOOK_EVERY
"""Seconds that count between two looks; while Redis is away nobody can confirm anything."""


class Drain:
    """Holds on to endpoints that a file names no longer; `run` it.

    All is judged by what stands in Redis, so it does not matter which replica supplies them.
    """

    def __init__(
        self, link: Link, endpoints: dict[Peer, Endpoint | None], timeout: float, log: Log
    ) -> None:
        """Begin with these `endpoints`, which are changed in place."""
        self._link = link
        self._endpoints = endpoints
        self._timeout = timeout
        self._log = log
        self._table = lanes.Table(link)
        self._leaving: dict[str, Leaving] = {}
        """By feeds."""
        self._any = asyncio.Event()
        self._looked = -math.inf

    def take_over(
        self, told: Mapping[Peer, Endpoint | None], feeds: Collection[str]
    ) -> None:  # fmt: skip
        """Take over what a file says now: which endpoints there are, and which feeds.

        An endpoint that has another URL, or other words, goes on where it was: the new one takes
        the place of the old one at once.
        """
        named = {(peer.feed, peer.name) for peer in told}
        gone: dict[str, list[Peer]] = {}
        for peer in self._endpoints:
            if (peer.feed, peer.name) not in named:
                gone.setdefault(peer.feed, []).append(peer)
        kept = {peer: self._endpoints[peer] for peers in gone.values() for peer in peers}
        self._endpoints.clear()
        self._endpoints.update({**told, **kept})
        before, self._leaving = self._leaving, {}
        for feed, peers in gone.items():
            removed, known = feed not in feeds, before.get(feed)
            if known and (set(known.peers), known.removed) == (set(peers), removed):
                self._leaving[feed] = known
                continue
            self._leaving[feed] = Leaving(peers, self._timeout, removed=removed)
            names = [peer.name for peer in peers]
            self._log.info("draining", feed=feed, sinks=names, removed=removed)
        if self._leaving:
            self._any.set()

    async def run(self) -> None:
        """Look after those that leave, for ever."""
        while True:
            await self._any.wait()
            await self._link.attempt(self._look)
            if self._leaving:
                await asyncio.sleep(LOOK_EVERY)
            else:
                self._any.clear()

    async def _look(self) -> None:
        """Let go whoever has what is theirs, or is gone; raises what the link raises."""
        table = await self._table.rows()
        stands = {
            feed: await self._stand(table[feed], feed, leaving.peers)
            if feed in table
            else Stand({})  # nothing has ever come of it
            for feed, leaving in self._leaving.items()
        }
        now = clock.monotonic()
        passed, self._looked = min(MOST, now - self._looked), now
        for feed, stand in stands.items():
            leaving = self._leaving.get(feed)
            if leaving is None or not stand.confirmed.keys() <= set(leaving.peers):
                continue  # the file was read again meanwhile
            for peer, missed in leaving.look(stand, passed).items():
                self._let_go(peer, missed)
            if not leaving.peers:
                del self._leaving[feed]

    def _let_go(self, peer: Peer, missed: int) -> None:
        del self._endpoints[peer]
        if not missed:
            self._log.info("drained", feed=peer.feed, sink=peer.name)
            return
        UNDELIVERED.labels().inc(missed)
        self._log.warning("let go undrained", feed=peer.feed, sink=peer.name, messages=missed)

    async def _stand(self, lane: str, feed: str, peers: Collection[Peer]) -> Stand:
        """Read how far a feed is."""
        fields = [
            keys.ORDER_SEEN, keys.ORDER_WAITING, keys.of(lane, feed, keys.ORDER_SERIAL),
            keys.of(lane, feed, keys.ORDER_LINES),
        ]  # fmt: skip
        commands: list[Command] = [
            ("HMGET", keys.order(lane), *fields),
            ("XINFO", "STREAM", keys.raw(lane)),
            *(
                ("HMGET", keys.sink(lane, feed, peer.name), keys.SINK_SERIAL) for peer in peers
            ),
        ]  # fmt: skip
        replies: list[Any] = await self._link.send_all(commands)
        order, raw, *sinks = replies
        if isinstance(raw, ResponseError) and "no such key" in str(raw):
            raw = [b"last-generated-id", START]
        for reply in (order, raw, *sinks):
            if isinstance(reply, Exception):
                raise reply
        seen, waiting, serial, lines = order
        return Stand(
            confirmed={
                peer: int(found or 0) for peer, [found] in zip(peers, sinks, strict=True)
            },
            serial=int(serial or 0),
            seen=seen or START,
            newest=pairs(raw)[b"last-generated-id"],
            waiting=feed.encode() in (waiting or b"").split(),
            connected=bool(lines),
        )  # fmt: skip
