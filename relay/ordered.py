"""Entries of `ordered`: runs of messages with consecutive ids, of one sequence each. Pure.

An entry's id is `<generation>-<serial>`: the serial counts the lane's messages, up to the last of
the entry; a generation is an orderer's turn at the lane, named by when it began. So an id never
names anything else, also when Redis went back and comes to the same serial again. Its fields are
`t`, the receive times; `seq`, which is `<epoch>:<serial>` (the epoch is the sequence's; the serial
counts the messages of its feed, up to the last of the entry, over all epochs); and then, for each
message, its id with its bytes. Before the id stands the key if each key has an order of its own,
and before that the feed if the lane carries several, each with a colon behind it. Earlier versions
wrote no `seq`, and the id `<epoch>-<last id>`.

Messages that were received together share a time. `t` holds the earliest time in µs since 1970
(UTC); when the messages have different times, it goes on with `<µs later>*<messages>` for each
stretch, in id order: `1763757820123456 812*3 0*1` says that three messages were received 812 µs
after the fourth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from . import keys
from .entry import position

RUN_MESSAGES = 1000
"""Messages in one entry; Lua passes on a few thousand values at most."""

RUN_BYTES = 256 * 1024
"""Bytes of the messages in one entry, or one message."""

Entry: TypeAlias = "tuple[bytes, list[bytes]]"
"""An entry as Redis replies it: its id and its field-value list."""

_FORMER_HEAD, _HEAD = 2, 4
"""Fields and values before the messages."""


class Span(NamedTuple):
    """What an entry holds of its sequence."""

    epoch: int
    first: int
    last: int
    serial: int | None
    """That of the last message in its feed; None: an earlier version did not count."""
    key: bytes = b""
    feed: bytes = b""
    """Empty in a lane of its own."""


def entry_id(generation: int, serial: int) -> str:
    """Make the id of the entry that ends with the lane's message number `serial`."""
    return f"{generation}-{serial}"


def pack(
    of: str, first: int, messages: Sequence[bytes], times: Sequence[tuple[int, int]], epoch: int,
    serial: int,
) -> list[Any]:  # fmt: skip
    """Lay out messages of consecutive ids: field, value, …; `times` as for `pack_times`.

    `of` tells the sequence from others of its lane (see `keys.within`); `serial` is that of the
    last message in its feed.
    """
    values: list[Any] = [None] * (2 * len(messages))
    ids = range(first, first + len(messages))
    values[0::2] = [f"{of}:{seq}" for seq in ids] if of else ids
    values[1::2] = messages
    return [keys.T, pack_times(times), keys.SEQ, b"%d:%d" % (epoch, serial), *values]


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
    return (len(values) - _head(values)) // 2


def first_id(values: list[bytes]) -> int:
    """Tell the first id of an entry."""
    return int(values[_head(values)].rpartition(b":")[2])


def feed(values: list[bytes]) -> bytes:
    """Tell whose messages these are, in a lane that carries several feeds."""
    return values[_head(values)].partition(b":")[0]


def span(entry: bytes, values: list[bytes], *, shared: bool = False) -> Span:
    """Tell what an entry holds of its sequence; a `shared` lane carries several feeds."""
    key, _, first_field = values[_head(values)].rpartition(b":")
    whose = b""
    if shared:
        whose, _, key = key.partition(b":")
    first = int(first_field)
    last = first + count(values) - 1
    if values[2] != keys.SEQ:
        return Span(position(entry)[0], first, last, None)
    epoch, serial = values[3].split(b":")
    return Span(int(epoch), first, last, int(serial), key, whose)


def messages(values: list[bytes]) -> list[bytes]:
    """List an entry's messages, in the order of their ids."""
    return values[_head(values) + 1 :: 2]


def _head(values: list[bytes]) -> int:
    return _HEAD if values[2] == keys.SEQ else _FORMER_HEAD
