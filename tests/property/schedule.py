"""What surrounds the core in life, for the tests: an input, an output, and crashes.

`Life` drives a `Reorder` and the plain model side by side through anything that may happen, with
an output, a ledger and a checkpoint that survive a crash, and checks what must hold at each step.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from orderer.checkpoint import Checkpoint
from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Batch, Epoch, Gap, Joined, Origin, Output, Run
from orderer.reorder.reorder import Reorder
from orderer.reorder.timeout import FixedTimeout
from relay import prints
from relay.entry import position
from tests.property.plain import Closed, Out, Plain, Waiting
from tests.property.rules import Rules

Frame = tuple[int, bytes]

Event = Literal["", "disconnected", "reconnected", "another line"]


@dataclass
class Entry:
    """An entry of the input: frames received together, after an `event` or none."""

    number: int
    now: float
    """Feed time since the beginning of the world."""
    frames: list[Frame]
    event: Event = ""

    @property
    def name(self) -> bytes:
        return b"%d-0" % self.number


@dataclass
class Published:
    """What is kept outside of the core and survives a crash; a commit changes it all at once."""

    epoch: int = 1
    next: int | None = None
    first: int | None = None
    """The first id of the epoch, once it was found."""
    origin: Origin | None = None
    checkpoint: int = 0
    seen: int = 0
    gaps: dict[int, Gap] = field(default_factory=dict)
    """The epoch's ledger, by the gaps' first ids."""
    frames: dict[tuple[int, int], bytes] = field(default_factory=dict)
    sources: Counter[tuple[bytes, int, bytes]] = field(default_factory=Counter)
    """How often a frame came out of an entry."""
    trimmed: int = 0
    """Ids of this epoch below are no longer in the output."""

    def add(self, item: Output) -> None:
        """Append to the output, as the script that compares and appends would."""
        if isinstance(item, Epoch):
            assert item.epoch == self.epoch + 1
            self.epoch, self.next, self.first = item.epoch, item.next, item.next
            self.origin = item.origin
            self.gaps, self.trimmed = {}, 0
            return
        assert item.epoch == self.epoch
        if isinstance(item, Joined):
            assert self.next is None
            self.next = self.first = item.first
            return
        assert item.first == self.next, f"{item} does not follow {self.next}"
        if isinstance(item, Gap):
            assert item.last >= item.first
            self.gaps[item.first] = item
            self.next = item.last + 1
            return
        assert item.frames
        for seq, (frame, batch) in enumerate(
            zip(item.frames, item.batches, strict=True), item.first
        ):
            assert (self.epoch, seq) not in self.frames
            self.frames[self.epoch, seq] = frame
            self.sources[batch.entry, seq, frame] += 1
        self.next += len(item.frames)

    @property
    def kept(self) -> dict[int, bytes]:
        """The frames of this epoch that the output still holds."""
        return {
            seq: frame
            for (epoch, seq), frame in self.frames.items()
            if epoch == self.epoch and seq >= self.trimmed
        }


def flat(outputs: Iterable[Output]) -> list[Out]:
    """Lay out what came out of a core frame by frame, as the model does."""
    out: list[Out] = []
    for item in outputs:
        if isinstance(item, Run):
            out += [
                ("frame", item.epoch, item.first + at, frame, batch.entry)
                for at, (frame, batch) in enumerate(zip(item.frames, item.batches, strict=True))
            ]
        elif isinstance(item, Gap):
            out.append(
                ("gap", item.epoch, item.first, item.last, item.cause.value, item.opened,
                 item.revealed_at)
            )  # fmt: skip
        elif isinstance(item, Joined):
            out.append(("joined", item.epoch, item.first))
        else:
            origin = item.origin and (item.origin.last, item.origin.carried)
            out.append(("epoch", item.epoch, item.next, origin))
    return out


class Life:
    """A core and a model of it, fed with the same entries, through all their lives."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.published = Published(next=rules.first_id, first=rules.first_id)
        self.input: list[Entry] = []
        self.now = 0.0
        self.reach: Counter[str] = Counter()
        self._begin_life()

    def _begin_life(self) -> None:
        """Make the core and its model from what has been published, and nothing else."""
        kept, rules = self.published, self.rules
        limits = Limits(rules.capacity, rules.capacity_bytes, rules.max_jump, rules.first_id)
        fingerprints = Fingerprints(limits.fingerprints)
        for seq, frame in sorted(kept.kept.items()):
            fingerprints.extend(seq, prints.take([frame]))
        # Feed time is another one in each life.
        gaps = [replace(kept.gaps[first], opened=None) for first in sorted(kept.gaps)]
        self.real = Reorder(
            limits, FixedTimeout(rules.seconds), epoch=kept.epoch, next=kept.next,
            first=kept.first or 0, given_up=gaps, published=fingerprints,
        )  # fmt: skip
        self.checkpoint: Checkpoint[None] = Checkpoint(b"%d-0" % kept.checkpoint)
        self.model = Plain(
            rules, kept.epoch, kept.next, kept.first or 0,
            [Closed(gap.first, gap.last, None, gap.late) for gap in gaps], kept.kept,
        )  # fmt: skip
        self.batches: list[tuple[Batch, Batch]] = []
        self.read = kept.checkpoint
        """Number of the last entry that was read in this life."""
        unread = self.input[self.read :]
        self.born = unread[0].now if unread else self.now
        self.accepted = self.released = 0

    # What may happen

    def receive(self, frames: list[Frame], later: float, event: Event = "") -> None:
        """Receive an entry, `later` seconds after the last, and read all there is."""
        self.now += later
        self.input.append(Entry(len(self.input) + 1, self.now, frames, event))
        self.read_on()

    def publish(self) -> None:
        """Commit what came out, with the checkpoint."""
        published, fates = self.published, self.real.fates
        outputs = self.real.take()
        assert flat(outputs) == self.model.out
        self.model.out = []
        for item in outputs:
            published.add(item)
            self.released += len(item.frames) if isinstance(item, Run) else 0
        for (epoch, first), gap in fates.amended.items():
            if epoch == published.epoch:
                published.gaps[first] = gap
        fates.amended.clear()
        published.checkpoint = position(self.checkpoint.entry)[0]
        published.seen = max(published.seen, self.read)
        assert (self.real.epoch, self.real.next) == (published.epoch, published.next)
        self._check_sources()

    def crash(self, again: int | None = None) -> None:
        """Lose the core; a new one reads again from the checkpoint on, `again` entries at first."""
        before, born, all_seen = self.model, self.born, self._all_seen
        self.reach["crashes"] += 1
        self.reach["outliers refused before a crash"] += before.fates["outliers"]
        self.reach["crashes that read again what was forgotten"] += self._has_forgotten
        self._begin_life()
        self.read_on(again)
        if again is None and all_seen:
            self._compare(before, self.born - born)

    def skip(self) -> None:
        """Give up a hole, for an operator."""
        self.real.skip(self._feed_time)
        self.model.skip(self._feed_time)

    def reset(self) -> None:
        """Begin a new numbering, for an operator; nothing may be left of the old one."""
        self.read_on()
        self.real.reset(self._feed_time)
        self.model.reset(self._feed_time)
        self.publish()
        assert self.real.held == 0
        assert self.published.checkpoint == len(self.input)

    def read_on(self, entries: int | None = None) -> None:
        """Read what has not been read in this life, or so many entries of it."""
        end = None if entries is None else self.read + entries
        for entry in self.input[self.read : end]:
            self._read(entry)

    @property
    def _feed_time(self) -> float:
        return (self.input[self.read - 1].now if self.read else self.born) - self.born

    @property
    def _all_seen(self) -> bool:
        """Whether all that was received has been committed."""
        return self.published.seen == len(self.input) == self.read and not self.model.out

    @property
    def _has_forgotten(self) -> bool:
        """Whether a frame to be read again came out, and is no longer in the output."""
        kept, unsettled = self.published, self.input[self.published.checkpoint :]
        return any(
            seq < kept.trimmed and kept.sources[entry.name, seq, frame]
            for entry in unsettled
            for seq, frame in entry.frames
        )

    def _read(self, entry: Entry) -> None:
        now, seen = entry.now - self.born, entry.number <= self.published.seen
        batch, plain = (Batch(entry.name, entry.number, now, seen) for _ in range(2))
        self.batches.append((batch, plain))
        self.checkpoint.add(batch, batch.entry, None)
        places, begins, begun = self._belongs(entry)
        self.reach["origins that left frames out"] += len(places) < len(entry.frames)
        if begun and not begins:
            self._line_changes(entry.event, now)
        ours = [(at, *entry.frames[at]) for at in places]
        ids, frames = [seq for _, seq, _ in ours], [frame for *_, frame in ours]
        all_of_it = len(places) == len(entry.frames)
        self.real.take_in(batch, ids, frames, None if all_of_it else places)
        self.model.take_in(plain, ours)
        self.accepted += len(ours)
        if begins:
            self.real.began(now)
            self.model.began(now)
        if begins or begun:
            self.real.expire(batch)
            self.model.expire(plain)
        self.read = entry.number

    def _belongs(self, entry: Entry) -> tuple[list[int], bool, bool]:
        """Tell which frames belong to the epoch, if it begins with the entry, or before."""
        origin = self.published.origin
        if origin is None or self.real.epoch != self.published.epoch:
            return list(range(len(entry.frames))), False, True
        places = list(origin.places(entry.name, len(entry.frames)))
        begins = entry.name == origin.last.entry and entry.number <= self.published.seen
        return places, begins, origin.precedes(entry.name)

    def _line_changes(self, event: Event, now: float) -> None:
        if event == "disconnected":
            self.real.disconnected(now)
            self.model.disconnected(now)
        elif event:
            self.real.reconnected(now, alone=event == "reconnected")
            self.model.reconnected(now, event == "reconnected")

    # What must hold

    def check(self) -> None:
        """Compare the core with the model, and count."""
        real, model = self.real, self.model
        assert (real.epoch, real.next) == (model.epoch, model.next)
        assert real.next not in model.held
        assert real.held == len(model.pinned)
        assert real.deadline == model.deadline
        assert [tuple(gap) for gap in real.gaps] == model.gaps
        assert real.full == (
            self.rules.seconds == math.inf and model.next is not None and model.crowded
        )
        fates = real.fates
        counts = {"duplicates": fates.duplicates, "late": fates.late, "outliers": fates.outliers}
        assert counts == model.fates
        assert len(fates.refused) == fates.outliers
        in_time = sum(lateness <= self.rules.seconds for lateness in model.lateness)
        assert (real.timeout.in_time, real.timeout.too_late) == (
            in_time,
            len(model.lateness) - in_time,
        )
        # Each frame has exactly one fate.
        out = sum(item[0] == "frame" for item in model.out)
        assert self.accepted == self.released + out + real.held + sum(counts.values())
        for ours, plain in self.batches:
            assert ours.pins == model.pinned.count(plain)
        self._check_amended()
        self._check_gaps()
        self._check_checkpoint()
        reading_again = self.read <= self.published.seen
        assert self.rules.seconds == math.inf or reading_again or not model.crowded

    def _check_amended(self) -> None:
        """The gaps whose late frames have changed, and only those, are handed out as they are."""
        known = {gap.first: gap.late for gap in self.model.given_up}
        for (epoch, first), gap in self.real.fates.amended.items():
            assert gap.late > 0
            assert epoch < self.model.epoch or gap.late == known[first]

    def _check_sources(self) -> None:
        """No frame of the input comes out twice, whatever the epoch."""
        if not self.reach["crashes that read again what was forgotten"]:
            for (entry, seq, frame), times in self.published.sources.items():
                assert times <= self.input[position(entry)[0] - 1].frames.count((seq, frame))

    def _check_gaps(self) -> None:
        """Every missing id below the highest held lies in exactly one open gap."""
        gaps, held = self.real.gaps, self.model.held
        if self.real.next is None or not held:
            assert not gaps
            return
        assert gaps[0].first == self.real.next
        for below, above in pairwise(gaps):
            assert below.last < above.first
        ids = sum(gap.last - gap.first + 1 for gap in gaps)
        inside = sum(gap.first <= seq <= gap.last for seq in held for gap in gaps)
        assert ids - inside == max(held) + 1 - self.real.next - len(held)

    def _check_checkpoint(self) -> None:
        """All up to the checkpoint is settled; the entry after it is not, or there is none."""
        before, (checkpoint, _) = self.published.checkpoint, position(self.checkpoint.entry)
        assert checkpoint >= before
        pinned = [position(batch.entry)[0] for batch in self.model.pinned]
        assert checkpoint == min(pinned, default=self.read + 1) - 1

    def _compare(self, before: Plain, passed: float) -> None:
        """What was committed has been decided: read again, it brings nothing out, loses nothing."""
        now = self.model
        assert now.epoch == before.epoch
        if now.fates["outliers"] or self.reach["outliers refused before a crash"]:
            # One that was refused may be near by now; it is then held, or comes out.
            return
        self.reach["crashes after which all was compared"] += 1
        assert not now.out
        assert now.next == before.next
        # Without those that bore it out, an outlier may be on probation again.
        if not before.outliers and not now.outliers:
            assert _frames(now.held) == _frames(before.held)
        if not before.outliers and now.believed_at + passed >= before.believed_at:
            # A frame may be taken for the one below the hole, which then waits longer. Outliers
            # may be believed sooner: one that the feed had caught up with only after they came is
            # a repeat now, and no longer stands between them.
            assert now.deadline + passed >= before.deadline


def _frames(held: dict[int, Waiting]) -> dict[int, bytes]:
    return {seq: waiting.frame for seq, waiting in held.items()}
