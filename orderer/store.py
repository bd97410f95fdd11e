"""The feeds in Redis: the input, the output, the checkpoints and the gap ledgers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from importlib import resources
from typing import Any

import orjson

from chassis import clock
from chassis.redis import Command, Link, Script, checked, pairs, transient
from chassis.redis import Entry as Found
from relay import gaps, keys, ordered, prints, reading, rejected, standing
from relay.entry import START, position
from relay.messages import Reject
from relay.reading import ReadSize

from . import lane as lanes
from .commit import Rows, Step, Target, steps, unpack_origin
from .lane import Commit, Entry, LaneState, Mark
from .reorder.fingerprints import Fingerprints
from .reorder.outputs import Cause, Gap
from .sequence import State
from .upgrade import newest, upgrade

_BEGIN = Script(resources.files(__package__).joinpath("begin.lua").read_text())

READ_MESSAGES = 4000
"""Messages to read at a time, roughly."""

READ_PRINTS = 1000
"""Entries of fingerprints to read at a time; of up to 4000 bytes each."""

LEDGER_ROWS = 10_000
"""Rows of the gap ledger that are read when a feed is taken up."""

ALONE = (None, "forbidden")
"""What Redis says of one lane's keys: nobody else has to wait for that to be mended."""


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
    """Read and write lanes; all methods raise what the link raises."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._targets: dict[str, Target] = {}
        self._generation = 0
        """The latest that was begun here, whatever the host's clock has done since."""
        self.failure = ""
        """What Redis said to the last commit that it could not do."""

    # A lane ----------------------------------------------------------------------------------

    async def load(self, lane: str, lease_key: str, fingerprints: int) -> LaneState:
        """Take a lane up from its checkpoint; without one, begin a new incarnation.

        Its generation is above those of all who have had it, also of one whose turn Redis has
        forgotten, unless clocks differ by more than has gone by since that began. Of what each
        feed has put out, `fingerprints` messages are remembered.
        """
        fields = await self._begun(lane)
        if keys.ORDER_SERIAL not in fields:
            await upgrade(self._link, lane, fields)
            fields = await self._begun(lane)
        stands = pairs(await self._link.send("HGETALL", keys.next(lane)))
        last = fields.get(keys.ORDER_COMMIT, b"").decode()
        target = Target(lane, lease_key, fields[keys.ORDER_INCARNATION], last, fingerprints)
        found: dict[str, dict[str, bytes]] = {}
        for name, stand in stands.items():
            feed, _, key = name.decode().partition(":")
            found.setdefault(feed, {})[key] = stand
        feeds = {
            feed: await self._feed(target, feed, each, fields, fingerprints)
            for feed, each in found.items()
        }
        lines = {
            feed: fields.get(keys.of(lane, feed, keys.ORDER_LINES), b"").decode().split()
            for feed in feeds
        }
        mark = Mark(
            fields.get(keys.ORDER_RAW, START),
            fields.get(keys.ORDER_SEEN, START),
            int(fields[keys.ORDER_SERIAL]),
            fields.get(keys.ORDER_WAITING, b"").decode().split(),
            lines,
            self._begin(int(fields.get(keys.ORDER_GENERATION, 0))),
            int(fields[keys.ORDER_FLOOR]),
        )
        target.serials = {
            feed: sum(state.serial for state in states.values()) for feed, states in feeds.items()
        }
        self._targets[lane] = target
        return LaneState(mark, feeds)

    def _begin(self, former: int) -> int:
        """Name a generation above the `former` one."""
        self._generation = max(former + 1, self._generation + 1, clock.wall_us() // 1000)
        return self._generation

    async def _begun(self, lane: str) -> dict[bytes, bytes]:
        """Read the lane's checkpoint; where there is none, begin a new incarnation.

        Its epochs are above what the output holds.
        """
        order = keys.order(lane)
        fields = pairs(await self._link.send("HGETALL", order))
        if keys.ORDER_INCARNATION not in fields:
            incarnation, floor = clock.token(8), 1 + await newest(self._link, lane)
            await self._link.send(*_BEGIN(keys=[order, keys.next(lane)], args=[incarnation, floor]))
            fields = pairs(await self._link.send("HGETALL", order))
        return fields

    async def _feed(
        self, target: Target, feed: str, stands: Mapping[str, bytes],
        fields: Mapping[bytes, bytes], fingerprints: int,
    ) -> dict[str, State]:  # fmt: skip
        """Read the states of a feed's sequences, by their keys."""
        lane = target.lane
        ends = {key: standing.unpack(stand) for key, stand in stands.items()}
        epochs = {key: end.epoch for key, end in ends.items()}
        given_up = await self._gaps(lane, feed, epochs, target.known(feed))
        published = await self._published(lane, feed, epochs, fingerprints)
        return {
            key: State(
                epoch=end.epoch,
                next=end.next,
                first=int(fields.get(keys.of(lane, feed, keys.ORDER_FIRST, key)) or b"0"),
                serial=end.serial,
                origin=unpack_origin(fields.get(keys.of(lane, feed, keys.ORDER_BEGUN, key), b"")),
                gaps=given_up.get(key, ()),
                published=published.get(key),
                last=end.last,
            )
            for key, end in ends.items()
        }

    def keep(self, lane: str, prints: int) -> None:
        """Keep so many fingerprints of what each feed of a lane puts out in Redis, about."""
        self._targets[lane].prints = prints

    def drop(self, lane: str) -> None:
        """Forget a lane."""
        self._targets.pop(lane, None)

    async def _gaps(
        self, lane: str, feed: str, epochs: Mapping[str, int], ledger: Rows
    ) -> dict[str, list[Gap]]:
        """Read the last gaps of each key's epoch, by ids."""
        found: dict[str, list[Gap]] = {}
        for entry, values in await self._link.send(
            "XREVRANGE", keys.gaps(lane, feed), "+", "-", "COUNT", LEDGER_ROWS
        ):
            row = gaps.unpack(values)
            if row.epoch == epochs.get(row.key):
                ledger.remember(entry, row)
                gap = Gap(
                    row.epoch, row.first, row.last, None, row.opened, Cause(row.cause), row.late
                )
                found.setdefault(row.key, []).append(gap)
        return {key: sorted(each, key=lambda gap: gap.first) for key, each in found.items()}

    async def _published(
        self, lane: str, feed: str, epochs: Mapping[str, int], least: int
    ) -> dict[str, Fingerprints]:
        """Read the fingerprints of each key's epoch; take those that an earlier version did not.

        They tell of messages that were delivered and dropped from the output, too.
        """

        def unpack(_entry: bytes, values: list[bytes]) -> prints.Stretch:
            return prints.unpack(values)

        kept = await self._backwards(keys.prints(lane, feed), least, unpack, READ_PRINTS)
        if not kept and lane == feed:

            def take(entry: bytes, values: list[bytes]) -> prints.Stretch:
                span = ordered.span(entry, values)
                key, taken = span.key.decode(), prints.take(ordered.messages(values))
                return prints.Stretch(key, span.epoch, span.first, taken)

            kept = await self._backwards(keys.ordered(lane), least, take)
        published: dict[str, Fingerprints] = {}
        for key, epoch, first, stretch in reversed(kept):
            if epoch == epochs.get(key):
                published.setdefault(key, Fingerprints(least)).extend(first, stretch)
        return published

    async def _backwards(
        self, stream: str, least: int,
        unpack: Callable[[bytes, list[bytes]], prints.Stretch], count: int | None = None,
    ) -> list[prints.Stretch]:  # fmt: skip
        """Read a stream from the end until there are enough.

        `count` entries at a time, or as many as are digested well.
        """
        found: list[prints.Stretch] = []
        end = "+"
        size, messages = ReadSize(READ_MESSAGES), 0
        while messages < least:
            entries = await self._link.send(
                "XREVRANGE", stream, end, "-", "COUNT", count or size.entries
            )
            if not entries:
                break
            size.learn(entries)
            for entry, values in entries:
                stretch = unpack(entry, values)
                found.append(stretch)
                messages += len(stretch.prints)
            end = "(" + entries[-1][0].decode()
        return found

    # The input -------------------------------------------------------------------------------

    async def read(
        self, cursors: Mapping[str, bytes], sizes: Mapping[str, ReadSize], *, block: bool = True
    ) -> dict[str, list[Entry]]:
        """Read the next entries of lanes behind their cursors, as many as `reading.counts` says.

        With `block`, wait a moment for some.
        """
        names = {keys.raw(lane): lane for lane in cursors}
        found = await reading.read(
            self._link,
            {stream: cursors[lane] for stream, lane in names.items()},
            {stream: sizes[lane] for stream, lane in names.items()},
            block=block,
        )
        return {
            names[stream]: [lanes.entry(names[stream], id, values) for id, values in came]
            for stream, came in found.items()
        }

    # The output ------------------------------------------------------------------------------

    async def commit(self, commits: Sequence[tuple[Commit, str]]) -> dict[str, Verdict]:
        """Write commits, each under the value of its lease; each is done or refused by itself.

        A commit that is too long for one step is written in several, each of them atomic.
        """
        now = clock.wall_us()
        left = {
            commit.lane: steps(commit, self._targets[commit.lane], lease, now)
            for commit, lease in commits
        }
        verdicts = dict.fromkeys(left, Verdict.DONE)
        while calls := {lane: step for lane, rest in left.items() if (step := next(rest, None))}:
            for lane, reply in (await self._call(calls)).items():
                verdicts[lane] = self._verdict(reply)
                if verdicts[lane] is not Verdict.DONE:
                    del left[lane]
                    continue
                target, step = self._targets[lane], calls[lane]
                target.last = step.name
                target.serials.update(step.serials)
                if step.rows:
                    await self._remember(target, step.rows, reply[1:])
        return verdicts

    async def _call(self, calls: Mapping[str, Step]) -> dict[str, Any]:
        """Run each lane's script, however long Redis takes; what cannot be mended is returned."""
        pending, done = dict(calls), {}

        async def attempt() -> None:
            replies = await self._link.send_all([step.command for step in pending.values()])
            again: list[Any] = []
            for lane, reply in zip(list(pending), replies, strict=True):
                if isinstance(reply, Exception) and transient(reply) not in ALONE:
                    again.append(reply)
                else:
                    done[lane] = reply
                    del pending[lane]
            checked(again)

        await self._link.patiently(attempt)
        return done

    def _verdict(self, reply: Any) -> Verdict:
        if isinstance(reply, Exception):
            self.failure = str(reply)
            return Verdict.FAILED
        match reply[0]:
            case b"lost" | b"moved" | b"back":
                return Verdict.LOST
            case b"fenced":
                return Verdict.FENCED
        return Verdict.DONE

    async def _remember(
        self, target: Target, rows: list[tuple[str, gaps.Row]], entries: list[bytes]
    ) -> None:
        """Remember the ledgers' entries, that late frames can be counted in them."""
        if entries:
            for (feed, row), entry in zip(rows, entries, strict=True):
                target.known(feed).remember(entry, row)
            return
        # The step had been done before, and the reply that named them was lost.
        for feed in dict.fromkeys(feed for feed, _ in rows):
            await self._look_up(target, feed, 2 * len(rows) + 100)

    async def _look_up(self, target: Target, feed: str, count: int) -> None:
        """Read the end of a ledger."""

        async def look() -> list[Found]:
            stream = keys.gaps(target.lane, feed)
            found: list[Found] = await self._link.send(
                "XREVRANGE", stream, "+", "-", "COUNT", count
            )
            return found

        for entry, values in reversed(await self._link.patiently(look)):
            target.known(feed).remember(entry, gaps.unpack(values))

    async def lost(self, expected: Mapping[str, tuple[bytes, str]]) -> set[str]:
        """Tell of which lanes Redis has lost the numbering, or the end of what was read or written.

        `expected` has each lane's cursor in the input, and its lease's value.
        """
        commands: list[Command] = []
        for lane in expected:
            commands += (
                ("HMGET", keys.order(lane), keys.ORDER_INCARNATION, keys.ORDER_COMMIT),
                ("XREVRANGE", keys.raw(lane), "+", "-", "COUNT", 1),
                ("GET", self._targets[lane].lease_key),
            )
        replies = checked(await self._link.send_all(commands))
        lost = set()
        for at, (lane, (cursor, lease)) in enumerate(expected.items()):
            (incarnation, commit), newest, holder = replies[3 * at : 3 * at + 3]
            target = self._targets[lane]
            went_back = (commit or b"") != target.last.encode() or (
                bool(newest) and position(newest[0][0]) < position(cursor)
            )
            # While it is our lease, nobody else has written.
            if incarnation != target.incarnation or (went_back and holder == lease.encode()):
                lost.add(lane)
        return lost

    # Notes -----------------------------------------------------------------------------------

    async def park(self, lane: str, feed: str, rejects: Iterable[Reject]) -> None:
        """Keep rejected frames for inspection."""
        await rejected.park(self._link, lane, feed, rejects)

    async def tell(self, statuses: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """Leave notes on what is in memory of the feeds of lanes.

        They are for `python -m orderer status` and the viewer.
        """
        now = clock.wall_us()
        commands: list[Command] = []
        for lane, feeds in statuses.items():
            words: list[Any] = [keys.STATUS_TIME, now]
            for feed, status in feeds.items():
                words += (feed, orjson.dumps(status))
            commands.append(("HSET", keys.status(lane), *words))
        checked(await self._link.send_all(commands))
