"""How far behind all sinks of a lane `ordered` may be trimmed, as marks that are known. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from relay import ordered
from relay.entry import START, position
from relay.ordered import Entry

MARKS = 64
"""Marks that what is kept is divided by; trimming is that exact."""

COARSEST = 256 * 1024
"""Bytes between two marks at most, that little can be kept when memory runs short."""


class Mark(NamedTuple):
    """An entry, and how much there is from the start to it; negative before the start."""

    messages: int
    size: int
    entry: bytes
    at: tuple[int, int]
    """The entry's position."""


class Retention:
    """Know the entry behind which all sinks have confirmed more than is kept."""

    def __init__(self, retain: int, confirmed: bytes) -> None:
        """Keep `retain` messages behind what all have confirmed, which is `confirmed` at first."""
        self._retain = retain
        self._step = max(1, retain // MARKS)
        self._marks = deque([Mark(0, 0, confirmed, position(confirmed))])
        self._counted = self._marks[0]

    @property
    def size(self) -> int:
        """Bytes that have been counted since the start."""
        return self._marks[-1].size

    def count_back(self, entries: Iterable[Entry], kept: float) -> bool:
        """Count entries from the first confirmed one backwards; tells whether to go on.

        No farther than `kept` bytes reach.

        It is as if this publisher had sent what is kept behind its position. Otherwise one that
        is restarted often would never trim.
        """
        for entry, values in entries:
            messages, size, *_ = self._counted
            enough = -messages >= self._retain or -size >= kept
            mark = Mark(messages, size, entry, position(entry))
            if enough or self._apart(self._marks[0], mark):
                self._marks.appendleft(mark)
            if enough:
                return False
            self._counted = mark._replace(
                messages=messages - ordered.count(values), size=size - sum(map(len, values))
            )
        return True

    def note(self, entries: Iterable[Entry]) -> None:
        """Count entries that were read on from the start; those that came before change nothing."""
        marks = self._marks
        messages, size, _, last = marks[-1]
        for entry, values in entries:
            at = position(entry)
            if at <= last:
                continue
            messages += ordered.count(values)
            size += sum(map(len, values))
            mark, last = Mark(messages, size, entry, at), at
            if len(marks) > 1 and not self._apart(mark, marks[-2]):
                marks.pop()  # the last one stands for the end only
            marks.append(mark)

    def trimmable(self, slowest: bytes, kept: float) -> bytes | None:
        """Name the entry before which nothing needs to be kept, if there is one.

        All sinks have confirmed what comes up to `slowest`. No more than `kept` bytes are kept
        behind it, whatever the number of messages.
        """
        upto, marks = position(slowest), self._marks
        end = max((mark for mark in marks if mark.at <= upto), default=None)
        if end is None:
            return None
        enough = [
            mark
            for mark in marks
            if mark.messages <= end.messages - self._retain or mark.size <= end.size - kept
        ]
        while len(marks) > 1 and len(enough) > 1:
            marks.popleft()
            enough.pop(0)
        found = enough[-1].entry if enough else START
        return found if found != START else None

    def _apart(self, later: Mark, earlier: Mark) -> bool:
        """Tell whether two are so far from each other that both are worth a mark."""
        return (
            later.messages - earlier.messages >= self._step or later.size - earlier.size >= COARSEST
        )
