"""What goes into the reordering buffer, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Cause(StrEnum):
    """Why a gap was given up."""

    TIMEOUT = "timeout"
    CAPACITY = "capacity"
    OPERATOR = "operator"
    RESET = "reset"


class Batch:
    """Frames that were received together: one entry of the input stream."""

    __slots__ = ("entry", "now", "pins", "replayed", "time")

    def __init__(self, entry: bytes, time: int, now: float, replayed: bool = False) -> None:
        """Describe the entry with id `entry`, received at `time` (µs) and feed time `now` (s).

        `replayed` says that a former buffer has read it, too: what that released is published,
        and its late frames are counted.
        """
        self.entry = entry
        self.time = time
        self.now = now
        self.replayed = replayed
        self.pins = 0


@dataclass(slots=True, eq=False)
class Gap:
    """Ids `first` … `last` that were given up."""

    epoch: int
    first: int
    last: int
    opened: float | None
    """Feed time, seconds; None when it was opened in another process's feed time."""
    since: int
    """Receive time of the frame that revealed it, µs."""
    cause: Cause
    closed: int = 0
    """When it was given up, µs."""
    late: int = 0
    """Frames of it that came after all."""
    entry: bytes = b""
    """Its entry in the ledger; empty before it has one."""


@dataclass(slots=True, eq=False)
class Run:
    """Frames of consecutive ids from `first` on, and the batch that each came in."""

    epoch: int
    first: int
    frames: list[bytes] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Epoch:
    """A new numbering; `next` is None until its first id is found."""

    epoch: int
    next: int | None
    since: bytes = b""
    """Where in the input it begins (see `checkpoint.beginning`); empty: after all that was read."""


@dataclass(slots=True, eq=False)
class Joined:
    """The first id of an epoch, `next`, has been found."""

    epoch: int
    next: int
    since: bytes
    """Where the epoch begins, with that id (see `checkpoint.joined`)."""


Output = Run | Gap | Epoch | Joined
"""What comes out of the buffer, in order."""
