"""The chat as a service: listen, hand connections to their rooms, drain."""

from __future__ import annotations

import asyncio
from typing import Any

from broadcast.closing import CloseReason
from broadcast.connection import Connection
from broadcast.handshake import Handshake
from broadcast.page import Page
from broadcast.server import Server
from chassis import logs, ops
from chassis.lease import Lease, instance_name
from chassis.redis import Link
from chassis.shares import Shares
from chassis.tasks import end

from . import echo, metrics, protocol
from .closing import IDLE
from .conversation import Conversation
from .log_writer import LogWriter
from .playground import Playground
from .settings import Settings

MAX_BYTES = 64 * 1024
"""Bytes of a message at which the connection is closed with 1009."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to answer a close frame."""

BEAT = 60.0
"""Seconds of silence at most before a client is asked for a sign of life, which also tells
gateways that the connection is in use."""

ROOMS = {"/": metrics.MAIN, "/playground": metrics.PLAYGROUND, "/echo": metrics.ECHO}

LOG = (metrics.MAIN, "log")
TICK = (metrics.PLAYGROUND, "tick")
"""The pieces of work that one replica does for all: (room, role)."""

log = logs.get("chat")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`, then send everybody away in their turn."""
    await Chat(settings, stop).run()


class Chat:
    """One replica."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
        instance = instance_name()
        self._conversation = Conversation(self._link, instance, settings, log)
        self._playground = Playground(self._link, instance, settings, log)
        self._rooms = (self._conversation.room, self._playground.room)
        room = self._conversation.room
        self._log_writer = LogWriter(
            self._link, room.log, settings.log_file, settings.log_bytes, log, lambda: room.position
        )
        handshake = Handshake(
            {
                path: echo.MAX_BYTES if room == metrics.ECHO else MAX_BYTES
                for path, room in ROOMS.items()
            },
            Page("chat").answer,
            metrics.REFUSED,
            settings,
            log,
        )
        self._server = Server("chat", self, handshake, log, close_timeout=CLOSE_TIMEOUT)
        self._shares: Shares[tuple[str, str]] = Shares(
            self._link,
            "chat",
            instance,
            settings.lease_ttl,
            log,
            find=self._find,
            name=lambda piece: piece,
            do=self._do,
            keep=True,
        )

    async def run(self) -> None:
        """Listen; drain; write down the last of it."""
        settings = self._settings
        gone = asyncio.Event()
        """Set when the last connection is gone."""
        written = asyncio.Event()
        """Set when what was said is in Redis."""
        async with ops.endpoint(settings.ops_host, settings.ops_port, self._readiness, log):
            rooms = asyncio.ensure_future(self._run_rooms(gone))
            shares = asyncio.ensure_future(self._shares.run(written))
            serving = asyncio.ensure_future(
                self._server.run(settings.host, settings.port, self._stop)
            )
            tasks = (rooms, shares, serving)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
                gone.set()
                await rooms
                written.set()
                await shares
            finally:
                for task in tasks:
                    await end(task)
        await self._link.close()

    async def _run_rooms(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for room in self._rooms:
                group.create_task(room.run(stop))

    async def _find(self) -> list[tuple[str, str]]:
        return [LOG, TICK]

    async def _do(self, piece: tuple[str, str], lease: Lease, stopped: asyncio.Event) -> None:
        work = self._log_writer.run if piece == LOG else self._playground.greet
        await work(lease, stopped)

    def _readiness(self) -> dict[str, Any]:
        hears = {room.name: room.subscription.hears for room in self._rooms}
        ready = self._link.up and all(hears.values()) and not self._stop.is_set()
        return {
            "ready": ready,
            "redis": self._link.up,
            "hears": hears,
            "stopping": self._stop.is_set(),
            "does": [f"{room}:{role}" for room, role in self._shares.active],
            **({"log": self._log_writer.trouble} if self._log_writer.trouble else {}),
        }

    # What the server asks

    async def serve(self, connection: Connection) -> None:
        """Serve a connection in the room that it asked for."""
        match ROOMS[connection.path]:
            case metrics.MAIN:
                assert connection.request is not None
                request = connection.request
                offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
                query = protocol.query(request.path, offered)
                await self._conversation.serve(connection, query)
            case metrics.PLAYGROUND:
                await self._playground.serve(connection)
            case _:
                await echo.serve(connection)

    def overdue(self, connection: Connection, now: float) -> CloseReason | None:
        """End a connection without a sign of life; ask for one in time."""
        if connection.reading_paused:
            return None  # whatever it says waits
        idle = self._settings.idle_timeout
        silent = now - connection.heard
        if silent >= idle:
            return IDLE
        beat = min(idle / 3, BEAT)
        if silent >= beat and now - connection.pinged >= beat:
            connection.ping_once(now)
        return None

    def cut_slow(self, connection: Connection) -> None:
        """Cut a connection that takes nothing, and remember it for its next visit."""
        self._conversation.room.hub.cut_slow(connection)

    def farewell(self, connection: Connection, ending: CloseReason) -> bytes:
        """Make the last words, where a connection understands them."""
        return protocol.goodbye(ending) if ROOMS[connection.path] == metrics.MAIN else b""

    def gone(self, connection: Connection) -> None:
        """Count the end of a connection."""
        ending, _, _ = connection.ended()
        metrics.CLOSES.labels(ROOMS[connection.path], ending.label).inc()
