"""A Redis stream: entries sorted by id, so that every range is bisected.

An id is one integer here, `milliseconds << 64 | sequence`, which compares as Redis compares ids.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from .wire import SYNTAX, error, integer

_HALF = (1 << 64) - 1
LEAST = 0
MOST = (1 << 128) - 1

_INVALID = "ERR Invalid stream ID specified as stream command argument"


def parse(word: bytes, sequence: int = 0) -> int:
    """Read an id; one without a sequence number gets `sequence`."""
    head, dash, tail = word.partition(b"-")
    if head.isdigit() and (tail.isdigit() or not dash):
        milliseconds = int(head)
        if dash:
            sequence = int(tail)
        if milliseconds <= _HALF and sequence <= _HALF:
            return milliseconds << 64 | sequence
    raise error(_INVALID)


def parse_low(word: bytes) -> int:
    """Read the lower bound of a range: `-`, an id, or an excluded one after `(`."""
    if word == b"-":
        return LEAST
    if word == b"+":
        return MOST
    if word[:1] != b"(":
        return parse(word)
    entry = parse(word[1:])
    if entry == MOST:
        raise error("ERR invalid start ID for the interval")
    return entry + 1


def parse_high(word: bytes) -> int:
    """Read the upper bound of a range; without a sequence number it takes in the millisecond."""
    if word == b"+":
        return MOST
    if word == b"-":
        return LEAST
    if word[:1] != b"(":
        return parse(word, _HALF)
    entry = parse(word[1:], _HALF)
    if entry == LEAST:
        raise error("ERR invalid end ID for the interval")
    return entry - 1


def name(entry: int) -> bytes:
    """Write an id as Redis does."""
    return b"%d-%d" % (entry >> 64, entry & _HALF)


class Stream:
    """Keep the entries of one key. `last` is the greatest id ever added, also once deleted."""

    __slots__ = ("_entries", "_ids", "last", "made")

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._entries: list[tuple[bytes, list[bytes]]] = []
        self.last = 0
        self.made = 0

    def __len__(self) -> int:
        return len(self._ids)

    def copy(self) -> Stream:
        """Copy the stream; the entries' own fields never change and are shared."""
        copy = Stream()
        copy._ids = self._ids.copy()
        copy._entries = self._entries.copy()
        copy.last = self.last
        return copy

    def next_id(self, milliseconds: int) -> int:
        """Give the id of an entry added at that time: never less than one given before."""
        return max(milliseconds << 64, self.last + 1)

    def next_sequence(self, milliseconds: int) -> int:
        """Give the id for `<milliseconds>-*`; it may be one that `add` refuses."""
        if milliseconds == self.last >> 64 and self.last & _HALF < _HALF:
            return self.last + 1
        return milliseconds << 64

    def add(self, entry: int, fields: list[bytes]) -> bytes:
        """Append an entry and give its id as text; its id must exceed `last`."""
        if self.last == MOST:
            raise error(
                "ERR The stream has exhausted the last possible ID, unable to add more items"
            )
        if entry <= self.last:
            raise error(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            )
        text = name(entry)
        self._ids.append(entry)
        self._entries.append((text, fields))
        self.last = entry
        return text

    def range(self, low: int, high: int, count: int | None, reverse: bool) -> list[list[object]]:
        """Give the entries from `low` to `high`, both included, as lists of the caller's own."""
        begin = bisect_left(self._ids, low) if low else 0
        end = len(self._ids) if high == MOST else bisect_right(self._ids, high)
        if count is not None and end - begin > count:
            if reverse:
                begin = end - count
            else:
                end = begin + count
        if begin >= end:
            return []
        found: list[list[object]] = [
            [text, fields.copy()] for text, fields in self._entries[begin:end]
        ]
        if reverse:
            found.reverse()
        return found

    def delete(self, entry: int) -> bool:
        """Delete an entry and tell whether there was one."""
        at = bisect_left(self._ids, entry)
        if at == len(self._ids) or self._ids[at] != entry:
            return False
        del self._ids[at], self._entries[at]
        return True

    def keep_newest(self, count: int) -> int:
        """Delete all but the `count` newest entries and give the number of those that went."""
        return self._drop(len(self._ids) - count)

    def keep_from(self, entry: int) -> int:
        """Delete what is before `entry` and give the number of those that went."""
        return self._drop(bisect_left(self._ids, entry))

    def _drop(self, count: int) -> int:
        if count <= 0:
            return 0
        del self._ids[:count], self._entries[:count]
        return count


def trimming(words: list[bytes], *, in_xadd: bool) -> tuple[Callable[[Stream], int] | None, int]:
    """Read how XADD or XTRIM trims, and the place of the word after."""
    if in_xadd and words[2][:1].isdigit():
        return None, 2  # an id, as most often
    trim: Callable[[Stream], int] | None = None
    at = 2
    while at < len(words):
        option, more = words[at].upper(), len(words) - at - 1
        if option not in (b"MAXLEN", b"MINID") or not more:
            if in_xadd:
                break
            raise error(SYNTAX)
        if trim is not None:
            raise error("ERR syntax error, MAXLEN and MINID options at the same time are not"
                        " compatible")  # fmt: skip
        at += 1
        if more >= 2 and words[at] in (b"~", b"="):
            at += 1
        if option == b"MAXLEN":
            trim = _keep_newest(integer(words[at]))
        else:
            trim = _keep_from(parse(words[at]))
        at += 1
    if trim is None and not in_xadd:
        raise error("ERR syntax error, XTRIM must be called with one of the following options:"
                    " MAXLEN, MINID")  # fmt: skip
    return trim, at


def _keep_newest(count: int) -> Callable[[Stream], int]:
    if count < 0:
        raise error("ERR The MAXLEN argument must be >= 0.")
    return lambda entries: entries.keep_newest(count)


def _keep_from(entry: int) -> Callable[[Stream], int]:
    return lambda entries: entries.keep_from(entry)
