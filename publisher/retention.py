"""How far behind a sink `ordered` may be trimmed, as marks at distances that are known. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from relay import ordered
from relay.entry import START
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


class Retention:
    """Know the entry behind which more is confirmed than is kept."""

    def __init__(self, retain: int, confirmed: bytes) -> None:
        """Keep `retain` messages behind what is confirmed: first `confirmed`, then `advance`."""
        self._retain = retain
        self._step = max(1, retain // MARKS)
        self._end = Mark(0, 0, confirmed)
        self._marks = deque([self._end])
        self._counted = Mark(0, 0, confirmed)

    def count_back(self, entries: Iterable[Entry], kept: float) -> bool:
        """Count entries from the first confirmed one backwards; tells whether to go on.

        No farther than `kept` bytes reach.

        It is as if this publisher had sent what is kept behind its position. Otherwise one that
        is restarted often would never trim.
        """
        for entry, values in entries:
            messages, size, _ = self._counted
            enough = -messages >= self._retain or -size >= kept
            if enough or self._apart(self._marks[0], self._counted):
                self._marks.appendleft(Mark(messages, size, entry))
            if enough:
                return False
            self._counted = Mark(
                messages - ordered.count(values), size - sum(map(len, values)), entry
            )
        return True

    def advance(self, confirmed: bytes, messages: int, size: int) -> None:
        """Note that `confirmed` is the last confirmed entry, so many messages and bytes on."""
        self._end = Mark(self._end.messages + messages, self._end.size + size, confirmed)
        if self._apart(self._end, self._marks[-1]):
            self._marks.append(self._end)
        self._forget(self._end.messages - self._retain)

    def trimmable(self, kept: float) -> bytes | None:
        """Name the entry before which nothing needs to be kept for this sink, if there is one.

        No more than `kept` bytes are, whatever the number of messages.
        """
        found = None
        for mark in self._marks:
            if (
                mark.messages > self._end.messages - self._retain
                and mark.size > self._end.size - kept
            ):
                break
            found = mark.entry
        return found if found != START else None

    def _apart(self, later: Mark, earlier: Mark) -> bool:
        """Tell whether two are so far from each other that both are worth a mark."""
        return (
            later.messages - earlier.messages >= self._step or later.size - earlier.size >= COARSEST
        )

    def _forget(self, before: int) -> None:
        """Forget the marks that no longer matter."""
        while len(self._marks) > 1 and self._marks[1].messages <= before:
            self._marks.popleft()
