"""Records and their places in a room's log, which keep a replica's view of it free of holes.

A record's place is its epoch and its sequence number; within an epoch numbers are consecutive,
and a new epoch begins with a marker that has the number 0. So whoever knows the last record it
has seen can tell of any other whether it is old, the next one, or beyond a hole.
"""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A record's place in the log. Positions compare as their records were written."""

    epoch: int
    seq: int

    @classmethod
    def parse(cls, entry: bytes) -> Position:
        """Read an entry id, `<epoch>-<seq>`."""
        epoch, _, seq = entry.partition(b"-")
        return cls(int(epoch), int(seq))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


class Record(NamedTuple):
    """A record as it stands in the log; a `shown` one goes to clients, others are for the log."""

    position: Position
    shown: bool
    data: bytes


def follows(position: Position, record: Position) -> bool:
    """Tell whether `record` is the very next one after `position`, in the same epoch."""
    return record == (position.epoch, position.seq + 1)


def consecutive(position: Position, records: list[Record]) -> bool:
    """Tell whether `records` follow on `position`, and each on the one before."""
    for record in records:
        if not follows(position, record.position):
            return False
        position = record.position
    return True


def bounded(records: list[Record], size: int) -> list[Record]:
    """Take from the beginning as many as fit into `size` bytes, but at least one."""
    for at, record in enumerate(records):
        size -= len(record.data) + 1
        if size < 0 and at:
            return records[:at]
    return records
