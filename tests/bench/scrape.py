"""What a scrape costs: `python -m tests.bench.scrape [--feeds 1000] [--times 20]`.

Real services carry FEEDS feeds that send a message a minute each. Their metrics are asked for again
and again, and meanwhile, without a pause, whether they live: the longest wait for that answer
beyond the usual one is how long a scrape stops the event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from statistics import median

import uvloop

from tests.support.processes import Service

from .feeds import START, Peers, cpu, staged

BETWEEN = 0.3
"""Seconds between two scrapes."""


async def get(port: int, path: str) -> bytes:
    """GET a path; returns the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


class Pulse:
    """Asks a service whether it lives, without a pause."""

    def __init__(self, port: int) -> None:
        self.waits: list[float] = []
        self._port = port
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            began = time.perf_counter()
            await get(self._port, "/healthz")
            self.waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Ask no more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def scrape(service: Service, times: int) -> str:
    """Scrape a service so often; returns what it cost."""
    port = service.wait_for("ops endpoint listens")["port"]
    sizes, lines, took, used = [], [], [], []
    for _ in range(times):
        before, began = cpu(service.pid), time.perf_counter()
        body = await get(port, "/metrics")
        took.append(time.perf_counter() - began)
        used.append(cpu(service.pid) - before)
        sizes.append(len(body))
        lines.append(body.count(b"\n"))
        await asyncio.sleep(BETWEEN)
    longest = {}
    for what in ("at rest", "scraped"):
        pulse = Pulse(port)
        waits = []
        for _ in range(times):
            if what == "scraped":
                await get(port, "/metrics")
            await asyncio.sleep(BETWEEN)
            waits.append(max(pulse.waits))
            pulse.waits.clear()
        await pulse.stop()
        longest[what] = waits
    rest, scraped = (
        sorted(1e3 * wait for wait in longest[what]) for what in ("at rest", "scraped")
    )
    return (
        f"{lines[-1]:>6} lines {sizes[-1] / 1e6:5.2f} MB  took {1e3 * median(took):5.1f} ms"
        f" (most {1e3 * max(took):.1f}), CPU {1e3 * sum(used) / times:5.1f} ms;"
        f"  longest wait: at rest {median(rest):.1f} ms (most {rest[-1]:.1f}),"
        f" scraped {median(scraped):.1f} ms (most {scraped[-1]:.1f})"
    )


async def measure(feeds: int, times: int) -> None:
    """Start everything, and measure one service after the other."""
    peers = Peers(feeds, feeds / 60)
    async with staged(peers, feeds) as stage:
        services = stage.services()
        await asyncio.sleep(START)  # each has sent a message
        print(f"{feeds} feeds, {times} scrapes each:")
        for name, service in services.items():
            print(f"  {name:<9} {await scrape(service, times)}", flush=True)


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scrape", description=__doc__)
    parser.add_argument("--feeds", type=int, default=1000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    uvloop.run(measure(options.feeds, options.times))


if __name__ == "__main__":
    main()
