"""What feeds that share a lane notice of each other: `python -m tests.bench.fair [--seconds 30]`.

Forty feeds share one lane, each with 20 messages a second. Then one of them sends 100 000 at once,
one lacks a message for SECONDS, the endpoint of one does not read for as long, and one that waits
for ever for what it lacks fills what it may hold until somebody skips that (it has a lane of its
own, which is how the relay puts it). First each by itself, then all together. Told is the delay of
the others, before and meanwhile, and whether all came out in the end, in order, once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.processes import command
from tests.support.servers import Server, binary
from tests.support.stack import Stack

FEEDS = 40
PAUSE = 0.05
"""Seconds between two messages of a feed."""

BURST = 100_000
HELD = 1000
"""Messages that the feed which waits for ever may hold."""

LANE = "+1"
FAULTS = ("burst", "gap", "stuck", "never")
WARM = 5.0
DONE = 120.0
"""Seconds within which all must have come out in the end."""


class Peers:
    """All feeds and endpoints; the first four feeds are those that a fault is played on."""

    def __init__(self) -> None:
        self.sent = [0] * FEEDS
        self.received = [0] * FEEDS
        self.delays: list[float] = []
        self.jumps = self.skipped = 0
        self.faults: set[str] = set()
        self.kept: dict[int, bytes] = {}
        """Of a feed, the message that it lacks."""
        self.reading = asyncio.Event()
        self.reading.set()

    async def serve(self, connection: ServerConnection) -> None:
        """Serve a connection of the relay: /raw/N or /out/N."""
        assert connection.request is not None
        _, kind, number = connection.request.path.split("/")
        with contextlib.suppress(ConnectionClosed):
            await (self._feed if kind == "raw" else self._endpoint)(connection, int(number))

    def message(self, feed: int) -> bytes:
        """Make the next message of a feed."""
        self.sent[feed] += 1
        return b'{"id":%d,"at":%.6f}' % (self.sent[feed], time.monotonic())

    async def _feed(self, connection: ServerConnection, feed: int) -> None:
        fault = FAULTS[feed] if feed < len(FAULTS) else ""
        while True:
            await asyncio.sleep(PAUSE)
            played = fault in self.faults
            if played and fault == "burst":
                self.faults.discard("burst")
                for _ in range(BURST):
                    await connection.send(self.message(feed), text=True)
            if fault in ("gap", "never"):
                if played and feed not in self.kept:
                    self.kept[feed] = self.message(feed)
                elif not played and feed in self.kept:
                    lacked = self.kept.pop(feed)
                    if fault == "gap":
                        await connection.send(lacked, text=True)
            times = 5 if played and fault in ("stuck", "never") else 1
            for _ in range(times):
                await connection.send(self.message(feed), text=True)

    async def _endpoint(self, connection: ServerConnection, feed: int) -> None:
        while True:
            if feed == FAULTS.index("stuck"):
                await self.reading.wait()
            message = orjson.loads(await connection.recv())
            jump = message["id"] != self.received[feed] + 1
            self.skipped += jump and feed == FAULTS.index("never")
            self.jumps += jump and feed != FAULTS.index("never")
            self.received[feed] = message["id"]
            if feed >= len(FAULTS):
                self.delays.append(time.monotonic() - message["at"])

    async def watch(self, seconds: float) -> str:
        """Tell the delay of the others in the next seconds."""
        self.delays.clear()
        await asyncio.sleep(seconds)
        delays = sorted(self.delays) or [0.0]
        p50, p99 = (1e3 * delays[int(len(delays) * share)] for share in (0.5, 0.99))
        expected = (FEEDS - len(FAULTS)) * seconds / PAUSE
        return (
            f"p50 {p50:6.1f}  p99 {p99:7.1f}  most {1e3 * delays[-1]:7.1f} ms"
            f"  {len(delays) / expected:4.0%} of the messages"
        )

    async def all_out(self) -> str:
        """Wait until everything that was sent has come out; tells how long that took."""
        await asyncio.sleep(2 * PAUSE)
        began = time.monotonic()
        while time.monotonic() - began < DONE:
            if all(got >= sent - 2 for got, sent in zip(self.received, self.sent, strict=True)):
                return f"all out after {time.monotonic() - began:.1f} s"
            await asyncio.sleep(0.1)
        behind = {
            feed: sent - got
            for feed, (got, sent) in enumerate(zip(self.received, self.sent, strict=True))
            if got < sent - 2
        }
        return f"NOT ALL OUT: {behind}"


def table(port: int, seconds: float) -> str:
    """Write the file of feeds."""
    tables = []
    for feed in range(FEEDS):
        fault = FAULTS[feed] if feed < len(FAULTS) else ""
        words = {
            "gap": f"gap_timeout = {2 * seconds}",
            "never": f'gap_timeout = "never"\ncapacity = {HELD}',
        }.get(fault, "gap_timeout = 5")
        tables.append(
            f'[feed.f{feed}]\nurl = "ws://127.0.0.1:{port}/raw/{feed}"\nfirst_id = 1\n{words}\n'
            f'[feed.f{feed}.endpoint.e]\nurl = "ws://127.0.0.1:{port}/out/{feed}"\n'
        )
    return "\n".join(tables)


async def measure(seconds: float) -> None:
    """Play the faults, and tell."""
    program = binary("valkey")
    assert program is not None
    peers = Peers()
    with tempfile.TemporaryDirectory() as directory:
        redis = Server(program, Path(directory), {"appendonly": "yes"})
        start = Stack(redis)
        try:
            async with serve(
                peers.serve, "127.0.0.1", 0, compression=None, ping_interval=None, write_limit=2**20
            ) as server:
                file = Path(directory, "feeds.toml")
                file.write_text(table(server.sockets[0].getsockname()[1], seconds))
                # All in one lane, but for the one that waits for ever.
                lanes = {f"f{feed}": LANE for feed in range(FEEDS)}
                del lanes[f"f{FAULTS.index('never')}"]
                redis.client.hset("feeds", mapping=lanes)
                settings = {"FEEDS_FILE": file, "LEASE_TTL": 3, "LOG_LEVEL": "warning"}
                for module in ("orderer", "publisher", "ingestor"):
                    start.service(module, **settings)
                while min(peers.received) < 20:  # noqa: ASYNC110 # nothing else tells
                    await asyncio.sleep(0.1)
                print(f"  before        {await peers.watch(2 * WARM)}", flush=True)
                for faults in (*((fault,) for fault in FAULTS), FAULTS):
                    if "stuck" in faults:
                        peers.reading.clear()
                    peers.faults |= set(faults)
                    told = await peers.watch(seconds)
                    peers.faults.clear()
                    peers.reading.set()
                    if "never" in faults:
                        name = f"f{FAULTS.index('never')}"
                        await asyncio.to_thread(
                            command, "orderer", "skip", name, REDIS_URL=redis.url, FEEDS_FILE=file
                        )
                    called = faults[0] if len(faults) == 1 else "all at once"
                    print(f"  {called:<13} {told}  {await peers.all_out()}", flush=True)
                    await asyncio.sleep(WARM)
                print(f"  afterwards    {await peers.watch(2 * WARM)}", flush=True)
                gaps = sum(redis.client.xlen(key) for key in redis.client.keys("gaps:*"))
                print(
                    f"  {sum(peers.received)} messages, {peers.jumps} jumps,"
                    f" {peers.skipped} skipped, {gaps} rows of what was given up"
                )
        finally:
            start.close()
            redis.close()


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fair", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    uvloop.run(measure(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
