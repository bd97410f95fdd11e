"""The core's own constants, and what it is told about one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIN_SEQUENTIAL = 5
"""Frames that must agree before a jump or a restart is believed (RFC 3550, A.1)."""

MIN_SEQUENTIAL_RECONNECTED = 2
"""Repeats that must agree right after a reconnect, before any ordinary frame has come."""

MIN_SEQUENTIAL_SILENT = 2
"""Consecutive ids that are believed when nothing else comes (RFC 3550, A.1: `bad_seq`)."""

SILENCE = 5.0
"""Seconds of feed time after which nothing else is expected to come with a frame on probation."""

PROBATION = 1000
"""Frames after which a frame on probation is settled."""

PROBATION_SECONDS = 600.0
"""Seconds of feed time after which it is settled although so many have not come."""

MAX_REPEATS = 256
"""Repeats on probation at a time; beyond, the oldest is settled."""

MAX_OUTLIERS = 16
"""Outliers on probation at a time; beyond, the oldest is refused. `MIN_SEQUENTIAL` must fit in, and
some wrong ids between them."""

JOIN_SECONDS = 1.0
"""Seconds of feed time in which the first id is looked for."""

JOIN_RUN = 100
"""Ids in a row from the lowest on that end the search early."""

JOIN_SLACK = 1000
"""Ids below the first one that count as stragglers of the moment in which we joined."""

REMEMBERED_GAPS = 10_000
"""Given-up gaps whose late frames are recognised, at least; the latest ones."""

FINGERPRINTS = 100_000
"""Frames that came out and are recognised when they come again, at least; see `Limits`."""


FINGERPRINTS_OF_KEY = 500
GAPS_OF_KEY = 20
"""The same two where a feed has many sequences, a key each: all of them must fit into memory."""


RECENT = 1000
"""Messages that came out and are recognised where ids do not tell a repeat; of a key,
`FINGERPRINTS_OF_KEY`."""


class Order(StrEnum):
    """What it is that one message follows another."""

    DENSE = "dense"
    """Its id is greater by one."""
    RANGES = "ranges"
    """It covers the next id."""
    CHAIN = "chain"
    """It names the other."""
    SPARSE = "sparse"
    """Its id is greater."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one sequence."""

    capacity: int
    """Frames held or on probation at which those on probation are settled, then the oldest gap is
    given up."""
    capacity_bytes: int
    """The same in bytes."""
    max_jump: int
    """Ids; what lies farther above everything seen is an outlier (RFC 3550: MAX_DROPOUT)."""
    first_id: int | None = None
    """First id of every numbering; None: it is looked for."""
    of_key: bool = False
    """Whether it is one of many in its feed, each of which remembers less."""
    order: Order = Order.DENSE
    step: int = 1
    """By how much ids grow, where they are ranges without a beginning."""
    restarts: bool = True
    """Whether lower ids may be a new numbering."""
    by_connection: bool = False
    """Whether each connection begins a new numbering."""

    @property
    def fingerprints(self) -> int:
        """Frames that came out and are remembered: as far back as a jump may be, at least."""
        return FINGERPRINTS_OF_KEY if self.of_key else max(FINGERPRINTS, self.max_jump)

    @property
    def recent(self) -> int:
        """Messages that came out and are recognised, where ids do not tell a repeat."""
        return FINGERPRINTS_OF_KEY if self.of_key else RECENT

    @property
    def remembered_gaps(self) -> int:
        """Given-up gaps whose late frames are recognised, at least."""
        return GAPS_OF_KEY if self.of_key else REMEMBERED_GAPS
