"""What many feeds cost: `python -m tests.bench.feeds [FEEDS:RATE …] [--seconds 10]`.

For each pair, real processes relay FEEDS feeds of RATE messages a second in all. Told are the share
of a core that each service and Redis use, the delay, and what Redis had to do for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.processes import Service
from tests.support.servers import Server, binary
from tests.support.stack import Stack

USUAL = ("1:5000", "20:5000", "100:5000", "300:5000", "1000:5000", "1000:16.7")
"""Feeds and messages per second that are measured when nothing is said."""

TOGETHER = 0.005
"""Seconds between two sends of a feed, at least: what is due by then goes out together."""

SHOWN = 16
"""Kinds of commands that are told."""

LEASE_TTL = 3

START = 60.0
"""Seconds within which all feeds must flow."""


class Peers:
    """All feeds and all endpoints: each message carries when it was sent."""

    def __init__(self, feeds: int, rate: float) -> None:
        self.received = [0] * feeds
        self.delays: list[float] = []
        self.jumps = 0
        self._pause = feeds / rate
        self._next = [1] * feeds

    async def serve(self, connection: ServerConnection) -> None:
        """Serve a connection of the relay: /raw/N or /out/N."""
        assert connection.request is not None
        _, kind, number = connection.request.path.split("/")
        with contextlib.suppress(ConnectionClosed):
            await (self._feed if kind == "raw" else self._endpoint)(connection, int(number))

    async def _feed(self, connection: ServerConnection, feed: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + random.random() * self._pause
        while True:
            await asyncio.sleep(max(TOGETHER, due - loop.time()))
            count = 1 + int((loop.time() - due) / self._pause)
            due += count * self._pause
            first = self._next[feed]
            self._next[feed] += count
            for number in range(first, first + count):
                message = b'{"id":%d,"at":%.6f}' % (number, time.monotonic())
                await connection.send(message, text=True)

    async def _endpoint(self, connection: ServerConnection, feed: int) -> None:
        async for text in connection:
            message = orjson.loads(text)
            self.jumps += message["id"] != self.received[feed] + 1
            self.received[feed] = message["id"]
            self.delays.append(time.monotonic() - message["at"])


def cpu(pid: int) -> float:
    """Tell how many seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stage:
    """A Redis, and the addresses of all feeds and endpoints for services around it."""

    def __init__(self, redis: Server, start: Stack, port: int, feeds: int) -> None:
        self.redis = redis
        self._start = start
        self._at = [f"f{feed}=ws://127.0.0.1:{port}/{{}}/{feed}" for feed in range(feeds)]

    def services(self, **settings: Any) -> dict[str, Service]:
        """Start one of each service, for all feeds."""
        start, at = self._start, self._at
        return {
            "orderer": start.orderer(ORDERER_FIRST_ID=1, LEASE_TTL=LEASE_TTL, **settings),
            "publisher": start.publisher(
                *(one.format("out") for one in at), LEASE_TTL=LEASE_TTL, **settings
            ),
            "ingestor": start.ingestor(
                *(one.format("raw") for one in at), LEASE_TTL=LEASE_TTL, **settings
            ),
        }


@contextlib.asynccontextmanager
async def staged(peers: Peers, feeds: int) -> AsyncIterator[Stage]:
    """Serve the peers, and have a Redis, inside the `async with` block."""
    program = binary("valkey")
    assert program is not None
    with tempfile.TemporaryDirectory() as directory:
        redis = Server(program, Path(directory), {"maxclients": "20000", "appendonly": "yes"})
        start = Stack(redis)
        try:
            async with serve(
                peers.serve, "127.0.0.1", 0, compression=None, ping_interval=None
            ) as server:
                yield Stage(redis, start, server.sockets[0].getsockname()[1], feeds)
        finally:
            start.close()
            redis.close()


async def measure(feeds: int, rate: float, seconds: float, *, commands: bool = False) -> None:
    """Measure one pair, and print the row."""
    peers = Peers(feeds, rate)
    async with staged(peers, feeds) as stage:
        redis, services = stage.redis, stage.services(LOG_LEVEL="warning")
        pids = {name: service.pid for name, service in services.items()}
        assert redis._process is not None
        pids["redis"] = redis._process.pid
        began = time.monotonic()
        wanted = 2 if rate / feeds > 0.5 else 0
        while min(peers.received) < wanted and time.monotonic() - began < START:  # noqa: ASYNC110 # nothing else tells
            await asyncio.sleep(0.2)
        flowing = time.monotonic() - began
        silent = sum(count < wanted for count in peers.received)
        await asyncio.sleep(3 if wanted else 20)
        before, calls = {name: cpu(pid) for name, pid in pids.items()}, executed(redis)
        kinds = by_kind(redis) if commands else {}
        received, peers.delays, at_first = sum(peers.received), [], time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - at_first
        used = {name: 100 * (cpu(pid) - before[name]) / took for name, pid in pids.items()}
        rates = (sum(peers.received) - received) / took, (executed(redis) - calls) / took
        delays = sorted(peers.delays) or [0.0]
        rose = {kind: count - kinds.get(kind, 0) for kind, count in by_kind(redis).items()}
        print(
            f"{feeds:>5} feeds {rates[0]:>6.0f}/s  CPU {sum(used.values()):6.1f} % ("
            + ", ".join(f"{name} {share:.1f}" for name, share in used.items())
            + f")  p50 {1e3 * delays[len(delays) // 2]:.1f}"
            f"  p99 {1e3 * delays[int(len(delays) * 0.99)]:.1f} ms"
            f"  {rates[1]:.0f} commands/s"
            f"  {redis.client.info('clients')['connected_clients']} connections  MiB "
            + "/".join(str(service.memory >> 20) for service in services.values())
            + f"  flowing after {flowing:.1f} s  {silent} silent  {peers.jumps} jumps",
            flush=True,
        )
        if commands:
            most = sorted(rose.items(), key=lambda pair: -pair[1])[:SHOWN]
            each = (f"{kind} {count / took:.0f}/s" for kind, count in most)
            print("     ", ", ".join(each), flush=True)


def by_kind(redis: Server) -> dict[str, int]:
    """Tell how many commands of each kind Redis has executed, those of scripts included."""
    stats: dict[str, dict[str, int]] = redis.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


def executed(redis: Server) -> int:
    """Tell how many commands Redis has executed."""
    stats: dict[str, int] = redis.client.info("stats")
    return stats["total_commands_processed"]


def main() -> None:
    """Measure the pairs that the command line names, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.feeds", description=__doc__)
    parser.add_argument("pairs", nargs="*", default=USUAL)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--commands", action="store_true", help="tell what Redis had to do")
    options = parser.parse_args()
    if len(options.pairs) == 1:
        feeds, rate = options.pairs[0].split(":")
        uvloop.run(measure(int(feeds), float(rate), options.seconds, commands=options.commands))
        return
    for pair in options.pairs:
        command = [sys.executable, "-m", "tests.bench.feeds", pair]
        more = ["--commands"] if options.commands else []
        subprocess.run([*command, "--seconds", str(options.seconds), *more], check=False)


if __name__ == "__main__":
    main()
