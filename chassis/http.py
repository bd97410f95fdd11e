"""Small answers of an HTTP server, as websockets wants them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from websockets import http11
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from . import hosts

__all__ = ["Request", "Response", "host", "refusal", "respond", "respond_json", "suited"]


MAX_LINE = 32 * 1024
"""Bytes of a header's line: proxies that keep sessions in cookies fill more than 8 KiB."""

http11.MAX_LINE_LENGTH = MAX_LINE


def host(request: Request) -> str:
    """Tell which host a request names; several are no host that anybody expects."""
    return ",".join(request.headers.get_all("Host"))


def refusal(request: Request) -> Response | None:
    """Refuse a plain request that does not GET, or whose host is not expected here."""
    if request.method not in ("GET", "HEAD"):
        response = respond_json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "only GET and HEAD"})
        response.headers["Allow"] = "GET, HEAD"
        return response
    if not hosts.expected(host(request)):
        message = "this host name is not expected here; ALLOWED_HOSTS may name it"
        return respond_json(HTTPStatus.MISDIRECTED_REQUEST, {"error": message})
    return None


def suited(request: Request, response: Response) -> Response:
    """Leave the body out of an answer to HEAD, which tells only how long it would be."""
    if request.method == "HEAD":
        response.body = b""
    return response


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
