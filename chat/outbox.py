"""A replica's voice: what its clients say goes to Redis in batches, one at a time.

While one batch is under way the next one gathers; so nothing waits under a light load, and
under a heavy one a command carries many messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from chassis import logs
from chassis.redis import Link, Unavailable

from . import metrics
from .log import Draft, Log, Outcome
from .records import Position

BATCH_RECORDS = 500
BATCH_BYTES = 256 * 1024
"""Where a batch ends."""

WAITING = 20_000
"""Records that may wait; then messages are refused, and events dropped and counted."""

Done: TypeAlias = Callable[[Outcome], None]


class Outbox:
    """Write drafts to one room's log, in the order in which they come."""

    def __init__(
        self,
        link: Link,
        room_log: Log,
        log: logs.Log,
        seen: Callable[[], Position],
        highest: Callable[[], int],
    ) -> None:
        """`seen` tells the latest record that this replica knows, `highest` a client's number."""
        self._link = link
        self._room_log = room_log
        self._log = log
        self._seen = seen
        self._highest = highest
        self._waiting: deque[tuple[Draft, Done | None]] = deque()
        self._filled = asyncio.Event()
        self._serial = 0
        self._queue = metrics.QUEUE.labels(room_log.room)
        self._queue.set_function(lambda: len(self._waiting))

    @property
    def full(self) -> bool:
        """Whether nothing more should be put in."""
        return len(self._waiting) >= WAITING

    def put(self, draft: Draft, done: Done | None = None) -> bool:
        """Have a draft written; `done` is then told what became of it. False if too much waits."""
        if self.full:
            return False
        self._waiting.append((draft, done))
        self._filled.set()
        return True

    def put_event(self, data: bytes) -> None:
        """Have an event written; it is dropped if too much waits."""
        if not self.put(Draft(data, shown=False)):
            metrics.DROPPED.inc()

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop`, and then what is left."""
        stopping = asyncio.ensure_future(stop.wait())
        while self._waiting or not stop.is_set():
            if not self._waiting:
                self._filled.clear()
                filled = asyncio.ensure_future(self._filled.wait())
                await asyncio.wait([filled, stopping], return_when=asyncio.FIRST_COMPLETED)
                filled.cancel()
                continue
            try:
                await self._write(self._take())
            except Unavailable:
                self._log.warning("messages and events lost", number=len(self._waiting))
                break
        stopping.cancel()

    def _take(self) -> list[tuple[Draft, Done | None]]:
        batch: list[tuple[Draft, Done | None]] = []
        size = 0
        while self._waiting and len(batch) < BATCH_RECORDS and size < BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][0].data)
        return batch

    async def _write(self, batch: list[tuple[Draft, Done | None]]) -> None:
        """Write a batch until it is written; the serial makes a repeated call harmless."""
        self._serial += 1
        drafts = [draft for draft, _ in batch]
        room = self._room_log.room

        async def publish() -> list[Outcome]:
            return await self._room_log.publish(self._serial, drafts, self._seen(), self._highest())

        outcomes = await self._link.patiently(publish)
        metrics.BATCH.labels(room).observe(len(batch))
        metrics.MESSAGES.labels(room).inc(sum(not outcome.repeated for outcome in outcomes))
        metrics.REPEATS.inc(sum(outcome.repeated for outcome in outcomes))
        for (_, done), outcome in zip(batch, outcomes, strict=True):
            if done is not None:
                done(outcome)
