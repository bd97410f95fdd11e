"""Measure wisdom: `python -m tests.bench.wisdom [fan-out] [takeover] [--subscribers N] …`.

Fan-out: from a quote's publication (its entry's id in Redis, which is cut to a millisecond) to its
last delivery, as the subscribers' process sees it; CPU and memory are the server process' own.
Takeover: from the death of the replica that ticks to the next quote.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import cast

import uvloop

from tests.support import servers
from tests.support.processes import Service
from tests.support.stack import Stack
from tests.support.waiting import until
from tests.support.wisdom import port, replica

from .chat import cpu
from .chat_crowd import masked

BENCHES = ("fan-out", "takeover")

PING = 5.0
"""Seconds between two pings of a subscriber."""


class Subscriber(asyncio.Protocol):
    """One subscriber, as cheap as can be; notes in `heard` when a quote came."""

    def __init__(self, heard: dict[bytes, list[float]]) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.own = ""
        self._heard = heard
        self._buffer = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self._buffer + data
        if not self._open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._open, data = True, rest
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            if start + length > end:
                break
            self._take(data[start : start + length], now)
            at = start + length
        self._buffer = data[at:]

    def _take(self, message: bytes, now: float) -> None:
        if message.startswith(b'{"type":"wisdom_distribution"'):
            self._heard.setdefault(message, []).append(now)
        elif message.startswith(b'{"type":"initial"'):
            self.own = json.loads(message)["payload"]["id"]
            self.say("connect")
            self.say("subscribe")
        elif not self.ready.done():
            self.ready.set_result(message)

    def say(self, event: str) -> None:
        """Send an event."""
        said = json.dumps({"type": event, "payload": {"id": self.own}})
        self.transport.write(masked(said.encode()))


async def pack(port: int, number: int) -> list[Subscriber]:
    """Subscribe so many; all note what they hear in the same place."""
    loop = asyncio.get_running_loop()
    heard: dict[bytes, list[float]] = {}
    subscribers = []
    for _ in range(number):
        _, subscriber = await loop.create_connection(lambda: Subscriber(heard), "127.0.0.1", port)
        await asyncio.wait_for(subscriber.ready, 30)
        subscribers.append(subscriber)
    return subscribers


async def keep_pinging(subscribers: list[Subscriber]) -> None:
    """Have everybody ping, one after the other."""
    while True:
        for part in range(50):
            for subscriber in subscribers[part::50]:
                subscriber.say("ping")
            await asyncio.sleep(PING / 50)


@contextmanager
def stack(kind: str) -> Iterator[Stack]:
    """Run a Redis server of its own, and end all that was started on it."""
    with (
        tempfile.TemporaryDirectory() as directory,
        servers.running(kind, Path(directory)) as redis,
    ):
        running = Stack(redis)
        try:
            yield running
        finally:
            running.close()


def start(running: Stack, period: float) -> Service:
    """Start a replica and wait until it is ready."""
    return replica(
        running, LEASE_TTL=3, WISDOM_PERIOD=period,
        WISDOM_CONNECTIONS=100_000, WISDOM_CONNECTIONS_PER_ADDRESS=100_000,
    )  # fmt: skip


def quantile(values: list[float], share: float) -> float:
    """Tell the quantile of some values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def fan_out(options: argparse.Namespace) -> None:
    """Serve subscribers with one replica and time every quote's way to the last of them."""
    with stack(options.redis) as running:
        service = start(running, options.period)
        await asyncio.sleep(1)
        empty = service.memory
        subscribers = await pack(port(service), options.subscribers)
        pinging = asyncio.ensure_future(keep_pinging(subscribers))
        await asyncio.sleep(2)  # until what joining has set off has come to rest
        full = service.memory
        heard = subscribers[0]._heard
        heard.clear()
        before, began = cpu(service.pid), time.monotonic()
        await asyncio.sleep(options.seconds)
        used, took = cpu(service.pid) - before, time.monotonic() - began
        await asyncio.sleep(0.2)  # until a quote that is on its way has come
        pinging.cancel()
        published = {
            values[1].decode(): int(entry.partition(b"-")[0]) / 1000
            for entry, values in running.redis.client.xrange("quotes:{wisdom}")
        }
        last, first = [], []
        for message, times in heard.items():
            at = published[json.loads(message)["payload"]["message"]]
            assert len(times) == options.subscribers, "a quote was not delivered to all"
            last.append(1000 * (max(times) - at))
            first.append(1000 * (min(times) - at))
        deliveries = sum(map(len, heard.values()))
        memory = (full - empty) / options.subscribers / 1024
        print(
            f"  {options.subscribers} subscribers, {len(last)} quotes: first delivery median "
            f"{median(first):.1f} ms; last delivery median {median(last):.1f}, "
            f"p99 {quantile(last, 0.99):.1f}, worst {max(last):.1f} ms; "
            f"{memory:.1f} KiB per connection; {used / took:.1%} of a core, "
            f"{used / deliveries * 1e6:.1f} µs CPU per delivery with pings",
            flush=True,
        )
        for subscriber in subscribers:
            subscriber.transport.abort()


def takeover(options: argparse.Namespace) -> None:
    """Kill the replica that ticks, again and again, at a random moment."""
    took = []
    with stack(options.redis) as running:
        redis = running.redis
        replicas = [start(running, options.period) for _ in range(2)]

        def end() -> bytes:
            return bytes(redis.client.xrevrange("quotes:{wisdom}", count=1)[0][0])

        until(lambda: redis.client.xlen("quotes:{wisdom}"), "it ticks", 30)
        for _ in range(options.kills):
            time.sleep(random.uniform(1, 1 + options.period))  # to be at any point of the tick
            ticking = next(r for r in replicas if json.loads(r.get("/readyz")[1])["ticks"])
            ticking.kill()
            died, last = time.monotonic(), end()
            until(lambda last=last: end() != last, "the other ticks", 60)  # type: ignore[misc]
            took.append(time.monotonic() - died)
            replicas.remove(ticking)
            replicas.append(start(running, options.period))
    print(
        f"  {options.kills} kills, period {options.period:g} s, lease 3 s: next quote after "
        f"median {median(took):.2f}, worst {max(took):.2f} s",
        flush=True,
    )


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.wisdom", description=__doc__)
    parser.add_argument("bench", nargs="*", default=[], help=f"of {', '.join(BENCHES)}; both")
    parser.add_argument("--subscribers", type=int, default=2000)
    parser.add_argument("--period", type=float, default=0, help="seconds; 1 and 5")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--redis", choices=["redis-server", "valkey"], default="valkey")
    options = parser.parse_args()
    unknown = set(options.bench) - set(BENCHES)
    if unknown:
        parser.error(f"there is no such bench: {', '.join(sorted(unknown))}")
    chosen, period = options.bench or BENCHES, options.period
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}")
    if "fan-out" in chosen:
        options.period = period or 1.0
        print(f"\nFrom the tick to the last delivery, a quote every {options.period:g} s")
        for _ in range(options.repeats):
            uvloop.run(fan_out(options))
    if "takeover" in chosen:
        options.period = period or 5.0
        print("\nFrom the death of the replica that ticks to the next quote")
        takeover(options)


if __name__ == "__main__":
    main()
