"""What many feeds notice of killed replicas: `python -m tests.bench.replicas [FEEDS:RATE]`.

Three replicas of each service carry FEEDS feeds of RATE messages a second in all; one of each is
killed at the same moment. Told is how the work is shared before and after, how late the latest
message is that was sent after that moment, and whether every feed came out exact. A feed says its
latest messages again to whoever connects, as those that only the killed ingestor had are gone.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from tests.support.servers import Server

from .feeds import LEASE_TTL, START, Peers, staged

REPLICAS = 3
AGAIN = 50
"""Messages that a feed says again on a new connection."""

CALM = 15.0
"""Seconds before the kill, and after it."""

ROLES = ("orderer", "publisher", "lines")


class Saying(Peers):
    """Feeds that say their latest messages again to whoever connects."""

    def __init__(self, feeds: int, rate: float) -> None:
        super().__init__(feeds, rate)
        self.killed = float("inf")
        self.latest: list[list[bytes]] = [[] for _ in range(feeds)]
        self.connected: dict[int, ServerConnection] = {}
        self.after: dict[int, float] = {}
        """Of each feed, the longest delay of a message that was sent after the kill."""

    async def _feed(self, connection: ServerConnection, feed: int) -> None:
        self.connected[feed] = connection
        latest, pause = self.latest[feed], self._pause
        for message in list(latest):
            await connection.send(message, text=True)
        while True:
            await asyncio.sleep(pause)
            if self.connected[feed] is not connection or connection.state is not State.OPEN:
                return  # the next message is for whoever is connected then
            number = self._next[feed]
            self._next[feed] += 1
            latest.append(b'{"id":%d,"at":%.6f}' % (number, time.monotonic()))
            del latest[:-AGAIN]
            await connection.send(latest[-1], text=True)

    async def _endpoint(self, connection: ServerConnection, feed: int) -> None:
        async for text in connection:
            message = orjson.loads(text)
            # What was not confirmed is sent again on the next connection.
            self.jumps += message["id"] > self.received[feed] + 1
            if message["id"] > self.received[feed]:
                self.received[feed] = message["id"]
                delay = time.monotonic() - message["at"]
                self.delays.append(delay)
                if message["at"] > self.killed:
                    self.after[feed] = max(delay, self.after.get(feed, 0.0))


def shares(redis: Server) -> str:
    """Tell how many pieces of work each replica has, role by role."""
    held: dict[str, Counter[str]] = {role: Counter() for role in ROLES}
    for key in redis.client.keys("lease:*"):
        role = key.decode().rpartition("}:")[2].partition(":")[0]
        holder = (redis.client.get(key) or b"").decode().partition(":")[2]
        held[role][holder] += 1
    return ", ".join(
        f"{role} {'/'.join(str(count) for _, count in each.most_common())}"
        for role, each in held.items()
    )


async def measure(feeds: int, rate: float) -> None:
    """Start everything, kill, and tell."""
    peers = Saying(feeds, rate)
    async with staged(peers, feeds) as stage:
        redis, began = stage.redis, time.monotonic()
        replicas = [stage.services(LOG_LEVEL="error") for _ in range(REPLICAS)]
        while min(peers.received) < 2 and time.monotonic() - began < START:  # noqa: ASYNC110 # nothing else tells
            await asyncio.sleep(0.1)
        print(f"  {feeds} feeds, flowing after {time.monotonic() - began:.1f} s")
        await asyncio.sleep(CALM)
        print(f"  shares before: {shares(redis)}", flush=True)
        peers.killed = time.monotonic()
        for service in replicas[0].values():
            service.kill()
        await asyncio.sleep(CALM)
        silent = [feed for feed in range(feeds) if feed not in peers.after]
        worst = sorted(peers.after.values()) or [0.0]
        print(f"  shares after:  {shares(redis)}")
        print(
            f"  latest message after the kill: {worst[-1]:.2f} s late (half of the feeds"
            f" {worst[len(worst) // 2]:.2f} s); LEASE_TTL + 1 s is {LEASE_TTL + 1} s;"
            f" silent feeds: {len(silent)}"
        )
        gaps = sum(redis.client.xlen(key) for key in redis.client.keys("gaps:*"))
        print(f"  {sum(peers.received)} messages, {peers.jumps} jumps, {gaps} gaps")


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replicas", description=__doc__)
    parser.add_argument("pair", nargs="?", default="1000:1000")
    feeds, rate = parser.parse_args().pair.split(":")
    uvloop.run(measure(int(feeds), float(rate)))


if __name__ == "__main__":
    main()
