"""One run of one contender between the simulator's feed and its checking endpoint."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chassis.lease import lease_key
from relay import keys
from standalone import endpoints, run, valkey
from standalone.services import RELAY, wire

SURNAME = "demo"
SILENCE = 20.0
"""Seconds without movement after which a run has failed."""


@dataclass(frozen=True)
class Result:
    """What the endpoint reported, and the CPU time of each process in seconds."""

    report: dict[str, Any]
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Messages per second, from the feed's first send to the endpoint's last receive."""
        return float(self.report["received"] / self.report["seconds"])

    @property
    def exact(self) -> bool:
        """Whether everything came, once, unharmed and in order."""
        faults = ("out_of_order", "repeated", "missing", "corrupted")
        return not any(self.report[fault] for fault in faults)


async def contest(contender: str, messages: int, rate: float, **settings: str) -> Result:
    """Run `contender` (relay, plain or tuned) on `messages`, `rate` a second (0 = at full speed).

    `settings` are variables of the simulator and the services. Raises RuntimeError when
    messages stay away.
    """
    feed = {
        "SIMULATOR_MESSAGES": str(messages),
        "SIMULATOR_RATE": str(rate),
        "SIMULATOR_DELAYED": "0",
        "ORDERER_FIRST_ID": "1",
        "LOG_LEVEL": "warning",
        **settings,
    }
    stop = asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        async with run.running(Path(home), {}, stop, persist=False) as here:
            wired = wire(os.environ, here.redis_url, feed, RELAY, usual_ports=False)
            simulator = wired[0]
            port = simulator.environ["SIMULATOR_PORT"]
            site = f"127.0.0.1:{port}"
            if contender == "relay":
                redis = valkey.client(here.redis_url)
                await redis.hset(keys.FEEDS, "default", "default")
                await run.start(here.stack, wired[:-1], stop)
                await run.patiently(here.stack, stop, "orderer", partial(_ordering, redis))
                await redis.aclose()
                await run.start(here.stack, wired[-1:], stop)
            else:
                await run.start(here.stack, wired[:1], stop)
                command = [
                    sys.executable, "-m", "tests.bench.direct", contender,
                    f"ws://{site}/raw-messages", f"ws://{site}/ordered-messages/{SURNAME}", "1",
                ]  # fmt: skip
                await here.stack.start("direct", command, os.environ)
            report = await _finish(f"http://{site}")
            cpu = {child.name: _cpu(child.pid) for child in here.stack.children if child.pid}
    return Result(report, cpu)


async def _ordering(redis: Any) -> str | None:
    held = await redis.exists(lease_key("default", "orderer"))
    return None if held else "nobody orders the feed"


async def _finish(site: str) -> dict[str, Any]:
    """Wait until everything has arrived; polling is rare, since it shares the two cores."""
    before, silent = -1, 0.0
    while silent < SILENCE:
        await asyncio.sleep(0.5)
        feed = await endpoints.get_json(f"{site}/feed") or {}
        report = (await endpoints.get_json(f"{site}/report") or {}).get(SURNAME, {})
        received = report.get("received", 0)
        if feed.get("finished") and received >= feed["sent"]:
            return dict(report)
        silent = 0.0 if received != before else silent + 0.5
        before = received
    raise RuntimeError(f"only {before} messages arrived")


def _cpu(pid: int) -> float:
    """CPU seconds that the process has used (Linux; 0 elsewhere)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
