"""Who is here, over all replicas: each shows its own clients, and counts them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from importlib import resources

from chassis import clock, tasks
from chassis.metrics import Level
from chassis.redis import Link, Script, checked, pairs

_PRESENCE = Script(resources.files(__package__).joinpath("presence.lua").read_text())

BEAT = 1.0
"""Seconds between two signs of life, and between two looks at the count."""

ASK_EVERY = 0.1
"""Seconds between two lists of everybody by name."""

HOLDS = 10.0
"""Seconds for which a silent replica's clients still count."""

MOURNED = 3.0
"""Seconds, by our own clock, for which an entry must have run out before it is removed: after an
outage, or when Redis' clock is set forward, everybody looks dead until the next sign of life."""


class Presence:
    """Shows this replica's clients to the others, in the hash `key`; `gauge` shows them all.

    `count` tells how many are here, and `names` who, where that matters. `changed(online)` is
    awaited when the count over all replicas is another one, or `refresh` was set; `gone(names)`
    is told of clients whose replica has died, on one replica only.
    """

    def __init__(
        self,
        link: Link,
        key: str,
        instance: str,
        gauge: Level,
        *,
        count: Callable[[], int],
        names: Callable[[], Iterable[str]] = list,
        changed: Callable[[int], Awaitable[None]] | None = None,
        gone: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._link = link
        self._key = key
        self._instance = instance
        self._count = count
        self._names = names
        self._changed = changed
        self._gone = gone
        self._gauge = gauge
        self._silent: dict[bytes, tuple[bytes, float]] = {}
        """Entries that have run out, and since when they have been seen so."""
        self._asking: asyncio.Future[list[str]] | None = None
        self._asked = 0.0
        self.online = 0
        self.refresh = False
        """Whether somebody here does not know the count yet."""

    async def run(self, stop: asyncio.Event) -> None:
        """Show and count until `stop`."""
        while not stop.is_set():
            await self._link.attempt(lambda: self.beat(clock.monotonic()))
            await tasks.until(stop, BEAT)

    async def beat(self, now: float) -> None:
        """Show once, and count."""
        entry = f"{self._count()} {' '.join(self._names())}"
        total, silent = await self._link.send(
            *_PRESENCE(keys=[self._key], args=[self._instance, int(HOLDS * 1000), entry])
        )
        await self._bury(pairs(silent), now)
        self._gauge.set(total)
        if total != self.online or self.refresh:
            self.online, self.refresh = int(total), False
            if self._changed:
                await self._changed(self.online)

    async def _bury(self, silent: dict[bytes, bytes], now: float) -> None:
        """Remove entries that have run out for long enough, and tell of their clients once."""
        known = self._silent
        self._silent = {
            instance: known[instance] if known.get(instance, ("",))[0] == value else (value, now)
            for instance, value in silent.items()
        }
        for instance, (value, since) in list(self._silent.items()):
            if now - since < MOURNED:
                continue
            del self._silent[instance]
            # Several replicas may come to this; one of them removes it.
            if await self._link.send("HDEL", self._key, instance) and self._gone:
                self._gone(value.decode().split()[2:])

    async def who(self) -> list[str]:
        """List everybody by name, in order of their numbers; raises what Redis' client does.

        Whoever asks while others wait gets the same list.
        """
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask_soon())
        return await asyncio.shield(self._asking)

    async def _ask_soon(self) -> list[str]:
        await asyncio.sleep(max(0.0, self._asked + ASK_EVERY - clock.monotonic()))
        # Who asks from here on gets another list, for this one may lack who comes now.
        self._asked, self._asking = clock.monotonic(), None
        return await self._ask_who()

    async def _ask_who(self) -> list[str]:
        (seconds, _), entries = checked(
            await self._link.send_all([("TIME",), ("HGETALL", self._key)])
        )
        found = set(self._names())
        for instance, value in pairs(entries).items():
            expires, _, *names = value.decode().split()
            if int(expires) >= int(seconds) * 1000 and instance != self._instance.encode():
                found.update(names)
        return sorted(found, key=lambda name: (len(name), name))

    async def leave(self) -> None:
        """Show nobody any longer, for this replica stops."""
        if self._link.up:
            await self._link.attempt(lambda: self._link.send("HDEL", self._key, self._instance))
