"""The feeds in Redis: the input, the output, the checkpoints and the gap ledgers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from importlib import resources
from typing import Any

import orjson

from chassis import clock
from chassis.lease import fence_key
from chassis.redis import Command, Link, Script, checked, pairs, transient
from chassis.redis import Entry as Found
from relay import forgotten, gaps, keys, ordered, prints, reading, rejected, standing
from relay.entry import START, position
from relay.forgotten import Forgotten
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
_NOTE = Script(resources.files(__package__).joinpath("note.lua").read_text())
_CLEAN = Script("""#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
""")

READ_MESSAGES = 4000
"""Messages to read at a time, roughly."""

READ_PRINTS = 1000
"""Entries of fingerprints to read at a time; of up to 4000 bytes each."""

LEDGER_ROWS = 10_000
"""Rows of the gap ledger that are read when a feed is taken up."""

TOLD_FEEDS = 1000
"""Feeds that are told of at once; Lua passes on a few thousand values at most."""

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


class Superseded(Exception):
    """The lease is another orderer's."""


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

    async def load(
        self, lane: str, lease_key: str, lease: str, fingerprints: int
    ) -> LaneState:  # fmt: skip
        """Take a lane up from its checkpoint; without one, begin a new incarnation.

        Raises Superseded if that is not for who holds the `lease` to do.

        Its generation is above those of all who have had it, also of one whose turn Redis has
        forgotten, unless clocks differ by more than has gone by since that began. Of what each
        feed has put out, `fingerprints` messages are remembered.
        """
        fields = await self._begun(lane, lease_key, lease)
        if keys.ORDER_SERIAL not in fields:
            await upgrade(self._link, lane, fields)
            fields = await self._begun(lane, lease_key, lease)
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
            keys.words(lane, fields),
        )
        target.serials = {
            feed: sum(state.serial for state in states.values()) for feed, states in feeds.items()
        }
        self._targets[lane] = target
        return LaneState(mark, feeds, await self._forgotten(lane, fields, mark.raw))

    async def _forgotten(
        self, lane: str, fields: Mapping[bytes, bytes], settled: bytes
    ) -> dict[str, Forgotten]:
        """Read what is left of feeds that were forgotten; drop what is so of none."""
        found = {
            field: forgotten.unpack(value)
            for field, value in fields.items()
            if field.startswith(keys.ORDER_FORGOTTEN)
        }
        if found:
            first = await self._link.send("XRANGE", keys.ordered(lane), "-", "+", "COUNT", 1)
            oldest, now = first[0][0] if first else None, clock.wall_us()
            for field in [f for f, gone in found.items() if gone.over(settled, oldest, now)]:
                # Only if it is still this one: it may have been forgotten again.
                await self._link.send(*_CLEAN(keys=[keys.order(lane)], args=[field, fields[field]]))
                del found[field]
        return {field.decode().partition(":")[2]: gone for field, gone in found.items()}

    async def words(self, lane: str) -> dict[str, str]:
        """Read what the last commit has left of the words of each feed of a lane, as JSON."""
        return keys.words(lane, pairs(await self._link.send("HGETALL", keys.order(lane))))

    def _begin(self, former: int) -> int:
        """Name a generation above the `former` one."""
        self._generation = max(former + 1, self._generation + 1, clock.wall_us() // 1000)
        return self._generation

    async def _begun(self, lane: str, lease_key: str, lease: str) -> dict[bytes, bytes]:
        """Read the lane's checkpoint; where there is none, begin a new incarnation.

        Its epochs are above what the output holds.
        """
        order = keys.order(lane)
        fields = pairs(await self._link.send("HGETALL", order))
        if keys.ORDER_INCARNATION not in fields:
            incarnation, floor = clock.token(8), 1 + await newest(self._link, lane)
            names = [order, keys.next(lane), lease_key]
            if not await self._link.send(*_BEGIN(keys=names, args=[incarnation, floor, lease])):
                raise Superseded
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
        verdicts, leases = dict.fromkeys(left, Verdict.DONE), {c.lane: own for c, own in commits}
        while calls := {lane: step for lane, rest in left.items() if (step := next(rest, None))}:
            for lane, reply in (await self._call(calls)).items():
                verdicts[lane] = self._verdict(reply)
                if verdicts[lane] is not Verdict.DONE:
                    del left[lane]
                    if verdicts[lane] is Verdict.LOST and await self._gone(lane, leases[lane]):
                        verdicts[lane] = Verdict.FENCED
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

    async def _gone(self, lane: str, lease: str) -> bool:
        """Tell whether a lane has gone because its feed was forgotten, however long Redis takes."""

        async def look() -> list[Any]:
            return checked(await self._link.send_all(self._whether_gone(lane)))

        return gone(lease, *await self._link.patiently(look))

    def _whether_gone(self, lane: str) -> list[Command]:
        """Ask for what `gone` goes by."""
        return [
            ("HGET", keys.order(lane), keys.ORDER_INCARNATION),
            ("GET", fence_key(lane, keys.ORDERER)),
        ]

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
                ("GET", fence_key(lane, keys.ORDERER)),
            )
        replies = checked(await self._link.send_all(commands))
        lost = set()
        for at, (lane, (cursor, lease)) in enumerate(expected.items()):
            (incarnation, commit), newest, holder, fence = replies[4 * at : 4 * at + 4]
            if gone(lease, incarnation, fence):
                continue
            target = self._targets[lane]
            went_back = (commit or b"") != target.last.encode() or (
                bool(newest) and position(newest[0][0]) < position(cursor)
            )
            # While it is our lease, nobody else has written.
            if incarnation != target.incarnation or (went_back and holder == lease.encode()):
                lost.add(lane)
        return lost

    # Notes -----------------------------------------------------------------------------------

    async def park(self, lane: str, lease: str, feed: str, rejects: Iterable[Reject]) -> None:
        """Keep rejected frames for inspection, under the value of the lane's lease."""
        commands = rejected.commands(lane, feed, rejects)
        checked(await self._link.send_all([self._note(lane, lease, one) for one in commands]))

    def _note(self, lane: str, lease: str, command: Command) -> Command:
        return _NOTE(keys=[self._targets[lane].lease_key], args=[lease, *command])

    async def tell(
        self, statuses: Mapping[str, tuple[str, Mapping[str, Mapping[str, Any]]]]
    ) -> None:
        """Leave notes on what is in memory of the feeds of lanes, each under its lease's value.

        They are for `python -m orderer status` and the viewer.
        """
        now = clock.wall_us()
        commands: list[Command] = []
        for lane, (lease, feeds) in statuses.items():
            names = list(feeds)
            for start in range(0, max(1, len(names)), TOLD_FEEDS):
                words: list[Any] = [keys.STATUS_TIME, now]
                for feed in names[start : start + TOLD_FEEDS]:
                    words += (feed, orjson.dumps(feeds[feed]))
                command = ("HSET", keys.status(lane), *words)
                commands.append(self._note(lane, lease, command))
        checked(await self._link.send_all(commands))


def gone(lease: str, incarnation: bytes | None, fence: bytes | None) -> bool:
    """Tell whether a lane has gone because its feed was forgotten, and not with all of Redis.

    Then the counter of its orderers has stayed, and is above our `lease`'s: who made it go came
    after us.
    """
    return incarnation is None and int(fence or 0) > int(lease.partition(":")[0] or 0)
