"""The viewer's server: the page, and what it asks for. Nothing here writes."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from broadcast.page import SECURITY, Page
from chassis import logs, ops
from chassis.http import Request, Response, refusal, respond, respond_json, suited
from chassis.metrics import Counter
from chassis.network import listening
from chassis.redis import Link, transient
from chassis.tasks import first
from chassis.websocket import ServerConnection
from chassis.websocket import serve as listen

from .looks import UNREADABLE, Looks
from .settings import Settings

FEEDS = "/feeds"
"""Path of the list; each feed lies below it, by its name."""

OPEN_TIMEOUT = 3.0
"""Seconds in which a request must have come."""

LOOKS = Counter("viewer_looks", "Times that somebody asked for a picture, by what of", ["picture"])

log = logs.get("viewer")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Answer until `stop`."""
    await Viewer(settings, stop).run()


class Viewer:
    """One replica; any number may run, as they share nothing."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
        self._looks = Looks(self._link)
        self._page = Page("viewer")
        self._counted = {name: LOOKS.labels(name) for name in ("feeds", "feed")}

    async def run(self) -> None:
        """Listen, and ask Redis once whether it is there."""
        settings = self._settings
        quiet = logging.getLogger("websockets.viewer")
        quiet.setLevel(logging.CRITICAL)
        async with ops.endpoint(settings.ops_host, settings.ops_port, self._readiness, log):
            with listening("VIEWER_HOST, VIEWER_PORT", settings.host, settings.port):
                server = await listen(
                    _refuse,
                    settings.host,
                    settings.port,
                    process_request=self._answer,
                    compression=None,
                    open_timeout=OPEN_TIMEOUT,
                    close_timeout=1,
                    server_header=None,
                    logger=quiet,
                )
            async with server:
                port = next(iter(server.sockets)).getsockname()[1]
                log.info("viewer listens", host=settings.host, port=port)
                ping = self._link.patiently(lambda: self._link.send("PING"))
                await first(ping, self._stop.wait())
                await self._stop.wait()
        await self._link.close()

    def _readiness(self) -> dict[str, Any]:
        # Later the page itself says that Redis is away: nobody asks Redis while nobody looks.
        ready = self._link.answered and not self._stop.is_set()
        return {"ready": ready, "redis": self._link.up}

    async def _answer(self, _connection: ServerConnection, request: Request) -> Response:
        """Answer a GET: the page, or what it shows."""
        refused = refusal(request)
        if refused is not None:
            return refused
        path = unquote(request.path.partition("?")[0])
        if path != FEEDS and not path.startswith(FEEDS + "/"):
            return suited(request, self._page.answer(path))
        response = await self._look(path.removeprefix(FEEDS).removeprefix("/"))
        for name, value in SECURITY.items():
            response.headers[name] = value
        return suited(request, response)

    async def _look(self, feed: str) -> Response:
        """Answer with what a feed's picture is made of, or with the list of all."""
        self._counted["feed" if feed else "feeds"].inc()
        try:
            body = await (self._looks.feed(feed) if feed else self._looks.feeds())
        except Exception as error:
            reason = transient(error)
            if reason is not None:
                self._link.failed(error, reason)
                away = {"error": "Redis does not answer"}
                return respond_json(HTTPStatus.SERVICE_UNAVAILABLE, away)
            if not isinstance(error, UNREADABLE):
                raise
            odd = {"error": "what is in Redis cannot be read"}
            return respond_json(HTTPStatus.INTERNAL_SERVER_ERROR, odd)
        self._link.succeeded()
        if body is None:
            return respond_json(HTTPStatus.NOT_FOUND, {"error": "there is no such feed"})
        return respond(HTTPStatus.OK, body, "application/json")


async def _refuse(connection: ServerConnection) -> None:
    await connection.close()
