"""The stream of quotes in Redis: append and publish in one step, read back."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

from chassis.lease import Lease
from chassis.redis import Link, Script

from . import keys

PUBLISH_LUA = resources.files(__package__).joinpath("publish.lua").read_text()

_PUBLISH = Script(PUBLISH_LUA)

KEPT = 1000
"""Quotes kept in the stream, about."""


class Position(NamedTuple):
    """The id of an entry, which grows with time."""

    ms: int
    """When it was published, by Redis' clock: milliseconds since 1970 (UTC)."""
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @classmethod
    def parse(cls, entry: bytes) -> Position:
        """Read an entry's id."""
        ms, _, seq = entry.partition(b"-")
        return cls(int(ms), int(seq))


NOWHERE = Position(0, 0)
"""That of the latest entry where there is none."""


class Quote(NamedTuple):
    """A quote that has been published."""

    position: Position
    text: str


def unpack(message: bytes) -> tuple[Position, Quote]:
    """Read what was published: the position before, and the quote."""
    before, entry, text = message.split(b" ", 2)
    return Position.parse(before), Quote(Position.parse(entry), text.decode())


class Stream:
    """The stream; all methods raise what the Redis client raises."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def publish(self, lease: Lease, latest: Position, text: str) -> Position | None:
        """Append a quote after `latest` and publish it; returns the latest entry's position.

        If that is no newer than `latest`, nothing was published, for the stream had been lost;
        None tells that the lease was. The same again, with the same `latest`, is harmless.
        """
        entry: bytes | None = await self._link.send(
            *_PUBLISH(
                keys=[lease.key, keys.quotes()],
                args=[
                    lease.value,
                    str(latest),
                    text,
                    KEPT,
                    self._link.channel(keys.WISDOM),
                    keys.QUOTE,
                ],
            )
        )
        return None if entry is None else Position.parse(entry)

    async def newest(self, count: int, after: Position = NOWHERE) -> list[Quote]:
        """Read the newest quotes after `after`, at most `count`, the newest first."""
        entries = await self._link.send(
            "XREVRANGE", keys.quotes(), "+", f"({after}", "COUNT", count
        )
        return [Quote(Position.parse(entry), values[1].decode()) for entry, values in entries]

    async def now(self) -> float:
        """Tell the time by Redis' clock, milliseconds since 1970 (UTC)."""
        seconds, microseconds = await self._link.send("TIME")
        return int(seconds) * 1000 + int(microseconds) / 1000

    async def end(self) -> Position:
        """Tell the position of the latest quote."""
        newest = await self.newest(1)
        return newest[0].position if newest else NOWHERE
