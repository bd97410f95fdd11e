"""One feed's state: its part of the input in, what comes of it out. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias

from relay import keys, raw
from relay.frames.reader import IGNORED, Message, Reader
from relay.messages import AT_ID, Reject, sequence_numbers

from .clock import FeedClock
from .lines import Lines
from .reorder.gaps import Open
from .reorder.limits import Limits, Order
from .reorder.outputs import Batch, Output, Run
from .reorder.timeout import FixedTimeout, LearnedTimeout
from .sequence import Move, Sequence, State
from .sequences import Sequences
from .shapes import Shapes

PARK_AT_ONCE = 100
"""Rejected frames kept for inspection of any one commit; all are counted."""

SHOWN_GAPS = 20
"""Open gaps that the status names."""

MOST_KEYS = 20_000
"""Keys of a feed, of each of which 4 KB are remembered at rest; a further one is rejected."""

LOOK_EVERY = 0.02
"""Seconds of feed time between looks at what may be due in keys for which nothing comes."""

NOTHING = b""
"""Stands for a message that takes its place in the order and is not sent on."""

Numbers: TypeAlias = "tuple[list[int], list[tuple[int, str]]]"
"""The ids of frames; of those that have none, their places and why."""

Outputs: TypeAlias = "List[Output]"


@dataclass(frozen=True, slots=True)
class Options:
    """What a feed is told."""

    limits: Limits
    id_field: str
    """Where the id is."""
    gap_timeout: float | None
    """Seconds; inf: wait for ever; None: learn it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The same as an operator would write it, by the settings' names; see `Settings.spelled`."""
    reader: Reader | None = None
    """Reads the frames of a feed that a file of feeds describes."""
    words: str = ""
    """What that says of its order, to be left in Redis; see `relay.feedfile.left`."""


@dataclass(slots=True)
class Rejects:
    """Frames that were not accepted since the last commit."""

    kept: list[Reject] = field(default_factory=list)
    """The first of them, for inspection."""
    reasons: dict[str, int] = field(default_factory=dict)
    """How many there were of each kind."""


class Feed:
    """One feed of a lane: `take` its part of an entry, then `moves`."""

    def __init__(
        self, name: str, states: Mapping[str, State], lines: Iterable[str], options: Options,
        epoch: int,
    ) -> None:  # fmt: skip
        """Resume from the `states` of its sequences, by their keys; new ones begin with `epoch`.

        `lines` were connected then.
        """
        self.name = name
        self.words = options.words
        """What a file of feeds says of its order; empty if none names it."""
        self.clock = FeedClock()
        self.lines = Lines(lines)
        self.timeout = (
            LearnedTimeout() if options.gap_timeout is None else FixedTimeout(options.gap_timeout)
        )
        self.rejects = Rejects()
        """Emptied by whoever takes them."""
        self.rejected: Counter[str] = Counter()
        """Frames that were not accepted since the feed was taken up, by reason."""
        self.shapes = Shapes()
        """The same, with examples."""
        self.ignored: Counter[str] = Counter()
        """Frames that are no messages since the feed was taken up, by the pattern that says so."""
        self.latest: Batch | None = None
        """Of the last entry that had a part of it."""
        self.committed = sum(state.serial for state in states.values())
        """How many messages came out, up to the last moves."""
        self._options = options
        self._epoch = epoch
        self._chained = options.limits.order is Order.CHAIN
        """Whether what begins a new numbering names none before it."""
        self._reader = options.reader
        self._numbers: Callable[[list[bytes]], Numbers] = (
            partial(sequence_numbers, field=options.id_field)
            if options.reader is None
            else options.reader.numbers
        )
        self.sequences = Sequences(name, options.limits, self.timeout)
        for key, state in states.items():
            self.sequences.resume(key, state)
        self._stirred: dict[str, Sequence] = {}
        """Sequences in which something happened since the last moves."""
        self.holding: dict[str, Sequence] = {}
        """Sequences that hold messages back, who began first before the others."""
        self.held = 0
        """Messages held back or on probation."""
        self._looked = 0.0
        self._dated = {key: one for key, one in self.sequences.awake.items() if one.origin}
        """Sequences of whose epoch older messages may be read again."""

    def decide(self, one: Sequence, *, reset: bool) -> bool:
        """Do what an operator wants: skip a gap, or `reset`; tells whether there was anything."""
        now, done = self.clock.now, True
        if reset:
            one.reorder.reset(now)
        else:
            done = one.reorder.skip(now)
        self._note(one)
        return done

    def sequence(self, key: str) -> Sequence:
        """Get a sequence to do something with it; it may be new."""
        found = self.sequences.get(key)
        if found is None:
            found = self.sequences.begin(key, State(epoch=self._epoch, written=False))
        self._stirred[key] = found
        return found

    # Entries in -----------------------------------------------------------------------------

    def batch(self, part: raw.Entry, replayed: bool, size: int) -> Batch:
        """Begin with its part of an entry."""
        now = self.clock.entry(part.connection, part.listened)
        self.latest = Batch(part.id, part.time, now, replayed, size)
        return self.latest

    def take(self, part: raw.Entry, batch: Batch) -> bool:
        """Take in its part of an entry; tells whether any of its epochs had begun by then."""
        if part.event or part.frames:
            # An entry says what happened to its line before what its frames say.
            self._hear(part, batch)
        touched: List[Sequence] = ()
        if part.frames:
            touched = self._receive(part, batch)
        begun = False
        for one in self._concerned(touched, batch):
            begun |= one.finish(part.id, batch)
            self._note(one)
        while self.crowded and self.relieve():
            pass
        return begun

    def _concerned(self, touched: List[Sequence], batch: Batch) -> Iterable[Sequence]:
        """List for whom an entry is to be finished: time goes by for who waits, too."""
        others = self.holding
        if others and len(self.sequences) > 1:
            if batch.now - self._looked < LOOK_EVERY:
                others = {}
            else:
                self._looked = batch.now
        if batch.replayed:
            others = others | self._dated
        if not others:
            return touched
        return ({one.key: one for one in touched} | others).values()

    def _note(self, one: Sequence) -> None:
        """Note how a sequence is after something was done with it."""
        self._stirred[one.key] = one
        held = one.held_now
        if held != one.held:
            self.held += held - one.held
            one.held = held
            if held:
                self.holding[one.key] = one
            else:
                del self.holding[one.key]
                # One from which all was removed is as large as it was.
                self.holding = self.holding or {}
        if one.fates.refused:
            self._refuse(one)

    def elapse(self, seconds: float, entry: bytes) -> None:
        """Let time go by behind an entry, the last that was read, though nobody listens.

        For a feed that nobody will listen to any more; what it waits for cannot come. The state
        that comes of it is committed, as what an operator decides is.
        """
        now = self.clock.elapse(seconds)
        if self.latest is None:
            return
        batch = Batch(entry, self.latest.time, now)
        for one in list(self.holding.values()):
            one.finish(entry, batch)
            self._note(one)

    @property
    def crowded(self) -> bool:
        """Whether all keys together hold more messages than may be held."""
        return self.held > self._options.limits.capacity and len(self.sequences) > 1

    def relieve(self) -> bool:
        """Settle something, for want of room; tells whether there was anything."""
        batch = self.latest
        found = None
        if batch is not None:
            found = next((one for one in self.holding.values() if one.reorder.relieve(batch)), None)
        if found is not None:
            self._note(found)
        return found is not None

    def _hear(self, entry: raw.Entry, batch: Batch) -> None:
        """Follow the lines."""
        try:
            line = entry.line.decode()
        except UnicodeDecodeError:
            if entry.event:  # not from an ingestor
                self._reject("json", raw.UNNAMED, entry.line + b" " + entry.event, batch)
            return
        if entry.connection == raw.UNNAMED:
            return
        self.lines.heard(line, entry.connection, entry.event)
        if entry.event == keys.CONNECTED:
            alone = self.lines.alone(line)
            self.sequences.reconnected()
            for one in self.sequences.listed(every=self._options.limits.by_connection):
                one.connected(entry.id, batch, alone=alone)
                self._note(one)
        elif entry.event == keys.DISCONNECTED and not self.lines.names:
            for one in self.sequences.listed():
                one.disconnected(entry.id, batch)
                self._note(one)

    def _receive(self, part: raw.Entry, batch: Batch) -> List[Sequence]:
        """Take in frames; tells in which sequences there was something."""
        if self._reader is not None and not self._reader.simple:
            return self._read(part, batch, self._reader)
        one = self.sequence("")
        frames, places = part.frames, one.places(part.id, len(part.frames))
        if places is not None:
            frames = [frames[at] for at in places]
        ids, bad = self._numbers(frames)
        if bad:
            for at, reason in bad:
                where = self._options.id_field if reason in AT_ID else ""
                self._reject(reason, part.line, frames[at], batch, where)
            without = {at for at, _ in bad}
            good = [at for at in range(len(frames)) if at not in without]
            frames = [frames[at] for at in good]
            places = good if places is None else [places[at] for at in good]
        numbers: list[Any] = ids
        if self._options.limits.order is not Order.DENSE:
            numbers = [(id, None) for id in ids]
        one.reorder.take_in(batch, numbers, frames, places)
        return (one,)

    def _read(self, part: raw.Entry, batch: Batch, reader: Reader) -> List[Sequence]:
        """Take in the messages that are in frames, each in its sequence; count what is none."""
        items = reader.read_all(part.frames)
        sequences, found = dict[str, Sequence](), dict[str, list[int]]()
        restarts: dict[str, list[int]] = {}
        for at, item in enumerate(items):
            if isinstance(item, Message):
                if item.key not in found:
                    if item.key not in self.sequences and len(self.sequences) >= MOST_KEYS:
                        self._reject("key", part.line, item.data, batch)
                        continue
                    found[item.key] = []
                    sequences[item.key] = self.sequence(item.key)
                found[item.key].append(at)
                if item.restart and not self._chained:
                    restarts.setdefault(item.key, []).append(at)
                continue
            if item.restart:  # of all keys, behind it
                for key in self.sequences:
                    restarts.setdefault(key, []).append(at + 1)
            if item.reason == IGNORED:
                self.ignored[item.where] += 1
            else:
                self._reject(item.reason, part.line, item.data, batch, item.where)
        for key in restarts:
            sequences[key] = self.sequence(key)
        for key, one in sequences.items():
            places = found.get(key, [])
            belong = one.places(part.id, len(items))
            if belong is not None:
                places = sorted(set(places).intersection(belong))
            messages = [item for at in places if isinstance(item := items[at], Message)]
            one.take_in(
                batch,
                [message.id for message in messages]
                if self._options.limits.order is Order.DENSE
                else [(one.id, None if one.restart else one.link) for one in messages],
                [NOTHING if message.drop else message.data for message in messages],
                places,
                restarts.get(key, ()),
            )
        return list(sequences.values())

    def _reject(
        self, reason: str, line: bytes, frame: bytes, batch: Batch, where: str = ""
    ) -> None:  # fmt: skip
        rejects = self.rejects
        rejects.reasons[reason] = rejects.reasons.get(reason, 0) + 1
        self.rejected[reason] += 1
        self.shapes.note(reason, where, frame)
        if not batch.replayed and len(rejects.kept) < PARK_AT_ONCE:
            rejects.kept.append(Reject(reason, line, frame))

    def _refuse(self, one: Sequence) -> None:
        """Reject the outliers that nobody has confirmed."""
        refused = one.fates.refused
        for frame, batch in refused:
            self._reject("stray", b"", frame, batch)
        refused.clear()

    # What comes out ------------------------------------------------------------------------

    def moves(self, settled: bytes, *, checkpoint: bool) -> Iterator[Move]:
        """Sum up what came out since the last call; the input is settled up to `settled`.

        With `checkpoint`, that an origin is settled is worth a move, too; and what is at rest is
        laid down.
        """
        stirred, self._stirred = self._stirred, {}
        if checkpoint and self._dated:
            stirred = self._dated | stirred
        for key, one in stirred.items():
            outputs: Outputs = one.take()
            if self._reader is not None and self._reader.drops:
                outputs = list(_sent(outputs))
            move = one.move(outputs, settled)
            if one.origin is not None:
                self._dated[key] = one
            elif self._dated:
                self._dated.pop(key, None)
            if move is not None:
                self.committed += move.after.serial - move.before.serial
                yield move
        if checkpoint:
            self.sequences.lay_down(replaying=self.latest is None or self.latest.replayed)

    # Looking in -----------------------------------------------------------------------------

    @property
    def dated(self) -> bool:
        """Whether older messages of an epoch may be read again, until that is settled."""
        return bool(self._dated)

    @property
    def full(self) -> bool:
        """Whether reading should pause until an operator decides."""
        return self.timeout.never and (
            self.crowded or any(one.reorder.full for one in self.holding.values())
        )

    @property
    def doubtful(self) -> int:
        """Messages on probation."""
        return sum(one.reorder.doubtful for one in self.holding.values())

    @property
    def duplicates(self) -> int:
        """Messages that came again."""
        awake = self.sequences.awake.values()
        return self.sequences.duplicates + sum(one.fates.duplicates for one in awake)

    @property
    def late(self) -> int:
        """Messages that came when they had been given up."""
        awake = self.sequences.awake.values()
        return self.sequences.late + sum(one.fates.late for one in awake)

    @property
    def next(self) -> int | None:
        """The next id; None while it is looked for, or if each key has one."""
        one = self.sequences.get("")
        return one.reorder.next if one is not None else None

    @property
    def gaps(self) -> list[tuple[str, Open]]:
        """Open gaps, each with its key, oldest first."""
        found = [(key, gap) for key, one in self.holding.items() for gap in one.reorder.gaps]
        return sorted(found, key=lambda keyed: keyed[1].opened) if len(self.holding) > 1 else found

    def status(self) -> dict[str, Any]:
        """Tell what is in memory, for `python -m orderer status`."""
        timeout, now = self.timeout, self.clock.now
        gaps = self.gaps
        since = min((one.reorder.doubtful_since for one in self.holding.values()), default=math.inf)
        return {
            "held": self.held,
            "doubtful": self.doubtful,
            "doubtful_for": round(max(0.0, now - since), 3),
            "duplicates": self.duplicates,
            "late": self.late,
            "rejected": self.rejected,
            "shapes": self.shapes.told(),
            "shapes_rest": self.shapes.rest,
            "ignored": self.ignored.total(),
            "keys": len(self.sequences) - ("" in self.sequences),
            "timeout": None if timeout.seconds == math.inf else timeout.seconds,
            "caught": timeout.caught,
            "gaps": [
                {
                    **({"key": key} if key else {}),
                    "first": gap.first, "last": gap.last, "age": round(now - gap.opened, 3),
                }
                for key, gap in gaps[:SHOWN_GAPS]
            ],
            "open_gaps": len(gaps),
            "settings": self._options.settings,
            "file": bool(self.words),
        }  # fmt: skip


def _sent(outputs: Outputs) -> Iterator[Output]:
    """Leave out the messages that took their place and are not sent on."""
    for item in outputs:
        if not isinstance(item, Run) or NOTHING not in item.frames:
            yield item
            continue
        at = 0
        for dropped, group in groupby(item.frames, key=NOTHING.__eq__):
            stop = at + len(list(group))
            if not dropped:
                yield item.part(at, stop)
            at = stop
