"""What goes into the core, and what comes out of it: values."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from relay.entry import position


class Cause(StrEnum):
    """Why a gap was given up."""

    TIMEOUT = "timeout"
    CAPACITY = "capacity"
    OPERATOR = "operator"
    RESET = "reset"


class Batch:
    """Frames that were received together: one entry of the input."""

    __slots__ = ("entry", "now", "pins", "replayed", "size", "time")

    def __init__(
        self, entry: bytes, time: int, now: float, replayed: bool = False, size: int = 0
    ) -> None:
        """Describe the entry with id `entry`, received at `time` (µs) and feed time `now` (s).

        `replayed` says that a former buffer has read it, too: what that released is published,
        and its late frames are counted. `size` is that of its frames, bytes.
        """
        self.entry = entry
        self.time = time
        self.now = now
        self.replayed = replayed
        self.size = size
        self.pins = 0
        """Its frames that are held or on probation; as long as there are any, it is not settled."""


class Place(NamedTuple):
    """One frame's place in the input: its entry, and which of the entry's frames it is."""

    entry: bytes
    at: int


END = 2**31 - 1
"""In a place: after all frames of the entry."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which frames of the input belong to an epoch: those `carried` into it, and all after `last`.

    Between the frames that prove a new numbering there may be stragglers of the old one.
    """

    last: Place
    carried: frozenset[Place] = frozenset()

    def places(self, entry: bytes, frames: int) -> Sequence[int]:
        """List which of the `frames` of an entry belong to the epoch."""
        if position(entry) > position(self.last.entry):
            return range(frames)
        after = self.last.at if entry == self.last.entry else frames
        return [at for at in range(frames) if at > after or Place(entry, at) in self.carried]

    def precedes(self, entry: bytes) -> bool:
        """Tell whether the epoch had begun when `entry` had been read."""
        return position(entry) >= position(self.last.entry)


@dataclass(slots=True, eq=False)
class Run:
    """Frames of consecutive ids from `first` on, and what belongs to each: its batch, its print."""

    epoch: int
    first: int
    frames: list[bytes]
    batches: list[Batch]
    prints: array[int]
    """The frames' fingerprints."""
    ids: list[int] | None = None
    """Where the order is not dense: the frames' ids; then `first` is a place in the epoch."""

    def part(self, start: int, stop: int) -> Run:
        """Cut a part out."""
        cut = slice(start, stop)
        return Run(
            self.epoch, self.first + start, self.frames[cut], self.batches[cut], self.prints[cut],
            None if self.ids is None else self.ids[cut],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """Ids `first` … `last` that were given up."""

    epoch: int
    first: int
    last: int
    opened: float | None
    """Feed time, seconds; None when it was opened in another process's feed time."""
    revealed_at: int
    """Receive time of the frame that revealed it, µs."""
    cause: Cause
    late: int = 0
    """Frames of it that came after all."""
    linked: bool = False
    """Whether these are the ids between which it is, in a chain."""

    @property
    def missing(self) -> int:
        """How many ids are missing, at least."""
        return 1 if self.linked else self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Epoch:
    """A new numbering; `next` is None until its first id is found."""

    epoch: int
    next: int | None
    origin: Origin | None
    """None: it begins after all that was read."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The `first` id of an epoch has been found."""

    epoch: int
    first: int


Output: TypeAlias = "Run | Gap | Epoch | Joined"
"""What comes out, in order."""


@dataclass(slots=True)
class Fates:
    """What became of the frames that did not come out, over all epochs."""

    duplicates: int = 0
    late: int = 0
    outliers: int = 0
    refused: list[tuple[bytes, Batch]] = field(default_factory=list)
    """Outliers that were refused; the caller empties the list."""
    amended: dict[tuple[int, int], Gap] = field(default_factory=dict)
    """Gaps whose late frames have changed, by epoch and first id; the caller empties it."""


Rest: TypeAlias = "Iterator[tuple[int, int, bytes]]"
"""What is left of an entry: (at, id, frame)."""
