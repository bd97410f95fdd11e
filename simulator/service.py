"""The simulator's sockets: the feed, the checking endpoint, and the reports on both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from chassis import clock, logs, ops, tasks
from chassis.http import Request, Response, refusal, respond, respond_json, suited
from chassis.network import listening
from chassis.websocket import (
    MAX_MESSAGE,
    WRITE_LIMIT,
    BatchingServer,
    ConnectionClosed,
    Server,
    ServerConnection,
    limit_silence,
)
from chassis.websocket import serve as listen

from . import metrics
from .check import Checker
from .feed import Feed
from .numbering import Numbering
from .pump import Pump
from .sent import Sent
from .settings import Settings

SURNAMES = 1000
"""Distinct surnames that are served."""

CLOSE_TIMEOUT = 5.0
"""Seconds for a closing handshake."""

FEED = "/raw-messages"
ENDPOINT = re.compile(r"/ordered-messages/([\w.-]{1,64})")

PAGE = """\
Seriatim's simulator stands in for the remote test server.

WebSocket  /raw-messages                 an unordered feed of {"id": int, "text": int}
WebSocket  /ordered-messages/{surname}   send it here in order; every message is checked
GET        /report                       what each surname received, and what was wrong with it
GET        /feed                         how far the feed is
"""


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then close all connections with 1001."""
    await Simulator(settings).run(stop)


class Simulator:
    """One feed, and a checker for each surname."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = logs.get("simulator")
        self._numbering = Numbering(settings.seed, settings.first_id, settings.restart_every)
        self._sent = Sent()
        feed = Feed(settings, self._numbering)
        self._pump = Pump(feed, self._numbering, self._sent, settings.rate, self._log)
        self._checkers: dict[str, Checker] = {}
        self._refusals = settings.refuse

    async def run(self, stop: asyncio.Event) -> None:
        """Listen, pump the feed, stop."""
        settings = self._settings
        quiet = logging.getLogger("websockets.simulator")
        quiet.setLevel(logging.CRITICAL)  # misbehaving peers are this program's daily bread
        async with ops.endpoint(settings.ops_host, settings.ops_port, self._readiness, self._log):
            with listening("SIMULATOR_HOST, SIMULATOR_PORT", settings.host, settings.port):
                server = await listen(
                    self._handle,
                    settings.host,
                    settings.port,
                    process_request=self._answer,
                    create_connection=BatchingServer,
                    compression=None,
                    max_size=MAX_MESSAGE,
                    write_limit=WRITE_LIMIT,
                    open_timeout=10 + settings.answer_delay,
                    # A client that is slow to read or a stalled endpoint is no reason to close.
                    ping_timeout=None,
                    close_timeout=CLOSE_TIMEOUT,
                    logger=quiet,
                )
            async with server:
                port = next(iter(server.sockets)).getsockname()[1]
                self._log.info("simulator listens", host=settings.host, port=port)
                await tasks.first(self._pump.run(), stop.wait())
                await self._close(server)

    @staticmethod
    async def _close(server: Server) -> None:
        """Say 1001 to all; drop those that cannot hear it, for they no longer read."""
        server.close(code=1001, reason="the simulator stops")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT / 2):
                await server.wait_closed()
        except TimeoutError:
            for connection in list(server.all_connections):
                connection.transport.abort()

    # Requests

    async def _answer(self, _: ServerConnection, request: Request) -> Response | None:
        """Answer a plain GET, refuse a connection, or (None) accept it."""
        path = unquote(request.path.partition("?")[0])
        if path in ("/", "/report", "/feed"):
            return refusal(request) or suited(request, self._tell(path))
        if path == FEED:
            return None
        endpoint = ENDPOINT.fullmatch(path)
        if not endpoint:
            return respond_json(HTTPStatus.NOT_FOUND, {"error": "there is nothing here"})
        if self._refusals > 0:
            self._refusals -= 1
            return self._refuse("refused on purpose")
        if endpoint[1] not in self._checkers and len(self._checkers) >= SURNAMES:
            return self._refuse(f"there are {SURNAMES} surnames already")
        await asyncio.sleep(self._settings.answer_delay)
        return None

    def _tell(self, path: str) -> Response:
        """Answer a GET."""
        if path == "/report":
            report = {name: checker.report() for name, checker in self._checkers.items()}
            return respond_json(HTTPStatus.OK, report)
        if path == "/feed":
            return respond_json(HTTPStatus.OK, self._pump.state())
        return respond(HTTPStatus.OK, PAGE.encode(), "text/plain; charset=utf-8")

    @staticmethod
    def _refuse(reason: str) -> Response:
        metrics.ENDPOINT_REFUSALS.inc()
        return respond_json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": reason})

    def _readiness(self) -> dict[str, Any]:
        return {"ready": True, "feed": self._pump.state(), "surnames": len(self._checkers)}

    # Connections

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve a connection until it is closed."""
        assert isinstance(connection, BatchingServer)
        assert connection.request is not None
        limit_silence(connection, 30)
        path = unquote(connection.request.path.partition("?")[0])
        with contextlib.suppress(ConnectionClosed):
            if path == FEED:
                await self._pump.hold(connection)
            else:
                surname = path.rpartition("/")[2]
                metrics.ENDPOINT_CONNECTIONS.inc()
                try:
                    await self._receive(connection, surname)
                finally:
                    metrics.ENDPOINT_CONNECTIONS.dec()

    async def _receive(self, connection: BatchingServer, surname: str) -> None:
        """Check what comes on a connection to the endpoint, misbehaving as told."""
        settings = self._settings
        checker = self._checkers.get(surname)
        if checker is None:
            checker = self._checkers[surname] = Checker(
                self._numbering, self._sent, metrics.DELAY.observe
            )
        progress = checker.connect()
        limits = [limit for limit in (settings.stall_after, settings.close_after) if limit]
        left = min(limits, default=None)
        while left is None or left > 0:
            frames = await connection.receive()
            now = clock.monotonic()
            if left is not None:
                # What lies beyond has been received by the library, but not by this endpoint.
                frames = frames[:left]
                left -= len(frames)
            before = [getattr(checker, fault) for fault in metrics.FAULTS]
            checker.check(progress, frames, now)
            metrics.RECEIVED.inc(len(frames))
            for (fault, counter), count in zip(metrics.FAULTS.items(), before, strict=True):
                if getattr(checker, fault) > count:
                    counter.inc(getattr(checker, fault) - count)
            if settings.slow:
                await asyncio.sleep(settings.slow)
        if settings.close_after and settings.close_after == min(limits):
            await self._hang_up(connection)
        else:
            connection.transport.pause_reading()
            await connection.wait_closed()

    async def _hang_up(self, connection: BatchingServer) -> None:
        """Close with the code that was asked for, reading on until the peer has closed too."""
        closing = asyncio.ensure_future(
            connection.close(self._settings.close_code, "closed on purpose")
        )
        try:
            while True:
                await connection.receive()
        finally:
            await closing
