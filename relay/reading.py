"""How much of a stream to read at a time."""

from __future__ import annotations


class ReadSize:
    """How many stream entries to ask for at a time: as many as are digested well.

    An entry holds one message or thousands, small ones or large; what came last time tells
    how many fit. The number starts low and doubles at most, and it never exceeds `MOST`, so that
    even a sudden change from small entries to the largest stays within memory.
    """

    MOST = 64
    BYTES = 2 * 1024 * 1024

    def __init__(self, messages: int) -> None:
        """Aim at `messages` messages and `BYTES` bytes at a time, whichever is less."""
        self.entries = 4
        self._messages = messages

    def learn(self, entries: list[tuple[bytes, list[bytes]]]) -> None:
        """Learn from the entries that came, each with its field-value list."""
        messages = size = 1
        for _, values in entries:
            messages += len(values) // 2
            size += sum(map(len, values))
        count = len(entries)
        fit = min(self._messages * count // messages, self.BYTES * count // size)
        self.entries = max(1, min(fit, 2 * self.entries, self.MOST))
