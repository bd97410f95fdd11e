"""Follow a room's log: hear what is published, in order and without holes.

Whatever is heard is checked against the numbers; what is missing is read from the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from chassis import clock, logs

from . import metrics
from .history import History
from .log import FILL_RECORDS, NOWHERE, Log, unpack
from .records import Position, Record, consecutive, follows

LOOK_BACK = 20_000
"""Records looked through at the start for what newcomers get."""


class Follower:
    """Follow one room's log; the `Listener` of its subscription.

    `deliver(records, sent)` gets every shown record once, in order; `sent` is when the
    oldest was published, None if unknown. `written()` tells how far the log was written down when
    this replica starts: a log that ends before that has come back older. `broken()` is called when
    some records are gone for good: what comes next does not continue what came before.
    """

    def __init__(
        self,
        room_log: Log,
        history: History,
        log: logs.Log,
        *,
        wanted: int,
        written: Callable[[], Position | None],
        deliver: Callable[[list[Record], float | None], Awaitable[None]],
        broken: Callable[[], None],
    ) -> None:
        self._room_log = room_log
        self._history = history
        self._log = log
        self._wanted = wanted
        self._written = written
        self._deliver = deliver
        self._broken = broken
        self.position: Position | None = None
        """That of the latest record, None as long as the log has not been read."""
        self.highest = 0
        """The highest number of a client that any replica has told of."""

    async def reach(self, position: Position, within: float) -> None:
        """Wait until `position` of the present epoch has been heard, but not for long."""
        deadline = clock.monotonic() + within
        while clock.monotonic() < deadline:
            here = self.position
            if here is None or here.epoch != position.epoch or here >= position:
                return
            await asyncio.sleep(0.02)

    # What the subscription tells

    async def subscribed(self) -> None:
        """Go to the end of the log; at first only look back for what newcomers get."""
        if self.position is None:
            await self._start()
        else:
            await self._fill("subscribed")

    async def heard(self, messages: list[bytes]) -> None:
        """Deliver batches that were published one after the other."""
        publications = [unpack(payload) for payload in messages]
        self.highest = max(self.highest, *(publication.highest for publication in publications))
        records = [record for publication in publications for record in publication.records]
        assert self.position is not None
        for record in records:
            if record.position <= self.position and self._history.contradicts(record):
                # A server without our latest records has taken over and given their numbers again.
                self._break(record.position)
                break
        records = self._fresh(records)
        if not consecutive(self.position, records):
            await self._fill("gap")
            # What the log does not have (any longer) has been heard, at least.
            await self._replay(self._fresh(records))
            return
        await self._move(records, publications[0].sent)

    async def probe(self, end: bytes) -> None:
        """Compare our position with the end of the log, as it was before the probe came."""
        assert self.position is not None
        position = Position.parse(end)
        if position > self.position:
            await self._fill("canary")
        elif position < self.position and await self._room_log.end() < self.position:
            # The log has lost what we have seen. Its numbers must not be given again.
            await self._room_log.begin(self.position)
            await self._fill("canary")

    # Following the log

    async def _start(self) -> None:
        written = await asyncio.to_thread(self._written)
        end = await self._room_log.begin(written or NOWHERE)
        found: list[Record] = []
        shown = 0
        oldest = Position(end.epoch, end.seq + 1)
        while shown < self._wanted and oldest.seq > 1 and len(found) < LOOK_BACK:
            part = [
                record
                for record in await self._room_log.before(oldest, FILL_RECORDS)
                if record.position.epoch == end.epoch and record.position.seq > 0
            ]
            if not part:
                break
            found += part
            shown += sum(record.shown for record in part)
            oldest = part[-1].position
        self._history.begin(Position(end.epoch, oldest.seq - 1))
        for record in reversed(found):
            self._history.append(record)
        self.position = end

    def _fresh(self, records: list[Record]) -> list[Record]:
        """Drop what has been delivered."""
        assert self.position is not None
        here = self.position
        return [record for record in records if record.position > here]

    async def _fill(self, cause: str) -> None:
        """Read what follows our position from the log, and deliver it."""
        metrics.FILLED.labels(self._room_log.room, cause).inc()
        while True:
            assert self.position is not None
            records = await self._room_log.after(self.position, FILL_RECORDS)
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
        metrics.DATA_LOSS.labels(self._room_log.room).inc()
        self._log.warning(
            "Redis has lost records",
            room=self._room_log.room,
            seen=str(self.position),
            following=str(following),
        )
        self.position = Position(following.epoch, max(0, following.seq - 1))
        self._history.begin(self.position)
        self._broken()

    async def _move(self, records: list[Record], sent: float | None) -> None:
        """Deliver records that follow on our position."""
        if not records:
            return
        # Before anything is awaited: who joins meanwhile has these records in its history.
        self.position = records[-1].position
        for record in records:
            self._history.append(record)
        shown = [record for record in records if record.shown]
        if shown:
            await self._deliver(shown, sent)
