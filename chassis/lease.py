"""Leases with a fence: who does which piece of work, with at most one at a time.

A lease only saves work from being done twice; what must never happen twice is guarded by
comparing the lease's whole value (`<fence>:<instance>`) in the script that writes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from importlib import resources

from . import clock
from .metrics import Gauge, Series
from .redis import Command, Link, Script, checked

_ACQUIRE = Script(resources.files(__package__).joinpath("lease.lua").read_text())

_RELEASE = Script("""#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")

ACTIVE = Gauge("lease_active", "1 while this instance holds the lease", ["feed", "role"])
FENCE = Gauge(
    "lease_fence",
    "Number of this instance among all holders of the lease, when it last held it; 0 = never",
    ["feed", "role"],
)


def lease_key(feed: str, role: str) -> str:
    """Name the string `<fence>:<instance>` that tells who does `role` for `feed`."""
    return f"lease:{{{feed}}}:{role}"


def fence_key(feed: str, role: str) -> str:
    """Name the counter that numbers the holders of a lease."""
    return f"fence:{{{feed}}}:{role}"


class Lease:
    """The right to do `role` for `feed`."""

    def __init__(self, link: Link, feed: str, role: str, instance: str, ttl: float) -> None:
        """Describe a lease that is not held yet; `ttl` is in seconds."""
        self.feed = feed
        self.role = role
        self.key = lease_key(feed, role)
        self.value = ""
        self._fence_key = fence_key(feed, role)
        self._instance = instance
        self._ttl = ttl
        self._link = link
        self._deadline = 0.0
        self._series = Series(feed, role)
        # Asked at each scrape, so that a holder whom Redis does not answer stops claiming in time.
        self._series.of(ACTIVE).set_function(lambda: self.held)
        self._fence = self._series.of(FENCE)

    @property
    def held(self) -> bool:
        """Whether this instance may act: it holds the lease and its time has not run out."""
        return bool(self.value) and clock.monotonic() < self._deadline

    def retire(self) -> None:
        """Show nothing more of it, in a while: there is nothing to do under it any more."""
        self._series.retire()

    async def acquire(self) -> bool:
        """Take the lease if it is free, renew it if it is ours; tell whether it is ours.

        A lease that ran out but that nobody else took comes back with a new fence. Raises
        whatever the Redis client raises, and then nothing is known.
        """
        checked(await renew(self._link, [self]))
        return bool(self.value)

    def _request(self) -> Command:
        ttl = int(self._ttl * 1000)
        if self.value:
            # One command in place of a script's three. If the lease is another's by now, that one
            # keeps it for longer by this much, once.
            return ("GETEX", self.key, "PX", ttl)
        return _ACQUIRE(keys=[self.key, self._fence_key], args=[self._instance, ttl])

    def _answered(self, reply: bytes | None, asked: float) -> None:
        """Note to a request of the time `asked` who holds the lease; None: it has run out."""
        holder = (reply or b"").decode()
        self.value = holder if not self.value or holder == self.value else ""
        self._deadline = asked + self._ttl
        if self.value:
            self._fence.set(int(self.value.partition(":")[0]))

    def due(self, now: float) -> bool:
        """Tell whether a third of its time has gone by, so that it is to be renewed."""
        return now >= self._deadline - self._ttl * 2 / 3

    async def seize(self) -> None:
        """Take the lease whoever holds it, for an operator; the holder finds itself fenced."""
        await self._link.send("DEL", self.key)
        if not await self.acquire():
            raise RuntimeError(f"{self.key} was taken by another at the same moment; try again")

    async def linger(self, seconds: float) -> None:
        """Give the lease up, but have it run out by itself: nobody is to have it any sooner."""
        value, self.value = self.value, ""
        if value:
            await self._link.send("GETEX", self.key, "PX", int(seconds * 1000))

    async def release(self) -> None:
        """Give the lease back, so that a standby need not wait for it to run out."""
        value, self.value = self.value, ""
        if value:
            await self._link.send(*_RELEASE(keys=[self.key], args=[value]))


async def renew(link: Link, leases: Sequence[Lease]) -> list[Exception]:
    """Acquire or renew leases, all with one request; each succeeds or fails alone.

    Returns what the server said to those that failed, of which nothing is known. Raises when
    there was no answer at all.
    """
    # Counted from before the request: the server's clock starts later than ours.
    asked = clock.monotonic()
    replies = await link.send_all([lease._request() for lease in leases])
    failed, gone = [], []
    for lease, reply in zip(leases, replies, strict=True):
        if isinstance(reply, Exception):
            failed.append(reply)
        else:
            lease._answered(reply, asked)
            if reply is None:
                gone.append(lease)
    return failed + (await renew(link, gone) if gone else [])


def instance_name() -> str:
    """Make a name for this process that no other has ever had."""
    return f"{socket.gethostname()}-{os.getpid()}-{clock.token(4)}"
