"""How much of a stream to read at a time, and several streams at once."""

from __future__ import annotations

from collections.abc import Mapping

from chassis.redis import Entry, Link


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


def counts(sizes: Mapping[str, ReadSize]) -> dict[str, int]:
    """Tell how many entries to ask of each stream when they are read together.

    All may turn from small entries to the largest at once; then, too, one reply must fit into
    memory, however many streams there are.
    """
    share = max(1, ReadSize.MOST // max(1, len(sizes)))
    return {stream: min(size.entries, share) for stream, size in sizes.items()}


GATHER_EACH = 0.00015
GATHER_MOST = 0.003
"""Seconds to let things gather for each stream in which something comes, and at most.

With one, each entry goes on at once. With many, a turn for each entry would cost most of a core.
"""


def gather(streams: int) -> float:
    """Tell how many seconds to wait before the next turn, when so many streams had something."""
    return min(GATHER_MOST, GATHER_EACH * streams) if streams > 1 else 0.0


async def read(
    link: Link, cursors: Mapping[str, bytes], sizes: Mapping[str, ReadSize], *, block: bool = True
) -> dict[str, list[Entry]]:
    """Read the next entries of streams behind their cursors, as many as `counts` says.

    With `block`, wait a moment for some. The sizes learn. Raises what the link raises.
    """
    entries = counts({stream: sizes[stream] for stream in cursors})
    least = min(entries.values())
    found = await link.read(cursors, count=least, block=block)
    # One count holds for all streams of a read; of whom more fits, more is asked for.
    more = {
        stream: entries[stream] - least
        for stream, came in found.items()
        if len(came) == least < entries[stream]
    }
    replies = await link.send_all(
        [
            ("XRANGE", stream, b"(" + found[stream][-1][0], "+", "COUNT", count)
            for stream, count in more.items()
        ]
    )
    for stream, reply in zip(more, replies, strict=True):
        if not isinstance(reply, Exception):
            found[stream] += reply
    for stream, came in found.items():
        sizes[stream].learn(came)
    return found
