"""Keep the connections of one replica: take them, look after them, send them away."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Protocol

from websockets.asyncio.server import Server as Sockets
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from chassis import clock, tasks
from chassis.logs import Log
from chassis.websocket import limit_silence

from .closing import BUG, RESTART, CloseReason
from .connection import SEND_BUFFER, Connection
from .handshake import Handshake

SWEEP = 1.0
"""Seconds between two looks at every connection."""

SPREAD = 4.0
"""Seconds over which connections are closed when the service stops."""

EACH = 0.005
"""Seconds between two of them, if they are few."""

LEFT_OVER = 0.5
"""Seconds for which what remains of closed connections is waited for."""

UNSILENT = 30.0
"""Seconds that sent bytes may stay unacknowledged by the client's machine."""


class Host(Protocol):
    """The service whose connections these are."""

    async def serve(self, connection: Connection) -> None:
        """Serve a connection until it is closed."""

    def overdue(self, connection: Connection, now: float) -> CloseReason | None:
        """Tell how an open connection has to end now, if it has to; asked every second."""

    def cut_slow(self, connection: Connection) -> None:
        """Cut a connection that takes nothing any longer."""

    def farewell(self, connection: Connection, ending: CloseReason) -> bytes:
        """Make the last words to a connection, as frames; perhaps none."""

    def gone(self, connection: Connection) -> None:
        """Take note that a connection has ended."""


class Server:
    """A replica's WebSocket server."""

    def __init__(
        self, name: str, host: Host, handshake: Handshake, log: Log, *, close_timeout: float
    ) -> None:
        """Prepare to serve; a client has `close_timeout` seconds to answer a close frame."""
        self._name = name
        self._host = host
        self._handshake = handshake
        self._log = log
        self._close_timeout = close_timeout
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self, address: str, port: int, stop: asyncio.Event) -> None:
        """Take connections until `stop`, then close all of them, each in its turn."""
        quiet = logging.getLogger(f"websockets.{self._name}")
        quiet.setLevel(logging.CRITICAL)  # misbehaving clients are counted, not logged
        sockets = await listen(
            self._handle,
            address,
            port,
            process_request=self._handshake.decide,
            create_connection=Connection,
            compression=None,
            open_timeout=10,
            ping_interval=None,  # the sweep looks after them, without a task for each
            close_timeout=self._close_timeout,
            server_header=None,
            logger=quiet,
            backlog=1024,
        )
        try:
            bound = next(iter(sockets.sockets)).getsockname()[1]
            self._log.info(f"{self._name} listens", host=address, port=bound)
            handshake = self._handshake
            if handshake.places < handshake.wanted:
                self._log.warning(
                    "fewer connections than wanted, for want of open files",
                    connections=handshake.places,
                    wanted=handshake.wanted,
                )
            await tasks.first(self._sweep(sockets), stop.wait())
            await self._send_away(sockets)
        finally:
            sockets.close(code=RESTART.code or 1001)
            await sockets.wait_closed()

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve a connection until it is closed."""
        assert isinstance(connection, Connection)
        limit_silence(connection, UNSILENT)
        sock = connection.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        try:
            await self._host.serve(connection)
        except Exception:
            self._log.error("serving a connection failed", exc_info=True)
            await connection.part(BUG, self._host.farewell(connection, BUG))
        finally:
            self._host.gone(connection)

    async def _sweep(self, sockets: Sockets) -> None:
        """Find connections that give no sign of life or take nothing, again and again."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(SWEEP)
            now = loop.time()
            overslept, last = now - last > 2 * SWEEP, now
            if overslept:
                # It is this process that stood still; signs of life may wait to be read.
                continue
            for connection in list(sockets.all_connections):
                assert isinstance(connection, Connection)
                if not connection.open:
                    if connection.lingers:
                        connection.abort()
                    continue
                if connection.lags(now):
                    self._host.cut_slow(connection)
                    continue
                ending = self._host.overdue(connection, now)
                if ending is not None:
                    self._part(connection, ending)

    def _part(self, connection: Connection, ending: CloseReason) -> asyncio.Task[None]:
        farewell = self._host.farewell(connection, ending)
        task = asyncio.ensure_future(connection.part(ending, farewell))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _send_away(self, sockets: Sockets) -> None:
        """Close all connections, each in its turn, so that they do not all come back at once."""
        sockets.close(close_connections=False)
        connections = list(sockets.all_connections)
        clock.shuffle(connections)
        pause = min(EACH, SPREAD / max(1, len(connections)))
        closing = []
        for connection in connections:
            assert isinstance(connection, Connection)
            closing.append(self._part(connection, RESTART))
            await asyncio.sleep(pause)
        if closing:
            await asyncio.wait(closing)
        # What is left has not finished its handshake, and could take its time.
        if sockets.handler_tasks:
            await asyncio.wait(sockets.handler_tasks, timeout=LEFT_OVER)
        for task in sockets.handler_tasks:
            task.cancel()
