"""Who may come in, and where to: answers plain requests, checks handshakes, counts heads."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from chassis import ops

from . import metrics
from .connection import Connection
from .echo import MAX_BYTES
from .limits import Admission, client_address, origin_allowed
from .settings import Settings
from .site import Site

PATHS = {"/": metrics.MAIN, "/playground": metrics.PLAYGROUND, "/echo": metrics.ECHO}

_HTTP = {
    "origin": (HTTPStatus.FORBIDDEN, "this page may not connect here"),
    "path": (HTTPStatus.NOT_FOUND, "try /, /playground or /echo"),
    "connections": (HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections"),
    "address": (HTTPStatus.TOO_MANY_REQUESTS, "there are too many connections from your address"),
}


class Door:
    """Decides about each request before it becomes a connection."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._site = Site()
        self._admission = Admission(settings.connections, settings.per_address)

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain GET, refuse a connection, or (None) accept it."""
        assert isinstance(connection, Connection)
        path = unquote(request.path.partition("?")[0])
        headers = request.headers
        if "websocket" not in ",".join(headers.get_all("Upgrade")).lower():
            return self._site.answer(path)
        room = PATHS.get(path)
        if room is None:
            return self._refuse("path")
        origin, host = (",".join(headers.get_all(name)) for name in ("Origin", "Host"))
        if not origin_allowed(origin or None, host or None, self._settings.origins):
            return self._refuse("origin")
        address = client_address(
            str((connection.remote_address or ("",))[0]),
            ",".join(headers.get_all("X-Forwarded-For")),
            self._settings.proxies,
        )
        reason = self._admission.enter(address)
        if reason is not None:
            return self._refuse(reason)
        connection.address = address
        connection.on_lost = lambda: self._admission.leave(address)
        if room == metrics.ECHO:
            connection.protocol.max_message_size = MAX_BYTES
        return None

    @staticmethod
    def _refuse(reason: str) -> Response:
        metrics.REFUSED.labels(reason).inc()
        status, message = _HTTP[reason]
        response = ops.respond_json(status, {"error": message})
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            response.headers["Retry-After"] = "10"
        return response
