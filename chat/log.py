"""A room's log in Redis: append and publish in one step, read back, ask where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

from chassis import clock
from chassis.redis import Link, Script, memory

from . import keys
from .records import Position, Record

PUBLISH_LUA = resources.files(__package__).joinpath("publish.lua").read_text()

_PUBLISH = Script(PUBLISH_LUA)

KEY_MEMORY = 10 * 60.0
"""Seconds for which a client's key is remembered."""

WRITER_MEMORY = 60 * 60.0
"""Seconds for which a replica's last batch is remembered; longer than any call may be late."""

FILL_RECORDS = 100
"""Records read from the log at once; each may be as long as a message may."""

LOOK_EVERY = 10.0
"""Seconds between two looks at how much memory Redis may use."""

LEAST_BYTES = 1024 * 1024
"""Bytes that a log may have, however little memory there is."""

NOWHERE = Position(0, 0)


@dataclass(frozen=True)
class Draft:
    """A record that has no number yet.

    `numbered` ones are JSON objects without their end, to which the script adds time and numbers;
    others are published as they are. `digest` names a message that must not be there twice.
    """

    data: bytes
    shown: bool = True
    numbered: bool = True
    digest: str | None = None


class Outcome(NamedTuple):
    """What became of a draft."""

    position: Position
    repeated: bool


class Publication(NamedTuple):
    """What is published: a batch of consecutive records."""

    records: list[Record]
    sent: float
    """When the batch was handed to Redis, seconds since 1970."""
    highest: int
    """The highest number of a client that the publishing replica knew of."""


def unpack(payload: bytes) -> Publication:
    """Read what `publish.lua` publishes. Raises ValueError if it is something else."""
    head, found, body = payload.partition(b"\n")
    words = head.split(b" ")
    if not found or len(words) < 5:
        raise ValueError("not a batch of records")
    epoch, first, sent, highest = map(int, words[:4])
    records = []
    at = 0
    for seq, word in enumerate(words[4:], first):
        stop = at + int(word[1:])
        records.append(Record(Position(epoch, seq), word[:1] == keys.MESSAGE, body[at:stop]))
        at = stop
    if at != len(body):
        raise ValueError("a batch whose lengths are wrong")
    return Publication(records, sent / 1e6, highest)


class Log:
    """One room's log; all methods raise what the Redis client raises."""

    def __init__(self, link: Link, room: str, instance: str, retain: int, share: float) -> None:
        """Keep `retain` records, and no more bytes than this share of Redis' memory."""
        self.room = room
        self.channel = link.channel(keys.channel(room))
        self.probe = link.channel(keys.probe(room, instance))
        self._link = link
        self.stream = keys.log(room)
        self._writer = keys.writer(room, instance)
        self._size = keys.size(room)
        self._keys = keys.key(room, "")
        self._retain = retain
        self._share = share
        self._bytes = LEAST_BYTES
        self._looked = -LOOK_EVERY

    async def begin(self, seen: Position = NOWHERE) -> Position:
        """Make sure that there is an epoch, a new one if `seen` was lost; tell the log's end."""
        await self._look()
        entry: bytes = await self._link.send(
            *_PUBLISH(
                keys=[self.stream, self._writer, self._size], args=self._arguments(0, seen, 0)
            )
        )
        return Position.parse(entry)

    async def publish(
        self, serial: int, drafts: Sequence[Draft], seen: Position, highest: int
    ) -> list[Outcome]:
        """Append a batch and publish it.

        The same `serial` again is harmless, serials must grow. `seen` is the latest
        record this replica knows, `highest` the highest number of a client.
        """
        await self._look()
        names = [self.stream, self._writer, self._size]
        arguments: list[object] = self._arguments(serial, seen, highest)
        for draft in drafts:
            arguments += (
                keys.MESSAGE if draft.shown else keys.EVENT,
                b"j" if draft.numbered else b"t",
                draft.digest or b"",
                draft.data,
            )
        reply: bytes = await self._link.send(*_PUBLISH(keys=names, args=arguments))
        words = reply.split(b" ")
        if len(words) != len(drafts):
            raise RuntimeError(f"a batch of {len(drafts)} came to {reply[:100]!r}")
        return [Outcome(Position.parse(word.lstrip(b"=")), word[:1] == b"=") for word in words]

    def _arguments(self, serial: int, seen: Position, highest: int) -> list[object]:
        now = clock.wall_us()
        return [
            self.channel, serial, seen.epoch, seen.seq, now // 1000, self._retain, self._bytes,
            int(KEY_MEMORY * 1000), int(WRITER_MEMORY * 1000), now, highest, self._keys,
        ]  # fmt: skip

    async def _look(self) -> None:
        """See from time to time how much memory there is to have a share of."""
        now = clock.monotonic()
        if now - self._looked >= LOOK_EVERY:
            found = await memory(self._link)
            self._bytes = max(LEAST_BYTES, int(self._share * found.limit))
            self._looked = now

    async def end(self) -> Position:
        """Tell the position of the last record; `NOWHERE` if there is no log."""
        last = await self._link.send("XREVRANGE", self.stream, "+", "-", "COUNT", 1)
        return Position.parse(last[0][0]) if last else NOWHERE

    async def after(self, position: Position, count: int) -> list[Record]:
        """Read up to `count` records after `position`, markers of new epochs among them."""
        return read_entries(
            await self._link.send("XRANGE", self.stream, f"({position}", "+", "COUNT", count)
        )

    async def before(self, position: Position, count: int) -> list[Record]:
        """Read up to `count` records before `position`, the latest first."""
        return read_entries(
            await self._link.send("XREVRANGE", self.stream, f"({position}", "-", "COUNT", count)
        )


def read_entries(entries: list[tuple[bytes, list[bytes]]]) -> list[Record]:
    """Read entries of a log as Redis replies them."""
    return [
        Record(Position.parse(entry), field == keys.MESSAGE, data)
        for entry, (field, data, *_) in entries
    ]
