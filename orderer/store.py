"""The feeds in Redis: the input, the output, the checkpoints and the gap ledgers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import orjson

from chassis import clock
from chassis.redis import Command, Entry, Link, Script, checked, pairs, transient
from relay import gaps, keys, ordered, raw, rejected
from relay.entry import START, position
from relay.messages import LARGEST, Reject
from relay.reading import ReadSize

from .commit import Step, Target, steps, unpack_origin
from .feed import Commit, State
from .reorder.fingerprints import Fingerprints
from .reorder.outputs import Cause, Gap, Origin, Place

_BEGIN = Script("""
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1])
redis.call('HSETNX', KEYS[1], 'next', '')
return redis.call('HSETNX', KEYS[1], 'incarnation', ARGV[2])
""")

# The input is no key of the script but an argument: the keys of a script must be writable in every
# way, and an orderer may only read and trim its input.
_TRIM = Script("""
if redis.call('HGET', KEYS[1], 'raw') ~= ARGV[1] then return 0 end
return redis.call('XTRIM', ARGV[2], 'MINID', '=', ARGV[1])
""")
"""Trim, unless Redis came back with an older checkpoint, which needs what is to go."""

READ_MESSAGES = 4000
"""Messages to read at a time, roughly."""

LEDGER_ROWS = 10_000
"""Rows of the gap ledger that are read when a feed is taken up."""

_FORMERLY_UNTOLD = "*"
"""What an earlier version wrote for the lines where no entry had told about any."""


class Verdict(StrEnum):
    """What became of a commit."""

    DONE = "done"
    FENCED = "fenced"
    """The lease is another orderer's."""
    LOST = "lost"
    """Redis has lost the numbering, or the end of it: begin anew."""
    FAILED = "failed"
    """Redis cannot do it, and no repetition will mend that."""


class Store:
    """Read and write feeds; all methods raise what the link raises."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._targets: dict[str, Target] = {}
        self.failure = ""
        """What Redis said to the last commit that it could not do."""

    # A feed ----------------------------------------------------------------------------------

    async def load(self, feed: str, lease_key: str, fingerprints: int) -> State:
        """Take a feed up from its checkpoint; without one, begin a new incarnation.

        A new incarnation numbers its epochs above whatever the output holds. Of the output,
        `fingerprints` messages are looked at.
        """
        order = keys.order(feed)
        fields = pairs(await self._link.send("HGETALL", order))
        if keys.ORDER_INCARNATION not in fields:
            last = await self._link.send("XREVRANGE", keys.ordered(feed), "+", "-", "COUNT", 1)
            epoch = position(last[0][0])[0] + 1 if last else 1
            await self._link.send(*_BEGIN(keys=[order], args=[epoch, clock.token(8)]))
            fields = pairs(await self._link.send("HGETALL", order))
        last = fields.get(keys.ORDER_COMMIT, b"").decode()
        target = Target(feed, lease_key, fields[keys.ORDER_INCARNATION], last)
        epoch, following = int(fields[keys.ORDER_EPOCH]), fields[keys.ORDER_NEXT]
        begun = fields.get(keys.ORDER_BEGUN, b"")
        if keys.ORDER_FIRST in fields:
            first, origin = int(fields[keys.ORDER_FIRST] or b"0"), unpack_origin(begun)
        else:
            first, origin = await self._former_origin(feed, begun)
        lines = fields.get(keys.ORDER_LINES, b"").decode().split()
        state = State(
            epoch=epoch,
            next=int(following) if following else None,
            first=first,
            raw=fields.get(keys.ORDER_RAW, START),
            seen=fields.get(keys.ORDER_SEEN, START),
            origin=origin,
            lines=[line for line in lines if line != _FORMERLY_UNTOLD],
            gaps=await self._gaps(feed, epoch, target),
            published=await self._published(feed, epoch, fingerprints),
        )
        self._targets[feed] = target
        return state

    def drop(self, feed: str) -> None:
        """Forget a feed."""
        self._targets.pop(feed, None)

    async def _gaps(self, feed: str, epoch: int, target: Target) -> list[Gap]:
        """Read the epoch's last gaps, by ids."""
        found = []
        for entry, values in await self._link.send(
            "XREVRANGE", keys.gaps(feed), "+", "-", "COUNT", LEDGER_ROWS
        ):
            row = gaps.unpack(values)
            if row.epoch == epoch:
                target.remember(entry, row)
                found.append(
                    Gap(epoch, row.first, row.last, None, row.opened, Cause(row.cause), row.late)
                )
        return sorted(found, key=lambda gap: gap.first)

    async def _published(self, feed: str, epoch: int, least: int) -> Fingerprints:
        """Read the end of what the output holds of an epoch."""
        found: list[list[bytes]] = []
        messages, end = 0, ordered.entry_id(epoch, LARGEST)
        size = ReadSize(READ_MESSAGES)
        while messages < least:
            entries = await self._link.send(
                "XREVRANGE", keys.ordered(feed), end, ordered.entry_id(epoch, 0),
                "COUNT", size.entries,
            )  # fmt: skip
            if not entries:
                break
            size.learn(entries)
            found += [values for _, values in entries]
            messages += sum(ordered.count(values) for _, values in entries)
            end = "(" + entries[-1][0].decode()
        published = Fingerprints(least)
        for values in reversed(found):
            published.extend(ordered.first_id(values), ordered.messages(values))
        return published

    async def _former_origin(self, feed: str, begun: bytes) -> tuple[int, Origin | None]:
        """Read how an earlier version wrote down where an epoch begins.

        `<entry> <digest> <first id>`: from that frame of that entry on, all was the epoch's.
        """
        if not begun:
            return 0, None
        entry, digest, first, *_ = *begun.split(b" "), b"0", b"0"
        found = await self._link.send("XRANGE", keys.raw(feed), entry, entry)
        frames = raw.unpack(*found[0]).frames if found else []
        at = next((at for at, frame in enumerate(frames) if _digest(frame) == digest), 0)
        return int(first), Origin(Place(entry, at - 1)) if entry != START else None

    # The input -------------------------------------------------------------------------------

    async def read(
        self, cursors: Mapping[str, bytes], sizes: Mapping[str, ReadSize], *, block: bool = True
    ) -> dict[str, list[raw.Entry]]:
        """Read the next entries of feeds behind their cursors, as many as their sizes say.

        With `block`, wait a moment for some.
        """
        names = {keys.raw(feed): feed for feed in cursors}
        least = min(sizes[feed].entries for feed in cursors)
        found = await self._link.read(
            {keys.raw(feed): cursor for feed, cursor in cursors.items()}, count=least, block=block
        )
        # One count holds for all streams of a read; of whom more fits, more is asked for.
        more = {
            stream: sizes[names[stream]].entries - least
            for stream, entries in found.items()
            if len(entries) == least < sizes[names[stream]].entries
        }
        replies = await self._link.send_all(
            [
                ("XRANGE", stream, b"(" + found[stream][-1][0], "+", "COUNT", count)
                for stream, count in more.items()
            ]
        )
        for stream, reply in zip(more, replies, strict=True):
            if not isinstance(reply, Exception):
                found[stream] += reply
        for stream, entries in found.items():
            sizes[names[stream]].learn(entries)
        return {
            names[stream]: [raw.unpack(entry, values) for entry, values in entries]
            for stream, entries in found.items()
        }

    async def trim(self, checkpoints: Mapping[str, bytes]) -> None:
        """Drop the input below each checkpoint, if that is the one in Redis, too."""
        checked(
            await self._link.send_all(
                [
                    _TRIM(keys=[keys.order(feed)], args=[raw_entry, keys.raw(feed)])
                    for feed, raw_entry in checkpoints.items()
                ]
            )
        )

    # The output ------------------------------------------------------------------------------

    async def commit(self, commits: Sequence[tuple[Commit, str]]) -> dict[str, Verdict]:
        """Write commits, each under the value of its lease; each is done or refused by itself.

        A commit that is too long for one step is written in several, each of them atomic.
        """
        now = clock.wall_us()
        left = {
            commit.feed: steps(commit, self._targets[commit.feed], lease, now)
            for commit, lease in commits
        }
        verdicts = dict.fromkeys(left, Verdict.DONE)
        while calls := {feed: step for feed, rest in left.items() if (step := next(rest, None))}:
            for feed, reply in (await self._call(calls)).items():
                verdicts[feed] = self._verdict(reply)
                if verdicts[feed] is not Verdict.DONE:
                    del left[feed]
                    continue
                self._targets[feed].last = calls[feed].name
                if calls[feed].rows:
                    await self._remember(feed, calls[feed].rows, reply[1:])
        return verdicts

    async def _call(self, calls: Mapping[str, Step]) -> dict[str, Any]:
        """Run each feed's script, however long Redis takes; what cannot be mended is returned."""
        pending, done = dict(calls), {}

        async def attempt() -> None:
            replies = await self._link.send_all([step.command for step in pending.values()])
            again: list[Any] = []
            for feed, reply in zip(list(pending), replies, strict=True):
                if isinstance(reply, Exception) and transient(reply) is not None:
                    again.append(reply)
                else:
                    done[feed] = reply
                    del pending[feed]
            checked(again)

        await self._link.patiently(attempt)
        return done

    def _verdict(self, reply: Any) -> Verdict:
        if isinstance(reply, Exception):
            self.failure = str(reply)
            return Verdict.FAILED
        match reply[0]:
            case b"lost" | b"moved":
                return Verdict.LOST
            case b"fenced":
                return Verdict.FENCED
        return Verdict.DONE

    async def _remember(self, feed: str, rows: list[gaps.Row], entries: list[bytes]) -> None:
        """Remember the ledger's entries, that late frames can be counted in them."""
        target = self._targets[feed]
        if entries:
            for row, entry in zip(rows, entries, strict=True):
                target.remember(entry, row)
            return

        # The step had been done before, and the reply that named them was lost.
        async def look() -> list[Entry]:
            count = 2 * len(rows) + 100
            found: list[Entry] = await self._link.send(
                "XREVRANGE", keys.gaps(feed), "+", "-", "COUNT", count
            )
            return found

        for entry, values in reversed(await self._link.patiently(look)):
            target.remember(entry, gaps.unpack(values))

    async def lost(self, expected: Mapping[str, tuple[bytes, str]]) -> set[str]:
        """Tell of which feeds Redis has lost the numbering, or the end of what was read or written.

        `expected` has each feed's cursor in the input, and its lease's value.
        """
        commands: list[Command] = []
        for feed in expected:
            commands += (
                ("HMGET", keys.order(feed), keys.ORDER_INCARNATION, keys.ORDER_COMMIT),
                ("XREVRANGE", keys.raw(feed), "+", "-", "COUNT", 1),
                ("GET", self._targets[feed].lease_key),
            )
        replies = checked(await self._link.send_all(commands))
        lost = set()
        for at, (feed, (cursor, lease)) in enumerate(expected.items()):
            (incarnation, commit), newest, holder = replies[3 * at : 3 * at + 3]
            target = self._targets[feed]
            went_back = (commit or b"") != target.last.encode() or (
                bool(newest) and position(newest[0][0]) < position(cursor)
            )
            # While it is our lease, nobody else has written.
            if incarnation != target.incarnation or (went_back and holder == lease.encode()):
                lost.add(feed)
        return lost

    # Notes -----------------------------------------------------------------------------------

    async def park(self, feed: str, rejects: Iterable[Reject]) -> None:
        """Keep rejected frames for inspection."""
        await rejected.park(self._link, feed, rejects)

    async def tell(self, statuses: Mapping[str, Mapping[str, Any]]) -> None:
        """Leave notes on what is in memory, for `python -m orderer status`."""
        now = clock.wall_us()
        checked(
            await self._link.send_all(
                [
                    (
                        "HSET", keys.order(feed), keys.ORDER_STATUS,
                        orjson.dumps({"time": now, **status}),
                    )
                    for feed, status in statuses.items()
                ]
            )
        )  # fmt: skip


def _digest(frame: bytes) -> bytes:
    return blake2b(frame, digest_size=8).hexdigest().encode()
