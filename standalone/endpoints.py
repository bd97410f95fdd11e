"""Asks the services over HTTP: readiness, metrics, and the simulator's report."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import orjson
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT = 5.0
"""Seconds that an answer may take."""


async def get(url: str) -> tuple[int, bytes]:
    """GET `url` and return status and body; raises OSError or TimeoutError if there is none."""
    parts = urlsplit(url)
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            request = (
                f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
            )
            writer.write(request.encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionError(f"no answer from {url}")
    return int(words[1]), body


async def get_json(url: str) -> Any:
    """GET a JSON document; None if there is no such answer now."""
    try:
        status, body = await get(url)
        return orjson.loads(body) if status == 200 else None
    except (OSError, TimeoutError, orjson.JSONDecodeError):
        return None


async def unready(ops: str) -> str | None:
    """Tell why the service with the ops endpoint `ops` is not ready, None if it is."""
    try:
        status, body = await get(f"{ops}/readyz")
    except (OSError, TimeoutError) as error:
        return str(error) or "no answer"
    return None if status == 200 else body.decode(errors="replace").strip()


async def metrics(ops: str) -> dict[str, float]:
    """Get a service's metrics, each the sum over all its labels; empty if there is no answer."""
    return totals(await exposition(ops))


async def exposition(ops: str) -> str:
    """Get a service's metrics in Prometheus' text format; empty if there is no answer."""
    try:
        status, body = await get(f"{ops}/metrics")
    except (OSError, TimeoutError):
        return ""
    return body.decode() if status == 200 else ""


def totals(exposition: str) -> dict[str, float]:
    """Sum up each metric of Prometheus' text format over its labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
