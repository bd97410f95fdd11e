"""Keep the connections of one replica: take them, look after them, send them away."""

from __future__ import annotations

import asyncio
import logging
import socket
from http import HTTPStatus
from typing import Protocol

from websockets.asyncio.server import Server as Sockets
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from chassis import clock, tasks
from chassis.http import Request, Response
from chassis.logs import Log
from chassis.network import listening
from chassis.websocket import limit_silence

from .admission import strangers
from .closing import BUG, RESTART, UNFINISHED, CloseReason
from .connection import SEND_BUFFER, UNSENT, Connection
from .handshake import Handshake

SWEEP = 1.0
"""Seconds between two looks at every connection."""

DOOR = 0.05
"""Seconds between two looks at those who have not said what they want."""

HEARING = 0.3
"""Seconds that each of them has for that, however many they are."""

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
        prefix = self._name.upper()
        with listening(f"{prefix}_HOST, {prefix}_PORT", address, port):
            sockets = await listen(
                self._handle,
                address,
                port,
                process_request=self._handshake.decide,
                process_response=_agree,
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
            await tasks.first(
                self._sweep(sockets), _mind_the_door(), handshake.proxies.follow(), stop.wait()
            )
            await self._send_away(sockets)
        finally:
            sockets.close(code=RESTART.code or 1001)
            await sockets.wait_closed()

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve a connection until it is closed."""
        assert isinstance(connection, Connection)
        Connection.strangers.pop(connection, None)
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
            self._relieve(sockets)
            for connection in list(sockets.all_connections):
                assert isinstance(connection, Connection)
                if not connection.open:
                    if connection.lingers:
                        connection.abort()
                    continue
                if connection.lags(now):
                    self._host.cut_slow(connection)
                    continue
                if connection.dawdles(now):
                    self._part(connection, UNFINISHED)
                    continue
                ending = self._host.overdue(connection, now)
                if ending is not None:
                    self._part(connection, ending)

    def _relieve(self, sockets: Sockets) -> None:
        """Cut those who read slowest, if too much waits for all of them together."""
        waiting = [
            (connection.unwritten, connection)
            for connection in sockets.all_connections
            if isinstance(connection, Connection)
        ]
        total = sum(size for size, _ in waiting)
        if total <= UNSENT:
            return
        for size, connection in sorted(waiting, key=lambda pair: pair[0], reverse=True):
            self._host.cut_slow(connection)
            total -= size
            if total <= UNSENT // 2:
                return

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


def _agree(_connection: ServerConnection, request: Request, response: Response) -> None:
    """Agree to what a client calls the protocol, as browsers close the connection otherwise.

    Here and not with `select_subprotocol`, which leaves each connection to the garbage collector.
    """
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    if offered and response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
        response.headers["Sec-WebSocket-Protocol"] = offered.partition(",")[0].strip()


async def _mind_the_door() -> None:
    """Send away who has connected and says nothing, while there are too many of them.

    Whoever wants in says so at once. Without a bound, silence would take all the files there are.
    """
    most = strangers()
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(DOOR)
        latest = loop.time() - HEARING
        while len(Connection.strangers) > most:
            oldest, since = next(iter(Connection.strangers.items()))
            if since > latest:
                break
            del Connection.strangers[oldest]
            oldest.abort()
