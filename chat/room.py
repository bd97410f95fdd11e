"""A room whose clients hear each other on every replica: its parts, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from broadcast.connection import Connection
from broadcast.frames import frame
from broadcast.hub import Hub
from broadcast.presence import Presence
from broadcast.subscription import Subscription
from chassis import clock, logs
from chassis.redis import Link

from . import keys, metrics
from .follower import Follower
from .history import History
from .log import NOWHERE, Log
from .outbox import Outbox
from .records import Position, Record

KEPT_RECORDS = 10_000
KEPT_BYTES = 8 * 1024 * 1024
"""Latest messages kept in memory for those who join; who missed more is served from Redis."""


class Room:
    """One room on this replica.

    `count`, `names`, `changed` and `gone` are for `Presence`, `broken` and `written` for
    `Follower`, `on_slow` for `Hub`, `highest` for `Outbox`; `wanted` messages are fetched for
    newcomers at the start. Of Redis' memory the log may use a `share`.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        instance: str,
        log: logs.Log,
        *,
        retain: int,
        share: float,
        wanted: int,
        written: Callable[[], Position | None] = lambda: None,
        broken: Callable[[], None],
        on_slow: Callable[[Connection], None],
        highest: Callable[[], int],
        count: Callable[[], int],
        names: Callable[[], Iterable[str]] = list,
        changed: Callable[[int], Awaitable[None]] | None = None,
        gone: Callable[[list[str]], None] | None = None,
    ) -> None:
        self.name = name
        self.log = Log(link, name, instance, retain, share)
        self.history = History(max(KEPT_RECORDS, wanted), KEPT_BYTES)
        self.hub = Hub(metrics.CONNECTIONS.labels(name), metrics.DELIVERIES.labels(name), on_slow)
        self.follower = Follower(
            self.log, self.history, log,
            wanted=wanted, written=written, deliver=self._deliver, broken=broken,
        )  # fmt: skip
        self.subscription = Subscription(
            link, self.follower, metrics.RESUBSCRIPTIONS.labels(name),
            channel=self.log.channel, probe=self.log.probe, stream=self.log.stream,
        )  # fmt: skip
        self.outbox = Outbox(link, self.log, log, lambda: self.position, highest)
        self.presence = Presence(
            link, keys.presence(name), instance, metrics.ONLINE.labels(name),
            count=count, names=names, changed=changed, gone=gone,
        )  # fmt: skip
        self._link = link
        self._delay = metrics.DELAY.labels(name)
        self._fan_out = metrics.FAN_OUT.labels(name)

    @property
    def position(self) -> Position:
        """That of the latest record heard; `NOWHERE` before the log has been read."""
        return self.follower.position or NOWHERE

    @property
    def ready(self) -> bool:
        """Whether messages can be taken and heard."""
        return self._link.up and self.subscription.hears

    async def run(self, stop: asyncio.Event) -> None:
        """Listen and write until `stop`, and then write what is left."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.subscription.run(stop))
            group.create_task(self.presence.run(stop))
            group.create_task(self.outbox.run(stop))
        await self.presence.leave()

    async def _deliver(self, records: list[Record], sent: float | None) -> None:
        """Write records to all who are here: each made a frame once, all of them in one go."""
        began = clock.monotonic()
        frames = b"".join([frame(record.data) for record in records])
        await self.hub.write(frames, len(records))
        self._fan_out.observe(clock.monotonic() - began)
        if sent is not None:
            self._delay.observe(max(0.0, clock.wall() - sent), len(records))
