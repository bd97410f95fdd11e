"""Entries of `ordered`: runs of messages with consecutive ids. Pure.

An entry's id is `<epoch>-<last id>`. Its fields are `t`, the receive times, and then, for each
message, its id with its bytes.

Messages that were received together share a time. `t` holds the earliest time in µs since 1970
(UTC); when the messages have different times, it goes on with `<µs later>*<messages>` for each
stretch, in id order: `1763757820123456 812*3 0*1` says that three messages were received 812 µs
after the fourth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

from . import keys

RUN_MESSAGES = 1000
"""Messages in one entry; Lua passes on a few thousand values at most."""

RUN_BYTES = 256 * 1024
"""Bytes of the messages in one entry, or one message."""

Entry: TypeAlias = "tuple[bytes, list[bytes]]"
"""An entry as Redis replies it: its id and its field-value list."""


def entry_id(epoch: int, last: int) -> str:
    """Make the id of the entry that ends with the id `last`."""
    return f"{epoch}-{last}"


def pack(first: int, messages: Sequence[bytes], times: Sequence[tuple[int, int]]) -> list[Any]:
    """Lay out messages of consecutive ids: field, value, …; `times` as for `pack_times`."""
    values: list[Any] = [None] * (2 * len(messages))
    values[0::2] = range(first, first + len(messages))
    values[1::2] = messages
    return [keys.T, pack_times(times), *values]


def cuts(messages: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """Cut messages into entries that are not too long: (start, stop, bytes) of each."""
    start = 0
    while start < len(messages):
        sizes = list(accumulate(map(len, messages[start : start + RUN_MESSAGES])))
        count = len(sizes) if sizes[-1] <= RUN_BYTES else max(1, bisect_right(sizes, RUN_BYTES))
        yield start, start + count, sizes[count - 1]
        start += count


def pack_times(stretches: Sequence[tuple[int, int]]) -> bytes:
    """Pack `(time in µs, messages)` stretches, in id order."""
    earliest = min(time for time, _ in stretches)
    if len(stretches) == 1:
        return b"%d" % earliest
    rest = " ".join(f"{time - earliest}*{messages}" for time, messages in stretches)
    return f"{earliest} {rest}".encode()


def times(values: list[bytes]) -> list[tuple[int, int]]:
    """Tell when an entry's messages were received: `(time in µs, messages)` stretches."""
    earliest, *rest = values[1].split(b" ")
    start = int(earliest)
    if not rest:
        return [(start, count(values))]
    stretches = []
    for stretch in rest:
        later, messages = stretch.split(b"*")
        stretches.append((start + int(later), int(messages)))
    return stretches


def received_at(values: list[bytes]) -> int:
    """Tell when the first of an entry's messages was received, µs."""
    return int(values[1].partition(b" ")[0])


def count(values: list[bytes]) -> int:
    """Count an entry's messages."""
    return len(values) // 2 - 1


def first_id(values: list[bytes]) -> int:
    """Tell the first id of an entry."""
    return int(values[2])


def messages(values: list[bytes]) -> list[bytes]:
    """List an entry's messages, in the order of their ids."""
    return values[3::2]
