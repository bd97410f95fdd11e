"""The latest records of a room, in memory."""

from __future__ import annotations

from collections import deque

from .records import Position, Record, bounded


class History:
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

    def count_after(self, position: Position) -> int:
        """Count the shown records after `position`, which must be covered."""
        count = 0
        for record in reversed(self._records):
            if record.position <= position:
                break
            count += 1
        return count

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
