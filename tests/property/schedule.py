"""What surrounds the reordering buffer in life, for the tests: a feed, its input, its output.

`Relay` drives a `Reorder` and the plain model side by side through anything that may happen, with
an output and a checkpoint that survive a crash, and checks after each step what must hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from orderer.checkpoint import joined
from orderer.lateness import FixedTimeout
from orderer.reorder import Reorder
from orderer.runs import Batch, Cause, Epoch, Gap, Joined, Output, Run
from tests.property.plain import Out, Plain

Frame = tuple[int, bytes]

Event = Literal["", "disconnected", "reconnected", "another line"]


@dataclass
class Entry:
    """An entry of the input: frames received together, after an `event` or none."""

    number: int
    now: float
    frames: list[Frame]
    event: Event = ""

    @property
    def name(self) -> bytes:
        return b"%d-0" % self.number


@dataclass
class Published:
    """What is kept outside of the buffer, and survives a crash: the output, the checkpoint."""

    epoch: int = 1
    next: int | None = None
    checkpoint: int = 0
    seen: int = 0
    begun: int = 0
    """The entry that was being read when the epoch began."""
    first: int | None = None
    """The first id of the epoch, once it was found."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    frames: dict[tuple[int, int], bytes] = field(default_factory=dict)
    trimmed: int = 0
    """Ids of this epoch below are no longer in the output."""

    def add(self, item: Out, reading: int) -> None:
        """Append to the output, as the script that compares and appends would."""
        if item[0] == "epoch":
            _, epoch, self.next = item  # type: ignore[assignment]
            assert epoch == self.epoch + 1
            self.epoch += 1
            self.gaps, self.trimmed, self.begun, self.first = [], 0, reading, None
            return
        if item[0] == "joined":
            assert item[1] == self.epoch
            assert self.next is None
            self.next = self.first = item[2]  # type: ignore[assignment]
            return
        _, epoch, first, last = item[:4]
        assert isinstance(first, int)
        assert epoch == self.epoch
        assert self.next is None or first == self.next, f"{item} does not follow {self.next}"
        if item[0] == "gap":
            assert isinstance(last, int)
            assert last >= first
            self.gaps.append((first, last))
            self.next = last + 1
        else:
            assert isinstance(last, bytes)
            assert (self.epoch, first) not in self.frames
            self.frames[self.epoch, first] = last
            self.next = first + 1

    def recall(self, ids: list[int]) -> dict[int, bytes]:
        """Tell what the output holds under `ids`."""
        return {
            seq: self.frames[self.epoch, seq]
            for seq in ids
            if seq >= self.trimmed and (self.epoch, seq) in self.frames
        }


def flat(outputs: Iterable[Output]) -> list[Out]:
    """Lay out what came out of a buffer frame by frame, as the model does."""
    out: list[Out] = []
    for item in outputs:
        if isinstance(item, Run):
            assert len(item.frames) == len(item.batches) > 0
            out += [
                ("frame", item.epoch, item.first + at, frame, batch.entry)
                for at, (frame, batch) in enumerate(zip(item.frames, item.batches, strict=True))
            ]
        elif isinstance(item, Gap):
            cause = item.cause.value
            out.append(("gap", item.epoch, item.first, item.last, cause, item.since))
        elif isinstance(item, Joined):
            out.append(("joined", item.epoch, item.next))
        else:
            assert isinstance(item, Epoch)
            out.append(("epoch", item.epoch, item.next))
    return out


class Relay:
    """A buffer of the class `kind` and a model of it, fed with the same entries."""

    def __init__(
        self, kind: type[Reorder], seconds: float | None, capacity: int, far: int,
        first_id: int | None,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.seconds, self.capacity, self.far, self.first_id = seconds, capacity, far, first_id
        self.published = Published(next=first_id)
        self.input: list[Entry] = []
        self.now = 0.0
        self.unseen = False
        self._set_up()

    def _set_up(self) -> None:
        """Make the buffer and its model from what has been published, and nothing else."""
        kept = self.published
        resumed = kept.epoch > 1 or kept.next != self.first_id
        self.real = self.kind(
            timeout=FixedTimeout(self.seconds),
            capacity=self.capacity,
            far=self.far,
            first_id=self.first_id,
            epoch=kept.epoch,
            next=kept.next if resumed else None,
            settled=b"%d-0" % kept.checkpoint,
            begun=b"" if kept.first is None else joined(b"", kept.first),
            given_up=[_ledger(kept.epoch, *gap) for gap in kept.gaps] if resumed else None,
        )
        self.model = Plain(
            self.seconds, self.capacity, self.far, self.first_id, kept.epoch,
            kept.next if resumed else None, kept.gaps if resumed else None, kept.first or 0,
        )  # fmt: skip
        self.batches: dict[bytes, tuple[Batch, Batch]] = {}
        self.accepted = 0
        self.released = 0
        self.highest_checkpoint = kept.checkpoint
        self.reading = kept.checkpoint

    # What may happen

    def receive(self, frames: list[Frame], later: float, event: Event = "") -> None:
        """Take in a new entry, `later` seconds after the last."""
        self.now += later
        self.input.append(Entry(len(self.input) + 1, self.now, frames, event))
        self._read(self.input[-1])

    def wait(self, seconds: float) -> None:
        """Let time go by in silence."""
        self.now += seconds
        self.real.settle(self.now)
        self.model.settle(self.now)

    def publish(self) -> None:
        """Append what came out to the output, and save the checkpoint with it."""
        out = flat(self.real.take())
        assert out == self.model.out
        self.model.out = []
        for item in out:
            self.published.add(item, self.reading)
            self.released += item[0] == "frame"
        assert (self.real.epoch, self.real.next) == (self.published.epoch, self.published.next)
        checkpoint = int(self.real.checkpoint.partition(b"-")[0])
        self.published.checkpoint = checkpoint
        self.published.seen = max(self.published.seen, self.reading)
        self.unseen = False

    @property
    def may_crash(self) -> bool:
        """Whether no entry that a new buffer would read is from an earlier epoch."""
        return self.published.begun <= self.published.checkpoint

    def crash(self) -> None:
        """Lose the buffer; a new one reads again from the checkpoint on, its clock from 0 on."""
        plain = self._is_plain()
        held, deadline = set(self.model.held), self.real.deadline
        again = self.input[self.published.checkpoint :]
        passed = again[0].now if again else self.now
        self.now -= passed
        for entry in self.input:
            entry.now -= passed
        self._set_up()
        for entry in again:
            self._read(entry)
        # Without those that confirmed it, what was believed may be on probation again, or refused.
        if plain and not self.model.strays and not self.real.strays:
            assert set(self.model.held) == held
            if deadline is not None:
                # A repeat may be taken for the frame below the hole, which then waits longer.
                assert self.real.deadline is not None
                assert self.real.deadline > deadline - passed - 1e-6

    def _is_plain(self) -> bool:
        """Tell whether nothing is unpublished, doubtful or contradictory now."""
        frames = {frame for entry in self.input for frame in entry.frames}
        one_frame_each = len({seq for seq, _ in frames}) == len(frames)
        doubts = self.model.out or self.model.echoes or self.model.strays or self.real.strays
        return self.first_id is not None and one_frame_each and not doubts and not self.unseen

    def skip(self) -> None:
        """Give up a hole, for an operator."""
        self.real.skip()
        self.model.skip()

    def reset(self) -> None:
        """Begin a new numbering, for an operator; nothing may be left of the old one."""
        self.real.reset()
        self.model.reset()
        self.publish()
        assert self.real.held == 0
        assert self.published.checkpoint == len(self.input)

    def _read(self, entry: Entry) -> None:
        replayed = entry.number <= self.published.seen
        real, model = (Batch(entry.name, entry.number, entry.now, replayed) for _ in range(2))
        self.batches[entry.name] = real, model
        self.real.begin(real)
        if entry.event == "disconnected":
            self.real.disconnected()
            self.model.disconnected()
        elif entry.event:
            alone = entry.event == "reconnected"
            self.real.reconnected(alone=alone)
            self.model.reconnected(alone)
        for seq, frame in entry.frames:
            self.accepted += 1
            ask = self.real.accept(seq, frame, real)
            assert ask == self.model.accept(seq, frame, model)
            if ask:
                self.publish()
                self.unseen = True  # what was published just now, should there be a crash
                ids = self.real.echoes
                assert sorted(ids) == sorted(self.model.echoes)
                known = self.published.recall(ids)
                assert self.real.judge(known) == self.model.judge(known)
        self.reading = entry.number
        self.real.settle(entry.now)
        self.model.settle(entry.now)

    # What must hold

    def check(self) -> None:
        """Compare the buffer with the model, and count."""
        real, model = self.real, self.model
        assert (real.epoch, real.next) == (model.epoch, model.next)
        assert real.next not in model.held
        assert real.held == len(model.pinned)
        assert real.deadline == model.deadline
        assert real.gaps == model.gaps
        assert real.full == (self.seconds is None and len(model.held) > self.capacity)
        fates = {"duplicate": real.duplicates, "late": real.late, "stray": real.strays}
        assert fates == model.fates
        assert len(real.refused) == real.strays
        # Each frame has exactly one fate.
        out = sum(item[0] == "frame" for item in model.out)
        assert self.accepted == self.released + out + real.held + sum(fates.values())
        for ours, models in self.batches.values():
            assert ours.pins == model.pinned.count(models)
        self._check_gaps()
        self._check_checkpoint()
        assert self.seconds is None or len(model.held) <= self.capacity or model.next is None

    def _check_gaps(self) -> None:
        """Every missing id below the highest held lies in exactly one open gap."""
        gaps, held = self.real.gaps, self.model.held
        if self.real.next is None or not held:
            assert not gaps
            return
        assert gaps[0][0] == self.real.next
        for (_, last, *_), (first, *_) in pairwise(gaps):
            assert last < first
        ids = sum(last - first + 1 for first, last, *_ in gaps)
        inside = sum(first <= seq <= last for seq in held for first, last, *_ in gaps)
        assert ids - inside == max(held) + 1 - self.real.next - len(held)

    def _check_checkpoint(self) -> None:
        """All up to the checkpoint is settled; the entry after it is not, or there is none."""
        checkpoint = int(self.real.checkpoint.partition(b"-")[0])
        assert checkpoint >= self.highest_checkpoint
        self.highest_checkpoint = checkpoint
        pinned = [int(batch.entry.partition(b"-")[0]) for batch in self.model.pinned]
        assert checkpoint == min(pinned, default=self.reading + 1) - 1


def _ledger(epoch: int, first: int, last: int) -> Gap:
    return Gap(epoch, first, last, None, 0, Cause.TIMEOUT)
