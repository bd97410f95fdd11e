"""Who may come in, and where to: answers plain requests, checks handshakes, counts heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from chassis import clock, hosts, http
from chassis.http import respond_json
from chassis.logs import Log
from chassis.metrics import Counter

from .admission import Admission, origin_allowed, places
from .connection import Connection
from .proxies import Network, Proxies, client_address

REFUSALS = ("origin", "path", "connections", "address")
"""Why a handshake may be refused: the reasons that `refused` is counted under."""

TELL_EVERY = 60.0
"""Seconds for which nothing more is logged of pages that may not connect."""

SHOWN = 200
"""Characters shown of what such a page says where it is from."""


class Rules(Protocol):
    """What a handshake goes by: a service's settings, which `settings` declares."""

    @property
    def origins(self) -> Sequence[str]:
        """Which web pages may connect."""

    @property
    def connections(self) -> int:
        """How many connections there may be."""

    @property
    def per_address(self) -> int:
        """How many of them may come from one address."""

    @property
    def proxies(self) -> Sequence[Network | str]:
        """Who is believed about where a connection comes from."""


class Handshake:
    """Decides about each request before it becomes a connection."""

    def __init__(
        self,
        paths: Mapping[str, int],
        answer: Callable[[str], Response],
        refused: Counter,
        rules: Rules,
        log: Log,
    ) -> None:
        """Accept connections to `paths`, each with the bytes that a message there may have at most.

        `answer(path)` answers the requests that ask for no WebSocket; `refused` counts those
        that were refused one, by reason. A longer message closes the connection with 1009.
        """
        self._paths = paths
        self._answer = answer
        self._refused = refused
        self._rules = rules
        self._log = log
        self._told = -TELL_EVERY
        self.proxies = Proxies(rules.proxies)
        self.wanted = rules.connections
        self.places = places(rules.connections)
        """Connections that there may be at a time."""
        self._admission = Admission(self.places, rules.per_address)
        for reason in REFUSALS:
            refused.labels(reason)

    def decide(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain GET, refuse a connection, or (None) accept it."""
        assert isinstance(connection, Connection)
        path = unquote(request.path.partition("?")[0])
        headers = request.headers
        if "websocket" not in ",".join(headers.get_all("Upgrade")).lower():
            return http.refusal(request) or http.suited(request, self._answer(path))
        if path not in self._paths:
            return self._refuse("path")
        origin, host = ",".join(headers.get_all("Origin")), http.host(request)
        if not origin_allowed(origin or None, host or None, self._rules.origins):
            self._tell(origin, host)
            return self._refuse("origin")
        address = client_address(
            str((connection.remote_address or ("",))[0]),
            ",".join(headers.get_all("X-Forwarded-For")),
            self.proxies,
        )
        reason = self._admission.enter(address)
        if reason is not None:
            return self._refuse(reason)
        connection.path = path
        connection.address = address
        connection.on_lost = lambda: self._admission.leave(address)
        connection.protocol.max_message_size = self._paths[path]
        return None

    def _tell(self, origin: str, host: str) -> None:
        """Log that a page may not connect, which its browser keeps from whoever wrote it."""
        now = clock.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            self._log.warning(
                "a page may not connect",
                origin=origin[:SHOWN],
                host=host[:SHOWN],
                known=hosts.expected(host),
            )

    def _refuse(self, reason: str) -> Response:
        self._refused.labels(reason).inc()
        match reason:
            case "origin":
                status, message = HTTPStatus.FORBIDDEN, "this page may not connect here"
            case "path":
                *others, last = self._paths
                known = f"{', '.join(others)} or {last}" if others else last
                status, message = HTTPStatus.NOT_FOUND, f"try {known}"
            case "connections":
                status = HTTPStatus.SERVICE_UNAVAILABLE
                message = "there are too many connections"
            case _:
                status = HTTPStatus.TOO_MANY_REQUESTS
                message = "there are too many connections from your address"
        response = respond_json(status, {"error": message})
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            response.headers["Retry-After"] = "10"
        return response
