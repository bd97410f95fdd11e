"""What the orderer keeps in Redis for one feed: the output, the checkpoint and the gap ledger."""

from __future__ import annotations

import secrets
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import accumulate, count, groupby
from typing import Any

import orjson

from chassis.lease import Lease
from chassis.redis import Link
from relay import keys, ordered

from .runs import Cause, Epoch, Gap, Output, Run

COMMIT_LUA = resources.files(__package__).joinpath("commit.lua").read_text()

# The input is no key of the script but an argument: the keys of a script must be writable in every
# way, and an orderer may only read and trim its input.
TRIM_LUA = """
if redis.call('HGET', KEYS[1], 'raw') ~= ARGV[1] then return 0 end
return redis.call('XTRIM', ARGV[2], 'MINID', '=', ARGV[1])
"""
"""Trim, unless Redis came back with an older checkpoint, which needs what is to go."""

RUN_MESSAGES = 1000
"""Messages in one entry of the output; Lua passes on a few thousand values at most."""

RUN_BYTES = 256 * 1024
"""Bytes of the messages in one entry, or one message."""

COMMIT_MESSAGES = 4000
COMMIT_BYTES = 1024 * 1024
"""Messages and bytes in one commit, roughly; beyond, the rest goes into the next."""

LEDGER_LENGTH = 100_000
"""Entries in the gap ledger, roughly, before the oldest go."""

UNTOLD = b"*"
"""Stands for the connected lines as long as no entry of the input has told about any."""

REJECTED_LENGTH = 1000
"""Entries in the stream of rejected frames."""

REJECTED_BYTES = 4096
"""Bytes of a rejected frame that are kept."""


_SERIALS = count(1)
"""Numbers for commits, those of all journals of this process, as two may share a lease."""


class Lost(Exception):
    """Redis has lost the numbering, or the end of it; begin anew."""


class Superseded(Exception):
    """This orderer may not write: its lease is another's."""


@dataclass(frozen=True)
class State:
    """The checkpoint of one feed."""

    incarnation: bytes
    epoch: int
    next: int | None
    raw: bytes
    seen: bytes
    begun: bytes
    """Where in the input the epoch begins."""
    lines: list[str] | None
    """The lines that were connected at `seen`; None when nobody has told."""
    gaps: list[Gap]
    """The ledger's latest gaps of this epoch, by ids."""


class Journal:
    """Read and write one feed's output; all methods raise what the Redis client raises."""

    def __init__(self, link: Link, feed: str, lease: Lease) -> None:
        self.feed = feed
        self._link = link
        self._lease = lease
        self._commit = link.client.register_script(COMMIT_LUA)
        self._trim = link.client.register_script(TRIM_LUA)
        self._keys = [lease.key, keys.order(feed), keys.ordered(feed), keys.gaps(feed)]
        self._incarnation = b""
        self._epoch = b""
        self._next = b""
        self._begun = b""

    async def load(self) -> State:
        """Read the checkpoint; without one, begin a new incarnation.

        A new incarnation numbers its epochs above whatever the output stream holds.
        """
        client = self._link.client
        order = keys.order(self.feed)
        fields = await client.hgetall(order)
        if keys.ORDER_INCARNATION not in fields:
            last = await client.xrevrange(keys.ordered(self.feed), count=1)
            epoch = int(last[0][0].partition(b"-")[0]) + 1 if last else 1
            pipeline = client.pipeline(transaction=True)
            pipeline.hsetnx(order, keys.ORDER_EPOCH, epoch)
            pipeline.hsetnx(order, keys.ORDER_NEXT, "")
            pipeline.hsetnx(order, keys.ORDER_INCARNATION, secrets.token_hex(8))
            await pipeline.execute()
            fields = await client.hgetall(order)
        self._incarnation = fields[keys.ORDER_INCARNATION]
        self._begun = fields.get(keys.ORDER_BEGUN, b"")
        self._epoch = fields[keys.ORDER_EPOCH]
        self._next = fields[keys.ORDER_NEXT]
        epoch = int(self._epoch)
        ledger = await client.xrevrange(keys.gaps(self.feed), count=10_000)
        gaps = [_read_gap(entry, values) for entry, values in ledger]
        lines = fields.get(keys.ORDER_LINES, UNTOLD)
        return State(
            incarnation=self._incarnation,
            epoch=epoch,
            next=int(self._next) if self._next else None,
            raw=fields.get(keys.ORDER_RAW, b"0-0"),
            seen=fields.get(keys.ORDER_SEEN, b"0-0"),
            begun=self._begun,
            lines=None if lines == UNTOLD else lines.decode().split(),
            gaps=sorted((gap for gap in gaps if gap.epoch == epoch), key=lambda gap: gap.first),
        )

    async def lost(self) -> bool:
        """Tell whether Redis has lost the numbering that this journal continues, or its end."""
        fields = [keys.ORDER_INCARNATION, keys.ORDER_EPOCH, keys.ORDER_NEXT]
        found, *end = await self._link.client.hmget(keys.order(self.feed), fields)
        if found != self._incarnation:
            return True
        if end == [self._epoch, self._next]:
            return False
        # Still under our lease, so nobody else has written meanwhile.
        return bool(await self._link.client.get(self._lease.key) == self._lease.value.encode())

    async def commit(
        self,
        outputs: Sequence[Output],
        amended: Iterable[Gap],
        *,
        raw: bytes,
        seen: bytes,
        lines: Iterable[str] | None,
        before: tuple[bytes, bytes],
    ) -> None:
        """Publish `outputs` in order, and save the checkpoint with the last of them.

        `raw` and `seen` are the checkpoint after all of them, `before` is the one before, whose
        `raw` stays in force until the last part is written; each part is atomic. `amended` gaps
        have their ledger entry renewed. Raises Superseded when another orderer has taken over,
        and Lost when Redis has lost the numbering, or the end of it.
        """
        parts = list(_parts(outputs)) or [[]]
        connected = UNTOLD if lines is None else " ".join(sorted(lines)).encode()
        # What a part publishes counts as seen, lest it pass for a new numbering when it is read
        # again after a crash; what begins a new numbering only together with that.
        begins = [at for at, part in enumerate(parts) if any(isinstance(o, Epoch) for o in part)]
        for at, part in enumerate(parts[:-1]):
            seen_now = before[1] if begins and at < begins[-1] else seen
            await self._commit_part(part, [], before[0], seen_now, connected)
        gaps = [gap for gap in amended if gap.entry]
        fresh = [gap for gap in amended if not gap.entry and gap not in set(outputs)]
        await self._commit_part(parts[-1], [*gaps, *fresh], raw, seen, connected)

    async def _commit_part(
        self, part: list[Output], amended: list[Gap], raw: bytes, seen: bytes, lines: bytes
    ) -> None:
        runs: list[Any] = []
        ledger = [*(item for item in part if isinstance(item, Gap)), *amended]
        epoch, following, begun = self._epoch, self._next, self._begun
        runs_count = 0
        for item in part:
            if isinstance(item, Run):
                runs_count += 1
                following = b"%d" % (item.first + len(item.frames))
                runs += _run_arguments(item)
            elif isinstance(item, Gap):
                following = b"%d" % (item.last + 1)
            else:
                epoch, begun = b"%d" % item.epoch, item.since
                following = b"" if item.next is None else b"%d" % item.next
        arguments = [
            self._lease.value, self._incarnation, self._epoch, self._next,
            epoch, following, raw, seen, lines, begun,
            f"{self._lease.value}#{next(_SERIALS)}", LEDGER_LENGTH, runs_count, *runs, len(ledger),
        ]  # fmt: skip
        for gap in ledger:
            arguments += _gap_arguments(gap)

        async def call() -> list[bytes]:
            reply: list[bytes] = await self._commit(keys=self._keys, args=arguments)
            return reply

        verdict, *entries = await self._link.patiently(call)
        if verdict in (b"lost", b"moved"):
            raise Lost
        if verdict == b"fenced":
            raise Superseded(verdict.decode())
        self._epoch, self._next, self._begun = epoch, following, begun
        if verdict == b"done before" and ledger:
            entries = await self._link.patiently(lambda: self._find_entries(ledger))
        for gap, entry in zip(ledger, entries, strict=True):
            gap.entry = entry

    async def _find_entries(self, ledger: list[Gap]) -> list[bytes]:
        """Look up the ledger's entries, when the reply that named them was lost."""
        found = await self._link.client.xrevrange(keys.gaps(self.feed), count=2 * len(ledger) + 100)
        by_range = {}
        for entry, values in reversed(found):
            gap = _read_gap(entry, values)
            by_range[gap.epoch, gap.first] = entry
        return [by_range.get((gap.epoch, gap.first), b"") for gap in ledger]

    async def recall(self, epoch: int, ids: list[int]) -> dict[int, bytes]:
        """Fetch the frames that the output holds under `ids` of `epoch`; some may be gone."""
        found: dict[int, bytes] = {}
        client = self._link.client
        for seq in sorted(ids):
            if seq in found:
                continue
            entries = await client.xrange(
                keys.ordered(self.feed), f"{epoch}-{seq}", f"{epoch}-{2**64 - 1}", count=1
            )
            for _, values in entries:
                found.update(zip(map(int, values[2::2]), values[3::2], strict=True))
        return {seq: found[seq] for seq in ids if seq in found}

    async def trim(self, raw: bytes) -> None:
        """Drop the entries of the input below `raw`, if that is the checkpoint in Redis, too."""
        await self._trim(keys=[keys.order(self.feed)], args=[raw, keys.raw(self.feed)])

    async def park(self, rejected: Iterable[tuple[str, bytes, bytes]]) -> None:
        """Keep rejected frames for inspection: (reason, line, frame) each."""
        pipeline = self._link.client.pipeline(transaction=False)
        for reason, line, frame in rejected:
            pipeline.xadd(
                keys.rejected(self.feed),
                {
                    keys.REJECTED_REASON: reason,
                    keys.REJECTED_LINE: line,
                    keys.REJECTED_SIZE: len(frame),
                    keys.REJECTED_FRAME: frame[:REJECTED_BYTES],
                },
                maxlen=REJECTED_LENGTH,
            )
        await pipeline.execute()

    async def tell(self, status: dict[str, Any]) -> None:
        """Leave a note on what is in memory, for `python -m orderer status`."""
        await self._link.client.hset(
            keys.order(self.feed), keys.ORDER_STATUS.decode(), orjson.dumps(status)
        )


def _parts(outputs: Sequence[Output]) -> Iterator[list[Output]]:
    """Cut `outputs` into commits, and runs into entries, that are not too long.

    A gap is never the last of a part but of the very last: it goes with the run that it
    makes way for.
    """
    part: list[Output] = []
    messages = size = 0
    for item in outputs:
        if not isinstance(item, Run):
            part.append(item)
            continue
        for run, run_size in _entries(item):
            part.append(run)
            messages += len(run.frames)
            size += run_size
            if messages >= COMMIT_MESSAGES or size >= COMMIT_BYTES:
                yield part
                part = []
                messages = size = 0
    if part:
        yield part


def _entries(run: Run) -> Iterator[tuple[Run, int]]:
    """Cut a run into entries, each with its size in bytes."""
    start = 0
    while start < len(run.frames):
        frames = run.frames[start : start + RUN_MESSAGES]
        size = sum(map(len, frames))
        if size > RUN_BYTES:
            sizes = list(accumulate(map(len, frames)))
            frames = frames[: max(1, bisect_right(sizes, RUN_BYTES))]
            size = sizes[len(frames) - 1]
        batches = run.batches[start : start + len(frames)]
        yield Run(run.epoch, run.first + start, frames, batches), size
        start += len(frames)


def _run_arguments(run: Run) -> list[Any]:
    """Lay out a run for the script: entry id, number of values, values."""
    last = run.first + len(run.frames) - 1
    stretches = [(batch.time, len(list(group))) for batch, group in groupby(run.batches)]
    arguments: list[Any] = [None] * (2 * len(run.frames))
    arguments[0::2] = range(run.first, last + 1)
    arguments[1::2] = run.frames
    return [
        f"{run.epoch}-{last}", len(arguments) + 2, keys.T, ordered.pack_times(stretches), *arguments
    ]  # fmt: skip


def _gap_arguments(gap: Gap) -> list[Any]:
    """Lay out a ledger entry for the script: entry replaced, number of values, values."""
    values = [
        keys.GAP_EPOCH, gap.epoch,
        keys.GAP_FIRST, gap.first,
        keys.GAP_LAST, gap.last,
        keys.GAP_OPENED, gap.since,
        keys.GAP_CLOSED, gap.closed,
        keys.GAP_CAUSE, gap.cause.value,
        keys.GAP_LATE, gap.late,
    ]  # fmt: skip
    return [gap.entry, len(values), *values]


def _read_gap(entry: bytes, values: list[bytes]) -> Gap:
    fields = dict(zip(values[0::2], values[1::2], strict=True))
    return Gap(
        epoch=int(fields[keys.GAP_EPOCH]),
        first=int(fields[keys.GAP_FIRST]),
        last=int(fields[keys.GAP_LAST]),
        opened=None,
        since=int(fields[keys.GAP_OPENED]),
        closed=int(fields[keys.GAP_CLOSED]),
        cause=Cause(fields[keys.GAP_CAUSE].decode()),
        late=int(fields[keys.GAP_LATE]),
        entry=entry,
    )


def now_us() -> int:
    """Tell the time, µs since 1970."""
    return time.time_ns() // 1000
