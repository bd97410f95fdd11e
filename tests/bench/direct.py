"""The direct script that the relay is measured against: read, parse, heap, send.

No Redis, nothing durable, no metrics; one process. `plain` is what such scripts look like;
`tuned` has every trick that leaves the shape as it is (uvloop, orjson, bytes instead of text).

    python -m tests.bench.direct plain|tuned FEED_URL ENDPOINT_URL FIRST_ID
"""

from __future__ import annotations

import asyncio
import heapq
import json
import sys

import orjson
import uvloop
from websockets.asyncio.client import connect


async def plain(feed_url: str, endpoint_url: str, first: int) -> None:
    """Relay as the scripts in tutorials do."""
    heap: list[tuple[int, str]] = []
    expected = first
    async with connect(feed_url) as feed, connect(endpoint_url) as endpoint:
        async for message in feed:
            seq = json.loads(message)["id"]
            if seq < expected:
                continue
            heapq.heappush(heap, (seq, str(message)))
            while heap and heap[0][0] <= expected:
                seq, text = heapq.heappop(heap)
                if seq == expected:
                    await endpoint.send(text)
                    expected += 1


async def tuned(feed_url: str, endpoint_url: str, first: int) -> None:
    """Relay the same way, with the cheapest form of each step."""
    heap: list[tuple[int, bytes]] = []
    expected = first
    async with (
        connect(feed_url, compression=None, max_queue=1024) as feed,
        connect(endpoint_url, compression=None) as endpoint,
    ):
        while True:
            message = await feed.recv(decode=False)
            seq = orjson.loads(message)["id"]
            if seq < expected:
                continue
            heapq.heappush(heap, (seq, message))
            while heap and heap[0][0] <= expected:
                seq, frame = heapq.heappop(heap)
                if seq == expected:
                    await endpoint.send(frame, text=True)
                    expected += 1


if __name__ == "__main__":
    kind, source, target, first_id = sys.argv[1:]
    if kind == "plain":
        asyncio.run(plain(source, target, int(first_id)))
    else:
        uvloop.run(tuned(source, target, int(first_id)))
