"""A commit as calls of `commit.lua`, each of which is done wholly or not at all. Pure.

The field `begun` of `order:{feed}` holds the epoch's origin: the place of the frame that proved the
numbering, then the places of those carried over into it, each `<entry>/<at>` or, for several frames
of an entry, `<entry>/<at>,<at>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import count, groupby
from typing import Any

from chassis.redis import Command, Script
from relay import gaps, keys, ordered

from .feed import Commit, State
from .reorder.outputs import Batch, Epoch, Gap, Origin, Output, Place, Run

COMMIT_LUA = resources.files(__package__).joinpath("commit.lua").read_text()

_COMMIT = Script(COMMIT_LUA)

STEP_MESSAGES = 4000
STEP_BYTES = 1024 * 1024
"""Messages and bytes in one step, roughly; beyond, the rest goes into the next."""

ROWS = 20_000
"""Rows of the ledger whose entries are remembered, the latest ones."""

_SERIALS = count(1)
"""Numbers for commits, those of all feeds of this process, as two may share a lease."""


@dataclass(slots=True)
class Target:
    """Where a feed's commits go."""

    feed: str
    lease_key: str
    incarnation: bytes
    last: str
    """Name of the last commit; empty before the first."""
    rows: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)
    """By epoch and first id of a gap: its entry in the ledger, and when it was given up (µs)."""

    def remember(self, entry: bytes, row: gaps.Row) -> None:
        """Remember where the ledger holds a row, and when its gap was given up."""
        self.rows[row.epoch, row.first] = entry, row.closed
        if len(self.rows) > ROWS:
            del self.rows[next(iter(self.rows))]

    def closed(self, gap: Gap, now: int) -> int:
        """Tell when a gap was given up (µs): `now`, if the ledger does not have it yet."""
        return self.rows.get((gap.epoch, gap.first), (b"", now))[1]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the script, and the rows that it writes into the ledger."""

    name: str
    command: Command
    rows: list[gaps.Row]


def steps(commit: Commit, target: Target, lease: str, now: int) -> Iterator[Step]:
    """Cut a commit, made at `now` (µs), into steps, each made when the one before is written.

    Until the last, the checkpoint is the one before. What a step publishes counts as seen, lest
    it pass for a new numbering when it is read again after a crash; what begins a new numbering
    only together with that.
    """
    parts = list(_parts(commit.outputs)) or [[]]
    births = [at for at, part in enumerate(parts) if any(isinstance(o, Epoch) for o in part)]
    reached = commit.before
    for at, part in enumerate(parts[:-1]):
        before, reached = reached, _reached(reached, part)
        if not births or at >= births[-1]:
            reached = replace(reached, seen=commit.after.seen)
        yield _step(
            part, (), before, replace(reached, lines=commit.after.lines), target, lease, now
        )
    yield _step(parts[-1], commit.amended, reached, commit.after, target, lease, now)


def _parts(outputs: Sequence[Output]) -> Iterator[list[Output]]:
    """Cut `outputs` into steps, and runs into entries, that are not too long.

    A gap is never the last of a part but of the very last: it goes with the run that it
    makes way for.
    """
    part: list[Output] = []
    messages = size = 0
    for item in outputs:
        if not isinstance(item, Run):
            part.append(item)
            continue
        for start, stop, run_size in ordered.cuts(item.frames):
            whole = stop - start == len(item.frames)
            part.append(item if whole else _slice(item, start, stop))
            messages += stop - start
            size += run_size
            if messages >= STEP_MESSAGES or size >= STEP_BYTES:
                yield part
                part = []
                messages = size = 0
    if part:
        yield part


def _slice(run: Run, start: int, stop: int) -> Run:
    return Run(run.epoch, run.first + start, run.frames[start:stop], run.batches[start:stop])


def _reached(state: State, part: Sequence[Output]) -> State:
    """Tell where the output ends after one part of a commit."""
    for item in part:
        if isinstance(item, Run):
            state = replace(state, next=item.first + len(item.frames))
        elif isinstance(item, Gap):
            state = replace(state, next=item.last + 1)
        elif isinstance(item, Epoch):
            first = item.next or 0
            state = replace(
                state, epoch=item.epoch, next=item.next, first=first, origin=item.origin
            )  # fmt: skip
        else:
            state = replace(state, next=item.first, first=item.first)
    return state


def _step(
    part: Sequence[Output], amended: Sequence[Gap], before: State, after: State, target: Target,
    lease: str, now: int,
) -> Step:  # fmt: skip
    """Make the call for one step."""
    runs: list[Any] = []
    rows: list[gaps.Row] = []
    entries = 0
    for item in part:
        if isinstance(item, Run):
            entries += 1
            values = ordered.pack(item.first, item.frames, _times(item.batches))
            last = item.first + len(item.frames) - 1
            runs += (ordered.entry_id(item.epoch, last), len(values), *values)
        elif isinstance(item, Gap):
            rows.append(_row(item, now))
    rows += (_row(gap, target.closed(gap, now)) for gap in amended)
    ledger: list[Any] = []
    for row in rows:
        values = gaps.pack(row)
        replaced, _ = target.rows.get((row.epoch, row.first), (b"", 0))
        ledger += (replaced, len(values), *values)
    name = f"{lease}#{next(_SERIALS)}"
    names = (target.lease_key, keys.order(target.feed), keys.ordered(target.feed))
    arguments = [
        lease, target.incarnation, before.epoch, or_empty(before.next), target.last,
        after.epoch, or_empty(after.next), b"" if after.next is None else after.first,
        after.raw, after.seen, " ".join(after.lines), pack_origin(after.origin),
        name, gaps.LENGTH, entries, *runs, len(rows), *ledger,
    ]  # fmt: skip
    return Step(name, _COMMIT(keys=[*names, keys.gaps(target.feed)], args=arguments), rows)


def _times(batches: Sequence[Batch]) -> list[tuple[int, int]]:
    """List when the frames of a run were received: (µs, frames) stretches."""
    if batches[0] is batches[-1] and batches.count(batches[0]) == len(batches):
        return [(batches[0].time, len(batches))]
    return [(batch.time, len(list(group))) for batch, group in groupby(batches)]


def _row(gap: Gap, closed: int) -> gaps.Row:
    return gaps.Row(
        gap.epoch, gap.first, gap.last, gap.revealed_at, closed, gap.cause.value, gap.late
    )  # fmt: skip


def or_empty(number: int | None) -> bytes:
    """Write a number that may not be known yet."""
    return b"" if number is None else b"%d" % number


def pack_origin(origin: Origin | None) -> str:
    """Write down an epoch's origin; empty for none."""
    if origin is None:
        return ""
    words = [f"{origin.last.entry.decode()}/{origin.last.at}"]
    for entry, places in groupby(sorted(origin.carried), key=lambda place: place.entry):
        words.append(f"{entry.decode()}/{','.join(str(place.at) for place in places)}")
    return " ".join(words)


def unpack_origin(field: bytes) -> Origin | None:
    """Read an epoch's origin."""
    if not field:
        return None
    last, *carried = (word.split(b"/") for word in field.split(b" "))
    return Origin(
        Place(last[0], int(last[1])),
        frozenset(Place(entry, int(at)) for entry, ats in carried for at in ats.split(b",")),
    )
