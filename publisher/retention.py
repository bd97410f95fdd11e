"""How far behind a sink `ordered` may be trimmed, as marks at distances that are known. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from relay import ordered
from relay.entry import START
from relay.ordered import Entry

MARKS = 64
"""Marks that the retention is divided by; trimming is that exact."""


class Retention:
    """Know the entry behind which more messages are confirmed than are kept.

    A mark is an entry with the number of messages from the start to it, negative before the start.
    """

    def __init__(self, retain: int, confirmed: bytes) -> None:
        """Keep `retain` messages behind what is confirmed: first `confirmed`, then `advance`."""
        self._retain = retain
        self._step = max(1, retain // MARKS)
        self._total = 0
        self._marks = deque([(0, confirmed)])
        self._counted = 0

    def count_back(self, entries: Iterable[Entry]) -> bool:
        """Count entries from the first confirmed one backwards; tells whether to go on.

        It is as if this publisher had sent what is kept behind its position. Otherwise one that
        is restarted often would never trim.
        """
        for entry, values in entries:
            enough = self._counted >= self._retain
            if enough or self._counted + self._marks[0][0] >= self._step:
                self._marks.appendleft((-self._counted, entry))
            if enough:
                return False
            self._counted += ordered.count(values)
        return True

    def advance(self, confirmed: bytes, messages: int) -> None:
        """Note that `confirmed` is the last confirmed entry, which is `messages` farther on."""
        self._total += messages
        if self._total - self._marks[-1][0] >= self._step:
            self._marks.append((self._total, confirmed))
        while len(self._marks) > 1 and self._marks[1][0] <= self._total - self._retain:
            self._marks.popleft()

    @property
    def trimmable(self) -> bytes | None:
        """The entry before which nothing needs to be kept for this sink, if there is one."""
        behind, entry = self._marks[0]
        return entry if entry != START and behind <= self._total - self._retain else None
