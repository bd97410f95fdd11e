"""The ops endpoint, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from prometheus_client import CONTENT_TYPE_LATEST

from chassis import logs, ops
from chassis.metrics import Counter

log = logs.get("example")

ASKED = Counter("test_ops_asked", "Whether this process shows its metrics")


async def http(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send a raw request; returns status, headers by lower-case name, and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.encode())
        async with asyncio.timeout(10):
            answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]) if status else 0, headers, body


async def get(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    return await http(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_metrics() -> None:
    """Prometheus could not scrape the service."""
    ASKED.inc()
    async with ops.endpoint("127.0.0.1", 0, lambda: {"ready": True}, log) as port:
        status, headers, body = await get(port, "/metrics")
    assert status == 200
    assert headers["content-type"] == CONTENT_TYPE_LATEST.lower()
    assert int(headers["content-length"]) == len(body)
    assert b"test_ops_asked_total 1.0\n" in body
    assert body.endswith(b"\n")


async def test_health() -> None:
    """An orchestrator would restart a service that is well."""
    async with ops.endpoint("127.0.0.1", 0, lambda: {"ready": False}, log) as port:
        status, headers, body = await get(port, "/healthz")
    assert (status, orjson.loads(body)) == (200, {"alive": True})
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"


async def test_readiness() -> None:
    """A gateway would send clients to a service that cannot serve, or to none."""
    state: dict[str, Any] = {"ready": False, "redis": False}
    async with ops.endpoint("127.0.0.1", 0, lambda: state, log) as port:
        status, _, body = await get(port, "/readyz")
        assert (status, orjson.loads(body)) == (503, state)
        state |= {"ready": True, "redis": True}
        status, _, body = await get(port, "/readyz?verbose")
        assert (status, orjson.loads(body)) == (200, state)


@pytest.mark.parametrize("path", ["/", "/metrics/x", "/Metrics", "/healthzz", "//readyz"])
async def test_elsewhere(path: str) -> None:
    """A mistyped path would look like an answer."""
    async with ops.endpoint("127.0.0.1", 0, lambda: {"ready": True}, log) as port:
        status, _, body = await get(port, path)
    assert status == 404
    assert b"/metrics" in body


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET /metrics HTTP/1.1\r\n" + "X: y\r\n" * 200 + "\r\n",
    ],
)
async def test_bad_requests_do_no_harm(request_text: str) -> None:
    """A port scan would end the ops endpoint, or the service with it."""
    async with ops.endpoint("127.0.0.1", 0, lambda: {"ready": True}, log) as port:
        await http(port, request_text)
        status, _, _ = await get(port, "/healthz")
        assert status == 200


async def test_many_at_once() -> None:
    """Two scrapers at the same time would disturb each other."""
    async with ops.endpoint("127.0.0.1", 0, lambda: {"ready": True}, log) as port:
        answers = await asyncio.gather(*(get(port, "/healthz") for _ in range(20)))
    assert {status for status, _, _ in answers} == {200}


async def test_is_gone_afterwards() -> None:
    """A service that has stopped would seem alive, and keep its port."""
    async with ops.endpoint("127.0.0.1", 0, lambda: {"ready": True}, log) as port:
        pass
    with pytest.raises(OSError, match="Connect"):
        await get(port, "/healthz")
