"""Pieces of work, spread evenly over the replicas of a service.

Each replica shows itself in a sorted set, takes at most its fair share of leases, gives back what
is too much, and stands by for the rest.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from .lease import Lease
from .logs import Log
from .redis import Link, transient

W = TypeVar("W", bound=Hashable)
Job = Callable[[W, Lease, asyncio.Event], Awaitable[None]]


def replicas_key(service: str) -> str:
    """Name the sorted set of a service's live instances, scored by last sign of life (ms)."""
    return f"replicas:{service}"


class Shares(Generic[W]):
    """Do this replica's share of the pieces of work, each under its lease.

    `find` lists the pieces there are, `name` gives a piece its `(feed, role)`, and
    `do(piece, lease, stop)` works on one until `stop` is set, then drains and returns. `stop` is
    set when the service stops, when the lease is lost or taken over by a new fence, or when
    this replica holds more than its share. With `keep`, a lease that merely ran out (Redis was
    away) and was free to take again does not interrupt the work.
    """

    def __init__(
        self,
        link: Link,
        service: str,
        instance: str,
        ttl: float,
        log: Log,
        *,
        find: Callable[[], Awaitable[list[W]]],
        name: Callable[[W], tuple[str, str]],
        do: Job[W],
        keep: bool = False,
    ) -> None:
        self._link = link
        self._service = service
        self._instance = instance
        self._ttl = ttl
        self._log = log
        self._find = find
        self._name = name
        self._do = do
        self._keep = keep
        self._working: dict[W, tuple[Lease, asyncio.Event, asyncio.Future[None]]] = {}
        self._known: dict[W, Lease] = {}

    @property
    def active(self) -> list[W]:
        """The pieces this replica works on now."""
        return list(self._working)

    async def run(self, stop: asyncio.Event) -> None:
        """Take, renew and give back leases until `stop`; then let every piece drain."""
        try:
            while not stop.is_set():
                try:
                    await self._turn()
                except Exception as error:
                    reason = transient(error)
                    if reason is None:
                        raise
                    self._link.failed(error, reason)
                else:
                    self._link.succeeded()
                await self._wait(stop)
        finally:
            for _, stopped, _ in self._working.values():
                stopped.set()
            while self._working:
                await asyncio.wait([task for _, _, task in self._working.values()], timeout=0.1)
                await self._collect()
            await self._leave()

    async def _wait(self, stop: asyncio.Event) -> None:
        """Wait until the next turn is due: at once when a piece ended by itself."""
        stopping = asyncio.ensure_future(stop.wait())
        tasks: list[asyncio.Future[Any]] = [task for _, _, task in self._working.values()]
        pause = self._ttl / 6 * (0.9 + 0.2 * random.random())
        await asyncio.wait([stopping, *tasks], timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _turn(self) -> None:
        await self._collect()
        for lease, stopped, _ in list(self._working.values()):
            before = lease.value
            if not await lease.acquire():
                self._log.warning("lease lost", feed=lease.feed, role=lease.role)
                stopped.set()
            elif lease.value != before and not self._keep:
                self._log.warning("lease had run out", feed=lease.feed, role=lease.role)
                stopped.set()
        pieces = await self._find()
        share = await self._share(len(pieces))
        surplus = len(self._working) - share
        for piece, (lease, stopped, _) in list(self._working.items()):
            if piece not in pieces or surplus > 0:
                surplus -= 1
                if not stopped.is_set():
                    self._log.info("handing over", feed=lease.feed, role=lease.role)
                    stopped.set()
        free = [piece for piece in pieces if piece not in self._working]
        random.shuffle(free)
        for piece in free:
            if piece not in self._known:
                feed, role = self._name(piece)
                self._known[piece] = Lease(self._link, feed, role, self._instance, self._ttl)
            lease = self._known[piece]
            if len(self._working) < share and await lease.acquire():
                self._log.info("active", feed=lease.feed, role=lease.role, fence=lease.value)
                stopped = asyncio.Event()
                task = asyncio.ensure_future(self._do(piece, lease, stopped))
                self._working[piece] = (lease, stopped, task)

    async def _share(self, pieces: int) -> int:
        """Show that this replica lives, and compute its fair share of `pieces`."""
        key = replicas_key(self._service)
        now = int(time.time() * 1000)
        pipeline = self._link.client.pipeline(transaction=False)
        pipeline.zadd(key, {self._instance: now})
        pipeline.zremrangebyscore(key, "-inf", now - 10_000 * self._ttl)
        pipeline.zcount(key, now - 1000 * self._ttl, "+inf")
        replies = await pipeline.execute(raise_on_error=False)
        # Out of memory, ZADD fails; whoever works then goes on, with the share that it has.
        if isinstance(replies[2], int):
            return math.ceil(pieces / max(1, replies[2]))
        return pieces

    async def _collect(self) -> None:
        """Take note of pieces whose work has ended; a failure there fails the service."""
        for piece, (lease, _, task) in list(self._working.items()):
            if task.done():
                del self._working[piece]
                try:
                    if self._link.up:  # else it runs out by itself
                        await lease.release()
                except Exception as error:
                    if transient(error) is None:
                        raise
                task.result()

    async def _leave(self) -> None:
        if not self._link.up:
            return
        try:
            await self._link.client.zrem(replicas_key(self._service), self._instance)
        except Exception as error:
            if transient(error) is None:
                raise
