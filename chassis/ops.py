"""The ops endpoint: /metrics, /healthz and /readyz, served in the service's own event loop.

Being in the same loop is the point: a service that no longer turns its loop does not answer.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from .http import refusal, respond, respond_json, suited
from .logs import Log
from .metrics import exposition
from .network import listening

OPEN_TIMEOUT = 3.0
"""Seconds in which a request must have come; a connection that stays silent holds up the end."""

Readiness = Callable[[], Mapping[str, Any]]
"""Tells the state of the service; `ready` is a bool, the rest explains it."""


async def answer(path: str, readiness: Readiness) -> Response:
    """Answer a GET of `path`."""
    match path.partition("?")[0]:
        case "/metrics":
            return respond(HTTPStatus.OK, await exposition(), CONTENT_TYPE_LATEST)
        case "/healthz":
            return respond_json(HTTPStatus.OK, {"alive": True})
        case "/readyz":
            state = readiness()
            status = HTTPStatus.OK if state["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
            return respond_json(status, state)
    return respond_json(HTTPStatus.NOT_FOUND, {"error": "try /metrics, /healthz or /readyz"})


@contextlib.asynccontextmanager
async def endpoint(host: str, port: int, readiness: Readiness, log: Log) -> AsyncIterator[int]:
    """Serve the ops endpoint inside the `async with` block; yields the port it listens on."""

    async def process_request(_connection: ServerConnection, request: Request) -> Response:
        return refusal(request) or suited(request, await answer(request.path, readiness))

    async def refuse(connection: ServerConnection) -> None:
        await connection.close()

    quiet = logging.getLogger("websockets.ops")
    quiet.setLevel(logging.CRITICAL)
    with listening("OPS_HOST, OPS_PORT", host, port):
        starting = await serve(
            refuse,
            host,
            port,
            process_request=process_request,
            compression=None,
            logger=quiet,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=1,
            server_header=None,
        )
    async with starting as server:
        bound: int = next(iter(server.sockets)).getsockname()[1]
        log.info("ops endpoint listens", host=host, port=bound)
        yield bound
