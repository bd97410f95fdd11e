"""A commit as calls of `commit.lua`, each of which is done wholly or not at all. Pure.

The field `begun` of `order:{lane}` holds the epoch's origin: the place of the frame that proved the
numbering, then the places of those carried over into it, each `<entry>/<at>` or, for several frames
of an entry, `<entry>/<at>,<at>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import count, groupby
from typing import Any, NamedTuple, TypeAlias

from chassis.redis import Command, Script
from relay import gaps, keys, ordered, prints, standing

from .lane import Commit, Mark
from .reorder.outputs import Batch, Epoch, Gap, Origin, Output, Place, Run
from .sequence import Move, State

COMMIT_LUA = resources.files(__package__).joinpath("commit.lua").read_text()

_COMMIT = Script(COMMIT_LUA)

STEP_MESSAGES = 4000
STEP_BYTES = 1024 * 1024
STEP_SEQUENCES = 500
"""Messages, bytes and sequences in one step, roughly; beyond, the rest goes into the next."""

ROWS = 20_000
"""Rows of the ledger whose entries are remembered, the latest ones."""

_SERIALS = count(1)
"""Numbers for commits, those of all feeds of this process, as two may share a lease."""


class Rows:
    """Where the ledger of a feed holds the rows that were written last."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int, int], tuple[bytes, int]] = {}
        """By key, epoch and first id of a gap: its entry, and when it was given up (µs)."""

    def remember(self, entry: bytes, row: gaps.Row) -> None:
        """Remember where the ledger holds a row, and when its gap was given up."""
        self._rows[row.key, row.epoch, row.first] = entry, row.closed
        if len(self._rows) > ROWS:
            del self._rows[next(iter(self._rows))]

    def closed(self, key: str, gap: Gap, now: int) -> int:
        """Tell when a gap was given up (µs): `now`, if the ledger does not have it yet."""
        return self._rows.get((key, gap.epoch, gap.first), (b"", now))[1]

    def entry(self, row: gaps.Row) -> bytes:
        """Name the entry that a row replaces; empty: none."""
        return self._rows.get((row.key, row.epoch, row.first), (b"", 0))[0]


@dataclass(slots=True)
class Target:
    """Where a lane's commits go."""

    lane: str
    lease_key: str
    incarnation: bytes
    last: str
    """Name of the last commit; empty before the first."""
    prints: int
    """How many fingerprints to keep of what came out, about."""
    raw: str = field(init=False)
    keys: tuple[str, str, str] = field(init=False)
    """The input; and what else the script needs of the lane."""
    rows: dict[str, Rows] = field(default_factory=dict)
    """What is known of each feed's ledger."""
    feeds: dict[str, Names] = field(default_factory=dict)
    """What is called after each feed."""
    serials: dict[str, int] = field(default_factory=dict)
    """How many messages came out of each feed, as it was written last."""

    def __post_init__(self) -> None:
        """Make the names that every commit needs."""
        lane = self.lane
        self.raw, self.keys = (
            keys.raw(lane),
            (keys.order(lane), keys.next(lane), keys.ordered(lane)),
        )

    def known(self, feed: str) -> Rows:
        """Get what is known of a feed's ledger."""
        rows = self.rows.get(feed)
        if rows is None:
            rows = self.rows[feed] = Rows()
        return rows

    def names(self, feed: str) -> Names:
        """Get what is called after a feed."""
        names = self.feeds.get(feed)
        if names is None:
            names = self.feeds[feed] = Names.of(self.lane, feed)
        return names


class Names(NamedTuple):
    """What is called after a feed, made once; what is after a key of it is made when it is used."""

    lane: str
    feed: str
    serial: bytes
    """In `order`."""
    keys: tuple[str, str]
    """Its ledger and its fingerprints."""

    @classmethod
    def of(cls, lane: str, feed: str) -> Names:
        """Make them."""
        serial = keys.of(lane, feed, keys.ORDER_SERIAL)
        return cls(lane, feed, serial, (keys.gaps(lane, feed), keys.prints(lane, feed)))

    def named(self, key: str) -> str:
        """Name a sequence in `next`."""
        return f"{self.feed}:{key}" if key else self.feed

    def field(self, field: bytes, key: str) -> bytes:
        """Name a sequence's field in `order`."""
        return keys.of(self.lane, self.feed, field, key)


class Step(NamedTuple):
    """One call of the script, and the rows that it writes into ledgers, each with its feed."""

    name: str
    command: Command
    serials: dict[str, int]
    """How many messages have come out of their feeds."""
    rows: list[tuple[str, gaps.Row]]


class Change(NamedTuple):
    """What one step has of one sequence."""

    names: Names
    key: str
    outputs: Sequence[Output]
    amended: Sequence[Gap]
    before: State
    after: State


Part: TypeAlias = "dict[int, list[Output]]"
"""What sequences put out in one step, by which of the commit's moves it is."""


def steps(commit: Commit, target: Target, lease: str, now: int) -> Iterator[Step]:
    """Cut a commit, made at `now` (µs), into steps, each made when the one before is written.

    Until the last, the checkpoint is the one before. What a step publishes counts as seen, lest
    it pass for a new numbering when it is read again after a crash; what begins a new numbering
    only together with that.
    """
    moves = commit.moves
    called = [target.names(move.feed) for move in moves]
    reached = [move.before for move in moves]
    parts = list(_parts(moves)) or [{}]
    births = [
        at for at, part in enumerate(parts)
        if any(isinstance(item, Epoch) for outputs in part.values() for item in outputs)
    ]  # fmt: skip
    mark = commit.before
    for at, part in enumerate(parts[:-1]):
        changes = []
        for which, outputs in part.items():
            after = _reached(reached[which], outputs)
            changes.append(
                Change(called[which], moves[which].key, outputs, (), reached[which], after)
            )
            reached[which] = after
        came = sum(change.after.serial - change.before.serial for change in changes)
        before, told = mark, commit.after
        mark = mark._replace(serial=mark.serial + came, lines=told.lines, words=told.words)
        if not births or at >= births[-1]:
            mark = mark._replace(seen=commit.after.seen)
        yield _step(changes, before, mark, target, lease, now)
    # What depends on the checkpoint comes with it.
    last = parts[-1]
    changes = [
        Change(
            called[which], move.key, last.get(which, ()), move.amended, reached[which], move.after
        )
        for which, move in enumerate(moves)
        if which in last
        or move.amended
        or (reached[which].origin, reached[which].next) != (move.after.origin, move.after.next)
    ]  # fmt: skip
    yield _step(changes, mark, commit.after, target, lease, now)


def _parts(moves: Sequence[Move]) -> Iterator[Part]:
    """Cut what sequences put out into steps, and runs into entries, that are not too long.

    A gap is never the last of a sequence's in a step but of the very last: it goes with the run
    that it makes way for.
    """
    part: Part = {}
    messages = size = 0
    for which, move in enumerate(moves):
        if len(part) >= STEP_SEQUENCES:
            yield part
            part, messages, size = {}, 0, 0
        if not move.outputs:
            part[which] = []
        for item in move.outputs:
            if not isinstance(item, Run):
                part.setdefault(which, []).append(item)
                continue
            for start, stop, run_size in ordered.cuts(item.frames):
                whole = stop - start == len(item.frames)
                part.setdefault(which, []).append(item if whole else item.part(start, stop))
                messages += stop - start
                size += run_size
                if messages >= STEP_MESSAGES or size >= STEP_BYTES:
                    yield part
                    part, messages, size = {}, 0, 0
    if part:
        yield part


def _reached(state: State, part: Sequence[Output]) -> State:
    """Tell where a sequence's output ends after one part of a commit."""
    state = state._replace(written=True)
    for item in part:
        if isinstance(item, Run):
            count = len(item.frames)
            state = state._replace(next=item.first + count, serial=state.serial + count)
            if item.ids is not None:
                state = state._replace(last=item.ids[-1])
        elif isinstance(item, Gap):
            counted = state.last is not None
            state = (
                state._replace(last=item.last) if counted else state._replace(next=item.last + 1)
            )
        elif isinstance(item, Epoch):
            state = state._replace(
                epoch=item.epoch,
                next=item.next,
                first=item.next or 0,
                origin=item.origin,
                last=None,
            )
        else:
            state = state._replace(next=item.first, first=item.first)
    return state


def _step(
    changes: Sequence[Change], before: Mark, after: Mark, target: Target, lease: str, now: int
) -> Step:
    """Make the call for one step."""
    lane, generation, serial = target.lane, after.generation, before.serial
    oldest = ordered.entry_id(after.floor, max(0, after.serial - target.prints))
    feeds: dict[str, int] = {}
    named = [target.lease_key, *target.keys]
    saved = _saved_of_lane(lane, before, after)
    moved: list[Any] = []
    serials: dict[str, int] = {}
    runs: list[Any] = []
    ledger: list[Any] = []
    rows: list[tuple[str, gaps.Row]] = []
    entries = 0
    for names, key, outputs, amended, stood, stands in changes:
        at = feeds.setdefault(names.feed, len(feeds))
        if at == (len(named) - 4) // 2:
            named += names.keys
        moved += (names.named(key), _stand(stood) if stood.written else b"", _stand(stands))
        saved += _saved(names, key, stood, stands)
        own = serials.get(names.feed)
        if own is None:
            own = target.serials.get(names.feed, 0)
        fresh: list[gaps.Row] = []
        for item in outputs:
            if isinstance(item, Run):
                count = len(item.frames)
                entries += 1
                serial += count
                own += count
                kept = prints.pack(key, item.epoch, item.first + count - 1, item.prints)
                values = ordered.pack(
                    keys.within(lane, names.feed, key)[1:],
                    item.first,
                    item.frames,
                    _times(item.batches),
                    item.epoch,
                    own,
                )
                entry = ordered.entry_id(generation, serial)
                own_id = ordered.entry_id(after.floor, serial)
                runs += (at, entry, oldest, own_id, len(kept), *kept, len(values), *values)
            elif isinstance(item, Gap):
                fresh.append(_row(key, item, now))
        serials[names.feed] = own
        if fresh or amended:
            known = target.known(names.feed)
            fresh += (_row(key, gap, known.closed(key, gap, now)) for gap in amended)
            for row in fresh:
                values = gaps.pack(row)
                ledger += (at, known.entry(row), len(values), *values)
                rows.append((names.feed, row))
    for feed in feeds:
        if feed != lane and serials[feed] != target.serials.get(feed):
            saved += (target.names(feed).serial, serials[feed])
    name = f"{lease}#{next(_SERIALS)}"
    arguments = [
        lease, target.incarnation, target.last, name, target.raw, after.raw, gaps.LENGTH,
        len(changes), *moved, len(saved), *saved, entries, *runs, len(rows), *ledger,
    ]  # fmt: skip
    return Step(name, _COMMIT(keys=named, args=arguments), serials, rows)


def _saved_of_lane(lane: str, before: Mark, after: Mark) -> list[Any]:
    """List what changes of the lane's fields in `order`: field, value, …."""
    saved: list[Any] = [
        keys.ORDER_SEEN, after.seen, keys.ORDER_SERIAL, after.serial,
        keys.ORDER_GENERATION, after.generation,
    ]  # fmt: skip
    if after.waiting != before.waiting:
        saved += (keys.ORDER_WAITING, " ".join(after.waiting))
    if after.lines is not before.lines:
        for feed, names in after.lines.items():
            if names != before.lines.get(feed, ()):
                saved += (keys.of(lane, feed, keys.ORDER_LINES), " ".join(names))
    if after.words is not before.words:
        for feed, text in after.words.items():
            if text != before.words.get(feed):
                saved += (keys.of(lane, feed, keys.ORDER_WORDS), text)
    return saved


def _stand(state: State) -> bytes:
    return standing.pack(state.epoch, state.next, state.serial, state.last)


def _saved(names: Names, key: str, before: State, after: State) -> list[Any]:
    """List what changes of a sequence's fields in `order`: field, value, …."""
    saved: list[Any] = []
    if not before.written or _first(after) != _first(before):
        saved += (names.field(keys.ORDER_FIRST, key), _first(after))
    if not before.written or after.origin != before.origin:
        saved += (names.field(keys.ORDER_BEGUN, key), pack_origin(after.origin))
    return saved


def _first(state: State) -> int | bytes:
    return b"" if state.next is None else state.first


def _times(batches: Sequence[Batch]) -> list[tuple[int, int]]:
    """List when the frames of a run were received: (µs, frames) stretches."""
    if batches[0] is batches[-1] and batches.count(batches[0]) == len(batches):
        return [(batches[0].time, len(batches))]
    return [(batch.time, len(list(group))) for batch, group in groupby(batches)]


def _row(key: str, gap: Gap, closed: int) -> gaps.Row:
    return gaps.Row(
        gap.epoch, gap.first, gap.last, gap.revealed_at, closed, gap.cause.value, gap.late, key
    )  # fmt: skip


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
