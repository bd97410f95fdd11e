"""A replica's ear: hears what is published in a room, in order and without holes.

Redis forgets who did not hear a message: a connection that drops comes back without a word, and
a server that is frozen looks like one that is silent. So whatever is heard is checked against
the numbers, a new subscription begins with a look into the log, and once a second a canary
tells, through the same connection, where the log ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import ConnectionError

from chassis import lifecycle
from chassis.backoff import Backoff
from chassis.logs import Log
from chassis.redis import Link, transient

from . import metrics
from .journal import FILL_RECORDS, Journal, unpack
from .position import Position, Record, Tail, consecutive, follows

CANARY = 1.0
"""Seconds between two canaries."""

DEAF = 3.5
"""Seconds without a canary after which the subscription counts as dead."""

LOOK_BACK = 20_000
"""Records looked through at the start for what newcomers get."""

TOGETHER = 64
"""Batches that are delivered together, when so many have come."""


class Dispatcher:
    """Follow one room's log.

    `deliver(records, sent)` gets every shown record once, in order; `sent` is when the
    oldest was published, None if unknown. `broken()` is called when some are gone for good:
    what comes next does not continue what came before.
    """

    def __init__(
        self,
        link: Link,
        journal: Journal,
        tail: Tail,
        log: Log,
        *,
        wanted: int,
        deliver: Callable[[list[Record], float | None], Awaitable[None]],
        broken: Callable[[], None],
    ) -> None:
        self._link = link
        self._journal = journal
        self._tail = tail
        self._log = log
        self._wanted = wanted
        self._deliver = deliver
        self._broken = broken
        self.position: Position | None = None
        """That of the latest record, None as long as the log has not been read."""
        self.hears = False
        """Whether what is published now is heard."""
        self.highest = 0
        """The highest number of a client that any replica has told of."""

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`, with a new subscription after each failure."""
        backoff = Backoff(0.05, 0.5, 5.0)
        while not stop.is_set():
            pubsub = self._link.reader.pubsub()
            backoff.succeeded()
            try:
                await lifecycle.first(self._listen(pubsub, stop), self._chirp(stop))
            except Exception as error:
                if transient(error) is None:
                    raise
                metrics.RESUBSCRIPTIONS.labels(self._journal.room).inc()
            finally:
                self.hears = False
                with contextlib.suppress(Exception):  # whatever it is, the connection is dropped
                    await pubsub.aclose()
            if not stop.is_set():
                await self._probe()
            await lifecycle.until(stop, backoff.delay())

    async def reach(self, position: Position, within: float) -> None:
        """Wait until `position` of the present epoch has been heard, but not for long."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            here = self.position
            if here is None or here.epoch != position.epoch or here >= position:
                return
            await asyncio.sleep(0.02)

    # Listening

    async def _probe(self) -> None:
        """Find out whether Redis is away, or only the subscription was cut."""
        try:
            await self._link.client.ping()
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)
        else:
            self._link.succeeded()

    async def _chirp(self, stop: asyncio.Event) -> None:
        """Send a canary every second; fails with the Redis client."""
        while not await lifecycle.until(stop, CANARY):
            await self._journal.chirp()
            self._link.succeeded()

    async def _listen(self, pubsub: Any, stop: asyncio.Event) -> None:
        """Hear until `stop`; raises whatever the Redis client raises, also when deaf."""
        channels = {self._journal.channel.encode(), self._journal.canary.encode()}
        await pubsub.subscribe(*channels)
        confirmed: set[bytes] = set()
        heard = time.monotonic()
        while not stop.is_set():
            message = await pubsub.get_message(timeout=CANARY)
            if message is not None and message["type"] == "subscribe":
                # Also after a reconnection that nobody told of.
                confirmed.add(message["channel"])
                if confirmed == channels:
                    await self._catch_up("subscribed")
                    self.hears = True
                    heard = time.monotonic()
            elif message is not None and message["type"] == "message":
                batch, canary = await self._gather(pubsub, message)
                if batch:
                    await self._take(batch)
                if canary:
                    heard = time.monotonic()
                    await self._check(Position.parse(canary))
            if time.monotonic() - heard > DEAF:
                raise ConnectionError("the subscription is deaf")

    async def _gather(self, pubsub: Any, message: Any) -> tuple[list[bytes], bytes | None]:
        """Take what else has come by now, up to a canary."""
        batch: list[bytes] = []
        while message is not None:
            if message["type"] != "message":
                # The subscription was renewed in between: something may be missing.
                await self._catch_up("subscribed")
            elif message["channel"] != self._journal.channel.encode():
                return batch, message["data"]
            else:
                batch.append(message["data"])
            if len(batch) == TOGETHER:
                break
            message = await pubsub.get_message(timeout=0)
        return batch, None

    # Following the log

    async def _catch_up(self, cause: str) -> None:
        """Go to the end of the log; at first only look back for what newcomers get."""
        if self.position is None:
            await self._start()
        else:
            await self._fill(cause)
        self._link.succeeded()

    async def _start(self) -> None:
        end = await self._journal.begin()
        found: list[Record] = []
        shown = 0
        oldest = Position(end.epoch, end.seq + 1)
        while shown < self._wanted and oldest.seq > 1 and len(found) < LOOK_BACK:
            part = [
                record
                for record in await self._journal.before(oldest, FILL_RECORDS)
                if record.position.epoch == end.epoch and record.position.seq > 0
            ]
            if not part:
                break
            found += part
            shown += sum(record.shown for record in part)
            oldest = part[-1].position
        self._tail.begin(Position(end.epoch, oldest.seq - 1))
        for record in reversed(found):
            self._tail.append(record)
        self.position = end

    async def _take(self, batch: list[bytes]) -> None:
        """Deliver batches that were published one after the other."""
        parcels = [unpack(payload) for payload in batch]
        self.highest = max(self.highest, *(parcel.highest for parcel in parcels))
        records = self._fresh([record for parcel in parcels for record in parcel.records])
        assert self.position is not None
        if not consecutive(self.position, records):
            await self._fill("gap")
            # What the log does not have (any longer) has been heard, at least.
            await self._replay(self._fresh(records))
            return
        await self._move(records, parcels[0].sent)

    def _fresh(self, records: list[Record]) -> list[Record]:
        """Drop what has been delivered."""
        assert self.position is not None
        here = self.position
        return [record for record in records if record.position > here]

    async def _check(self, end: Position) -> None:
        """Compare our position with the end of the log, as it was before the canary came."""
        assert self.position is not None
        if end > self.position:
            await self._fill("canary")
        elif end < self.position and await self._journal.end() < self.position:
            # The log has lost what we have seen. Its numbers must not be given again.
            await self._journal.begin(self.position)
            await self._fill("canary")

    async def _fill(self, cause: str) -> None:
        """Read what follows our position from the log, and deliver it."""
        metrics.FILLED.labels(self._journal.room, cause).inc()
        while True:
            assert self.position is not None
            records = await self._journal.after(self.position, FILL_RECORDS)
            await self._replay(records)
            if len(records) < FILL_RECORDS:
                return

    async def _replay(self, records: list[Record]) -> None:
        """Deliver records that may not follow on each other: say so where they do not."""
        group: list[Record] = []
        for record in records:
            before = group[-1].position if group else self.position
            assert before is not None
            if not follows(before, record.position):
                await self._move(group, None)
                group = []
                self._break(record.position)
            if record.position.seq > 0:
                group.append(record)
        await self._move(group, None)

    def _break(self, following: Position) -> None:
        """Go on at `following`, although something between is gone."""
        metrics.DATA_LOSS.labels(self._journal.room).inc()
        self._log.warning(
            "Redis has lost records",
            room=self._journal.room,
            seen=str(self.position),
            following=str(following),
        )
        self.position = Position(following.epoch, max(0, following.seq - 1))
        self._tail.begin(self.position)
        self._broken()

    async def _move(self, records: list[Record], sent: float | None) -> None:
        """Deliver records that follow on our position."""
        if not records:
            return
        # Before anything is awaited: who joins meanwhile has these records in its history.
        self.position = records[-1].position
        for record in records:
            self._tail.append(record)
        shown = [record for record in records if record.shown]
        if shown:
            await self._deliver(shown, sent)
