"""The orderer as a service: find the lanes, take a fair share of them, order each."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from chassis import logs, ops
from chassis.lease import Lease, instance_name
from chassis.redis import Link, Unavailable
from chassis.shares import Shares
from chassis.tasks import first
from relay import keys, lanes

from .settings import Settings
from .store import Store
from .worker import Worker

log = logs.get("orderer")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Order the lanes that this replica gets, until `stop`."""
    link = Link(settings.redis_url, log, timeout=0.3 * settings.lease_ttl, stop=stop)
    worker = Worker(link, Store(link), settings, log)
    shares = share(link, worker, settings)

    def readiness() -> dict[str, Any]:
        return {"ready": link.up, "redis": link.up, "feeds": worker.feeds}

    if settings.feeds.name:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, worker.reload)
    async with ops.endpoint(settings.ops_host, settings.ops_port, readiness, log):
        await first(shares.run(stop), worker.run())
    await link.close()


def share(link: Link, worker: Worker, settings: Settings) -> Shares[str]:
    """Give the worker this replica's fair share of the lanes there are."""
    table = lanes.Table(link)

    async def find() -> list[str]:
        return sorted(set((await table.rows()).values()))

    async def order(lane: str, lease: Lease, stop: asyncio.Event) -> None:
        # A lane that is no longer there must not begin anew for who has not noticed.
        table.again()
        try:
            there = lane in await link.patiently(find)
        except Unavailable:
            return
        if there:
            await worker.order(lane, lease, stop)

    return Shares(
        link,
        "orderer",
        instance_name(),
        settings.lease_ttl,
        log,
        find=find,
        name=lambda lane: (lane, keys.ORDERER),
        do=order,
        kind=lanes.shared,
    )
