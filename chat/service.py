"""The chat as a service: listen, hand connections to their rooms, drain."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as listen

from chassis import lifecycle, logs, ops
from chassis.lease import Lease, Shares, instance_name
from chassis.redis import Link
from chassis.websocket import limit_silence

from . import echo, metrics, protocol
from .connection import SEND_BUFFER, Connection
from .conversation import Conversation
from .door import PATHS, Door
from .endings import Ending
from .playground import Playground
from .scribe import Scribe
from .settings import Settings

MAX_BYTES = 64 * 1024
"""Bytes of a message at which the connection is closed with 1009."""

SWEEP = 1.0
"""Seconds between two looks at every connection."""

SPREAD = 4.0
"""Seconds over which connections are closed when the service stops."""

EACH = 0.005
"""Seconds between two of them, if they are few."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to answer a close frame."""

UNSILENT = 30.0
"""Seconds that sent bytes may stay unacknowledged by the client's machine."""

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
        self._scribe = Scribe(
            self._link, room.journal, settings.log_file, log, lambda: room.position
        )
        self._door = Door(settings)
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
            serving = asyncio.ensure_future(self._serve())
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
                    await lifecycle.end(task)
        await self._link.close()

    async def _run_rooms(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for room in self._rooms:
                group.create_task(room.run(stop))

    async def _find(self) -> list[tuple[str, str]]:
        return [LOG, TICK]

    async def _do(self, piece: tuple[str, str], lease: Lease, stopped: asyncio.Event) -> None:
        work = self._scribe.run if piece == LOG else self._playground.greet
        await work(lease, stopped)

    def _readiness(self) -> dict[str, Any]:
        hears = {room.name: room.dispatcher.hears for room in self._rooms}
        ready = self._link.up and all(hears.values()) and not self._stop.is_set()
        return {
            "ready": ready,
            "redis": self._link.up,
            "hears": hears,
            "stopping": self._stop.is_set(),
            "does": [f"{room}:{role}" for room, role in self._shares.active],
        }

    # Connections

    async def _serve(self) -> None:
        """Take connections until the stop, then close all of them."""
        settings = self._settings
        quiet = logging.getLogger("websockets.chat")
        quiet.setLevel(logging.CRITICAL)  # misbehaving clients are counted, not logged
        server = await listen(
            self._handle,
            settings.host,
            settings.port,
            process_request=self._door.answer,
            create_connection=Connection,
            compression=None,
            max_size=MAX_BYTES,
            open_timeout=10,
            ping_interval=None,  # the sweep does it, without a task for each connection
            close_timeout=CLOSE_TIMEOUT,
            server_header=None,
            logger=quiet,
            backlog=1024,
        )
        try:
            bound = next(iter(server.sockets))
            log.info("chat listens", host=settings.host, port=bound.getsockname()[1])
            await lifecycle.first(self._sweep(server), self._stop.wait())
            await self._send_away(server)
        finally:
            server.close(code=1012)
            await server.wait_closed()

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve a connection until it is closed."""
        assert isinstance(connection, Connection)
        assert connection.request is not None
        limit_silence(connection, UNSILENT)
        sock = connection.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        query = protocol.query(connection.request.path)
        room = PATHS[connection.request.path.partition("?")[0]]
        try:
            if room == metrics.MAIN:
                await self._conversation.serve(connection, query)
            elif room == metrics.PLAYGROUND:
                await self._playground.serve(connection)
            else:
                await echo.serve(connection)
        except Exception:
            log.error("serving a connection failed", exc_info=True)
            await connection.part(Ending.BUG, self._farewell(connection, Ending.BUG))
        finally:
            ending, _, _ = connection.ended()
            metrics.CLOSES.labels(room, ending.label).inc()

    async def _sweep(self, server: Server) -> None:
        """Find connections that give no sign of life or take nothing, again and again."""
        loop = asyncio.get_running_loop()
        idle = self._settings.idle_timeout
        closing: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(SWEEP)
            now = loop.time()
            for connection in list(server.all_connections):
                assert isinstance(connection, Connection)
                silent = now - connection.heard
                if not connection.open:
                    continue
                if connection.stalled(now):
                    self._conversation.room.audience.cut_slow(connection)
                elif silent >= idle:
                    farewell = self._farewell(connection, Ending.IDLE)
                    task = asyncio.ensure_future(connection.part(Ending.IDLE, farewell))
                    closing.add(task)
                    task.add_done_callback(closing.discard)
                elif silent >= idle / 3 and now - connection.pinged >= idle / 3:
                    connection.ping_once(now)

    async def _send_away(self, server: Server) -> None:
        """Close all connections, each in its turn, so that they do not all come back at once."""
        server.close(close_connections=False)
        connections = list(server.all_connections)
        random.shuffle(connections)
        pause = min(EACH, SPREAD / max(1, len(connections)))
        closing = []
        for connection in connections:
            assert isinstance(connection, Connection)
            farewell = self._farewell(connection, Ending.RESTART)
            closing.append(asyncio.ensure_future(connection.part(Ending.RESTART, farewell)))
            await asyncio.sleep(pause)
        if closing:
            await asyncio.wait(closing)

    @staticmethod
    def _farewell(connection: Connection, ending: Ending) -> bytes:
        """Make the last words, where a connection understands them."""
        assert connection.request is not None
        if PATHS.get(connection.request.path.partition("?")[0]) != metrics.MAIN:
            return b""
        return protocol.goodbye(ending)
