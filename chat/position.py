"""Positions in a room's log, and what keeps a replica's view of it free of holes.

A record's place is its epoch and its sequence number; within an epoch numbers are consecutive,
and a new epoch begins with a marker that has the number 0. So whoever knows the last record it
has seen can tell of any other whether it is old, the next one, or beyond a hole.
"""

from __future__ import annotations

from collections import deque
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


class Tail:
    """The latest shown records, for those who join: bounded by number and by bytes."""

    def __init__(self, records: int, size: int) -> None:
        self._limit = records
        self._size_limit = size
        self._records: deque[Record] = deque()
        self._size = 0
        self.floor = Position(0, 0)
        """Every shown record after this one is here."""

    def begin(self, floor: Position) -> None:
        """Forget everything: what is there up to `floor` is not known."""
        self._records.clear()
        self._size = 0
        self.floor = floor

    def append(self, record: Record) -> None:
        """Add the record that comes next; old ones make room."""
        if not record.shown:
            return
        self._records.append(record)
        self._size += len(record.data)
        while len(self._records) > self._limit or self._size > self._size_limit:
            gone = self._records.popleft()
            self._size -= len(gone.data)
            self.floor = gone.position

    def contradicts(self, record: Record) -> bool:
        """Tell whether another record is here in the place of this one."""
        for known in reversed(self._records):
            if known.position <= record.position:
                return known.position == record.position and known.data != record.data
        return False

    def covers(self, position: Position) -> bool:
        """Tell whether every shown record after `position` is here."""
        return position >= self.floor and position.epoch == self.floor.epoch

    def after(self, position: Position, size: int) -> tuple[list[Record], bool]:
        """List records after `position`, at most `size` bytes but at least one, and if that's all.

        `covers(position)` must hold.
        """
        missed: list[Record] = []
        for record in reversed(self._records):
            if record.position <= position:
                break
            missed.append(record)
        missed.reverse()
        chosen = bounded(missed, size)
        return chosen, len(chosen) == len(missed)

    def latest(self, count: int, size: int) -> list[Record]:
        """List the last `count` records, fewer if they take more than `size` bytes."""
        chosen: list[Record] = []
        for record in reversed(self._records):
            size -= len(record.data) + 1
            if len(chosen) == count or size < 0:
                break
            chosen.append(record)
        chosen.reverse()
        return chosen


def bounded(records: list[Record], size: int) -> list[Record]:
    """Take from the beginning as many as fit into `size` bytes, but at least one."""
    for at, record in enumerate(records):
        size -= len(record.data) + 1
        if size < 0 and at:
            return records[:at]
    return records
