"""A core for tests, its output, and what would be read again after a crash."""

from __future__ import annotations

from collections.abc import Iterable

from orderer.checkpoint import Checkpoint
from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Batch, Epoch, Gap, Joined, Origin, Output, Run
from orderer.reorder.reorder import Reorder
from orderer.reorder.timeout import FixedTimeout
from relay import prints
from relay.entry import START, position

FAR = 1000

Frame = tuple[int, bytes]


def batch(number: int = 1, now: float = 0.0, *, replayed: bool = False) -> Batch:
    """Make a batch of the entry with this number."""
    return Batch(b"%d-0" % number, number, now, replayed)


def limits(first_id: int | None = None, capacity: int = FAR) -> Limits:
    """Make limits."""
    return Limits(capacity, 2**63, FAR, first_id)


def frames(run: Output) -> list[bytes]:
    """List the frames of a run."""
    assert isinstance(run, Run)
    return run.frames


class Bench:
    """Every entry is committed as soon as it has been read."""

    def __init__(self, first_id: int | None = 1, timeout: float = 1.0, max_jump: int = FAR) -> None:
        self.limits = Limits(FAR, 2**63, max_jump, first_id)
        self.timeout = timeout
        self.entries: list[tuple[float, list[Frame]]] = []
        self.output: dict[tuple[int, int], bytes] = {}
        self.gaps: list[Gap] = []
        self.epoch, self.next, self.first = 1, first_id, first_id
        self.origin: Origin | None = None
        self.seen = 0
        self._begin(START)

    def _begin(self, settled: bytes) -> None:
        known = Fingerprints(self.limits.fingerprints)
        for (epoch, seq), frame in self.output.items():
            if epoch == self.epoch:
                known.extend(seq, prints.take([frame]))
        self.core = Reorder(
            self.limits, FixedTimeout(self.timeout), epoch=self.epoch, next=self.next,
            first=self.first or 0, published=known,
            given_up=[gap for gap in self.gaps if gap.epoch == self.epoch],
        )  # fmt: skip
        self.checkpoint: Checkpoint[None] = Checkpoint(settled)

    def receive(self, ids: Iterable[int], tag: str = "", now: float = 0.0) -> None:
        """Receive frames with these ids as one entry; `tag` makes their bytes different."""
        self.receive_frames([(seq, f"{tag}{seq}".encode()) for seq in ids], now)

    def receive_frames(self, frames: list[Frame], now: float = 0.0) -> None:
        """Receive these frames as one entry."""
        self.entries.append((now, frames))
        self._read(len(self.entries))

    def crash(self) -> None:
        """Go on with a new core, from what was published with the checkpoint."""
        settled = self.checkpoint.entry
        self._begin(settled)
        for number in range(position(settled)[0] + 1, len(self.entries) + 1):
            self._read(number)

    def _read(self, number: int) -> None:
        now, frames = self.entries[number - 1]
        read = batch(number, now, replayed=number <= self.seen)
        self.checkpoint.add(read, read.entry, None)
        places, begun = list(range(len(frames))), True
        if self.origin and read.replayed:
            places = list(self.origin.places(read.entry, len(frames)))
            begun = self.origin.precedes(read.entry)
        ours = [frames[at] for at in places]
        self.core.take_in(read, [seq for seq, _ in ours], [frame for _, frame in ours], places)
        if self.origin and read.replayed and read.entry == self.origin.last.entry:
            self.core.began(now)
        if begun:
            self.core.expire(read)
        self.seen = max(self.seen, number)
        self.publish()

    def publish(self) -> None:
        """Commit what came out."""
        for item in self.core.take():
            match item:
                case Run():
                    for seq, frame in enumerate(item.frames, item.first):
                        assert (item.epoch, seq) not in self.output
                        self.output[item.epoch, seq] = frame
                case Gap():
                    self.gaps.append(item)
                case Epoch():
                    self.epoch, self.first, self.origin = item.epoch, item.next, item.origin
                case Joined():
                    self.first = item.first
        self.next = self.core.next

    def released(self, epoch: int = 1) -> list[int]:
        """List the ids that came out in this epoch."""
        return [seq for number, seq in self.output if number == epoch]

    @property
    def given_up(self) -> list[tuple[int, int]]:
        """List the gaps given up."""
        return [(gap.first, gap.last) for gap in self.gaps]
