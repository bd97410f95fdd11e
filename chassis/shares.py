"""Pieces of work, spread evenly over the replicas of a service.

Each replica shows itself in a sorted set, takes at most its fair share of leases, gives back what
is too much, and stands by for the rest.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from . import clock
from .lease import Lease, renew
from .logs import Log
from .redis import Link, checked, pairs

W = TypeVar("W", bound=Hashable)
Job = Callable[[W, Lease, asyncio.Event], Awaitable[None]]


def replicas_key(service: str) -> str:
    """Name the sorted set of a service's live instances, scored by their signs of life."""
    return f"replicas:{service}"


GONE = 10
"""Leases' times after which a replica that does not count up is forgotten."""


class Shares(Generic[W]):
    """Do this replica's share of the pieces of work, each under its lease.

    `find` lists the pieces there are, `name` gives a piece its `(feed, role)`, and
    `do(piece, lease, stop)` works on one until `stop` is set, then drains and returns. `stop` is
    set when the service stops, when the lease is lost or taken over by a new fence, or when
    this replica holds more than its share. With `keep`, a lease that merely ran out (Redis was
    away) and was free to take again does not interrupt the work. With `kind`, the pieces of each
    kind are shared out by themselves, so that nobody gets all of those that are much work.
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
        kind: Callable[[W], Hashable] = lambda piece: None,
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
        self._kind = kind
        self._working: dict[W, tuple[Lease, asyncio.Event, asyncio.Future[None]]] = {}
        self._known: dict[W, Lease] = {}
        self._beats: dict[bytes, tuple[bytes, float]] = {}
        """What each replica has counted up to, and when, by our clock, that was first seen."""

    @property
    def active(self) -> list[W]:
        """The pieces this replica works on now."""
        return list(self._working)

    async def run(self, stop: asyncio.Event) -> None:
        """Take, renew and give back leases until `stop`; then let every piece drain."""
        try:
            while not stop.is_set():
                if await self._link.attempt(self._turn):
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
        pause = self._ttl / 6 * (0.9 + 0.2 * clock.chance())
        await asyncio.wait([stopping, *tasks], timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _turn(self) -> None:
        await self._collect()
        failed = await self._renew()
        pieces = dict.fromkeys(await self._find())
        for piece in self._known.keys() - pieces.keys() - self._working.keys():
            self._known.pop(piece).retire()
        alive = await self._alive()
        share = {
            kind: math.ceil(count / alive)
            for kind, count in Counter(map(self._kind, pieces)).items()
        }
        surplus = Counter(self._kind(piece) for piece in self._working if piece in pieces)
        surplus.subtract(share)
        for piece, (lease, stopped, _) in self._working.items():
            kind = self._kind(piece)
            if piece not in pieces or surplus[kind] > 0:
                surplus[kind] -= piece in pieces
                if not stopped.is_set():
                    self._log.info("handing over", feed=lease.feed, role=lease.role)
                    stopped.set()
        free = [piece for piece in pieces if piece not in self._working]
        clock.shuffle(free)
        for kind, count in share.items():
            ours = [piece for piece in free if self._kind(piece) == kind]
            while ours and (room := count - self._held[kind]) > 0:
                failed += await self._take(ours[:room])
                del ours[:room]
        checked(failed)

    @property
    def _held(self) -> Counter[Hashable]:
        """How many pieces of each kind this replica works on."""
        return Counter(map(self._kind, self._working))

    async def _renew(self) -> list[Exception]:
        """Renew the leases under which there is work, and stop the work whose lease is gone."""
        now = clock.monotonic()
        working = [
            (lease, lease.value, stopped)
            for lease, stopped, _ in self._working.values()
            if lease.due(now)
        ]
        failed = await renew(self._link, [lease for lease, _, _ in working])
        for lease, before, stopped in working:
            if not lease.value:
                self._log.warning("lease lost", feed=lease.feed, role=lease.role)
                stopped.set()
            elif lease.value != before and not self._keep:
                self._log.warning("lease had run out", feed=lease.feed, role=lease.role)
                stopped.set()
        return failed

    async def _take(self, pieces: Sequence[W]) -> list[Exception]:
        """Begin to work on those of the pieces whose leases are free."""
        for piece in pieces:
            if piece not in self._known:
                feed, role = self._name(piece)
                self._known[piece] = Lease(self._link, feed, role, self._instance, self._ttl)
        failed = await renew(self._link, [self._known[piece] for piece in pieces])
        for piece in pieces:
            lease = self._known[piece]
            if lease.held:
                self._log.info("active", feed=lease.feed, role=lease.role, fence=lease.value)
                stopped = asyncio.Event()
                task = asyncio.ensure_future(self._do(piece, lease, stopped))
                self._working[piece] = (lease, stopped, task)
        return failed

    async def _alive(self) -> int:
        """Show that this replica lives, and count those that do; itself, if nobody can be asked.

        Each replica counts up; who has not done so for a lease's time, by our own clock, is taken
        for dead. So no two clocks are compared.
        """
        key = replicas_key(self._service)
        replies = await self._link.send_all(
            [("ZINCRBY", key, 1, self._instance), ("ZRANGE", key, 0, -1, "WITHSCORES")]
        )
        if isinstance(replies[1], Exception):
            return 1
        now = clock.monotonic()
        self._beats = {
            replica: self._beats[replica]
            if self._beats.get(replica, ("", 0.0))[0] == beat
            else (beat, now)
            for replica, beat in pairs(replies[1]).items()
        }
        gone = [name for name, (_, at) in self._beats.items() if now - at > GONE * self._ttl]
        if gone:
            await self._link.send("ZREM", key, *gone)
        # Out of memory, nobody counts up; who works then goes on, with the share that it has.
        return max(1, sum(now - at <= self._ttl for _, at in self._beats.values()))

    async def _collect(self) -> None:
        """Take note of pieces whose work has ended; a failure there fails the service."""
        for piece, (lease, _, task) in list(self._working.items()):
            if task.done():
                del self._working[piece]
                if self._link.up:  # else it runs out by itself
                    await self._link.attempt(lease.release)
                task.result()

    async def _leave(self) -> None:
        if not self._link.up:
            return
        key = replicas_key(self._service)
        await self._link.attempt(lambda: self._link.send("ZREM", key, self._instance))
