"""Small answers of an HTTP server, as websockets wants them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

__all__ = ["Request", "Response", "respond", "respond_json"]


def respond(status: HTTPStatus, body: bytes, content_type: str) -> Response:
    """Make a plain HTTP response, after which websockets closes the connection."""
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)


def respond_json(status: HTTPStatus, value: Any) -> Response:
    """Make an HTTP response that carries `value` as JSON."""
    return respond(status, orjson.dumps(value) + b"\n", "application/json")
