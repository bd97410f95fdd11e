"""Wisdom as a service: listen, tick where the lease is held, deliver, drain."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from broadcast.closing import CloseReason
from broadcast.connection import Connection
from broadcast.handshake import Handshake
from broadcast.page import Page
from broadcast.presence import Presence
from broadcast.server import Server
from broadcast.subscription import Subscription
from chassis import logs, ops
from chassis.http import Response, respond_json
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from chassis.tasks import end

from . import keys, metrics
from .follower import Follower
from .sessions import Sessions
from .settings import Settings
from .stream import Stream
from .ticker import Ticker

PATHS = ("/", "/ws")
"""Where sessions are; the second is for gateways that tell pages and sessions apart by path."""

MAX_BYTES = 64 * 1024
"""Bytes of a message at which the connection is closed with 1009."""

CLOSE_TIMEOUT = 1.0
"""Seconds that a client has to answer a close frame."""

TICK = (keys.WISDOM, "tick")
"""The piece of work that one replica does for all: (feed, role)."""

log = logs.get("wisdom")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`, then send everybody away in their turn."""
    await Wisdom(settings, stop).run()


class Wisdom:
    """One replica."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._stop = stop
        link = self._link = Link(
            settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop
        )
        instance = instance_name()
        stream = Stream(link)
        self._page = Page("wisdom")
        self._sessions = Sessions(log)
        self._subscription = Subscription(
            link,
            Follower(stream, log, self._sessions.deliver),
            metrics.RESUBSCRIPTIONS.labels(),
            channel=self._link.channel(keys.WISDOM),
            probe=self._link.channel(keys.probe(instance)),
            stream=keys.quotes(),
        )
        self._presence = Presence(
            link,
            keys.presence(),
            instance,
            metrics.LISTENING.labels(),
            count=lambda: len(self._sessions.subscribers),
        )
        self._ticker = Ticker(
            link, stream, settings.quotes, settings.period, log, lambda: self._presence.online
        )
        self._shares: Shares[tuple[str, str]] = Shares(
            link,
            "wisdom",
            instance,
            settings.lease_ttl,
            log,
            find=self._find,
            name=lambda piece: piece,
            do=self._do,
        )
        handshake = Handshake(
            dict.fromkeys(PATHS, MAX_BYTES),
            self._answer,
            metrics.REFUSED,
            settings,
            log,
        )
        self._server = Server("wisdom", self, handshake, log, close_timeout=CLOSE_TIMEOUT)
        metrics.PERIOD.set(settings.period)

    async def run(self) -> None:
        """Serve, and deliver until the last connection is gone."""
        settings = self._settings
        gone = asyncio.Event()
        async with ops.endpoint(settings.ops_host, settings.ops_port, self._readiness, log):
            serving = asyncio.ensure_future(
                self._server.run(settings.host, settings.port, self._stop)
            )
            # Another replica is to tick as soon as this one is told to stop.
            ticking = asyncio.ensure_future(self._shares.run(self._stop))
            hearing = asyncio.ensure_future(self._subscription.run(gone))
            counting = asyncio.ensure_future(self._presence.run(gone))
            tasks = (serving, ticking, hearing, counting)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
                await serving
                gone.set()
                await asyncio.gather(ticking, hearing, counting)
                await self._presence.leave()
            finally:
                for task in tasks:
                    await end(task)
        await self._link.close()

    async def _find(self) -> list[tuple[str, str]]:
        return [TICK]

    async def _do(self, _piece: tuple[str, str], lease: Lease, stopped: asyncio.Event) -> None:
        await self._ticker.run(lease, stopped)

    def _readiness(self) -> dict[str, Any]:
        hears = self._subscription.hears
        return {
            "ready": self._link.up and hears and not self._stop.is_set(),
            "redis": self._link.up,
            "hears": hears,
            "stopping": self._stop.is_set(),
            "ticks": bool(self._shares.active),
        }

    def _answer(self, path: str) -> Response:
        """Answer a plain GET: the page, or how many are listening."""
        if path == "/listening":
            known = self._presence.online if self._link.up else None
            return respond_json(HTTPStatus.OK, {"listening": known})
        return self._page.answer(path)

    # What the server asks

    async def serve(self, connection: Connection) -> None:
        """Serve a connection's session."""
        await self._sessions.serve(connection)

    def overdue(self, connection: Connection, now: float) -> CloseReason | None:
        """End a session whose client has stopped to ping."""
        return self._sessions.overdue(connection, now)

    def cut_slow(self, connection: Connection) -> None:
        """Cut a connection that takes nothing."""
        self._sessions.subscribers.cut_slow(connection)

    def farewell(self, _connection: Connection, _ending: CloseReason) -> bytes:
        """Say nothing: the protocol has no word for it but the close frame's."""
        return b""

    def gone(self, connection: Connection) -> None:
        """Count the end of a connection."""
        ending, _, _ = connection.ended()
        metrics.CLOSES.labels(ending.label).inc()
