"""What is done for a sink once a second: see that its numbering lives, trim, tell its lag."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from chassis import clock
from chassis.lease import Lease
from chassis.redis import Command, Link, Script, checked
from relay import entry, keys, ordered
from relay.allowance import Allowance
from relay.entry import START
from relay.reading import ReadSize

from .metrics import SinkMetrics
from .position import Position
from .retention import Retention

_TRIM = Script(resources.files(__package__).joinpath("trim.lua").read_text())

COUNT_MESSAGES = 2000
"""Messages to count back at a time, roughly."""


class Lost(Exception):
    """Redis has lost the numbering; begin anew."""


class Upkeep:
    """Move a sink's position, and keep `ordered` short behind it; raises what the link raises."""

    def __init__(
        self,
        link: Link,
        lane: str,
        feed: str,
        position: Position,
        lease: Lease,
        others: Sequence[str],
        retain: int,
        allowance: Allowance,
        metrics: SinkMetrics,
    ) -> None:
        """Prepare for the sink that stands at `position`; `others` names the feed's other sinks."""
        self._link = link
        self._feed = feed
        self._ordered = keys.ordered(lane)
        self._totals = keys.confirmed(lane)
        self._position = position
        self._others = [keys.sink(lane, feed, other) for other in others]
        self._retain = retain
        self._allowance = allowance
        self._lease = lease
        self._retention = Retention(retain, START)
        self._metrics = metrics

    async def load(self) -> bool:
        """Load the position, count what is kept behind it; False if Redis lost its numbering."""
        found = await self._position.load()
        end = self._position.confirmed
        await self._allowance.look()
        self._retention = Retention(self._retain, end)
        size = ReadSize(COUNT_MESSAGES)
        while end != START:
            entries = await self._link.send(
                "XREVRANGE", self._ordered, end, "-", "COUNT", size.entries
            )
            if not entries or not self._retention.count_back(entries, self._allowance.kept):
                break
            size.learn(entries)
            end = b"(" + entries[-1][0]
        return found

    async def advance(self, confirmed: bytes, serial: int | None, messages: int, size: int) -> None:
        """Save that all up to the entry `confirmed` is, so many messages and bytes farther on."""
        await self._position.save(confirmed, serial)
        self._retention.advance(confirmed, messages, size)

    async def look(self) -> None:
        """Look around: trim, and tell the lag; raises Lost when the numbering is gone."""
        if await self._position.lost():
            await self._position.forget()
            raise Lost
        await self._allowance.look()
        oldest, *others = checked(
            await self._link.send_all(
                [
                    ("XRANGE", self._ordered, b"(" + self._position.confirmed, "+", "COUNT", 1),
                    *(("HGET", other, keys.SINK_POSITION) for other in self._others),
                ]
            )
        )
        waiting = ordered.received_at(oldest[0][1]) if oldest else None
        self._metrics.lag.set(max(0.0, clock.wall() - waiting / 1e6) if waiting else 0)
        # The position may move whenever this waits: what to trim is decided without waiting.
        checked(await self._link.send_all(self._trim(others)))

    def _trim(self, others: Sequence[bytes | None]) -> list[Command]:
        """If the sink is the slowest, say so, and drop what lies farther behind than is kept."""
        confirmed = self._position.confirmed
        here = entry.position(confirmed)
        if any(entry.position(other or START) < here for other in others):
            return []
        trimmable = self._retention.trimmable(self._allowance.kept)
        return [
            _TRIM(
                keys=[self._lease.key, self._totals],
                args=[
                    self._position.fence, self._feed, self._position.serial or 0, self._ordered,
                    trimmable or "",
                ],
            )
        ]  # fmt: skip
