"""Fingerprints of what was put in order, kept when the messages are gone. Pure.

The fingerprint of a message is its CRC-32: four bytes, whatever its length, and the same in every
process. Two messages with one CRC can be made, but only by who makes the feed, to its own harm; by
chance, a row of five that differs passes for a repeated one once in 2^160.

An entry of `prints` stands for a run in `ordered`; its id is `<floor>-<serial>`, so that how far
behind it lies is a difference. Its fields are `c`, the fingerprints of the messages, the least
significant byte of each first; `to`, `<epoch>:<last id>`; and `key`, if there is one.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import Any, NamedTuple
from zlib import crc32

from . import keys

CODE = "I"
"""Type of a fingerprint in an array: 32 bits without a sign."""

BYTES = array(CODE).itemsize
"""Of a fingerprint."""


def fingerprint(message: bytes) -> int:
    """Take a message's fingerprint."""
    return crc32(message)


def take(messages: Iterable[bytes]) -> array[int]:
    """Take the fingerprints of messages."""
    return array(CODE, map(crc32, messages))


class Stretch(NamedTuple):
    """The fingerprints of consecutive ids from `first` on."""

    key: str
    epoch: int
    first: int
    prints: array[int]

    @property
    def last(self) -> int:
        """The last id."""
        return self.first + len(self.prints) - 1


def pack(key: str, epoch: int, last: int, prints: array[int]) -> list[Any]:
    """Lay out the fingerprints of a run that ends with the id `last`: field, value, …."""
    values = [keys.PRINTS_C, _ordered(prints).tobytes(), keys.PRINTS_TO, b"%d:%d" % (epoch, last)]
    return [*values, keys.PRINTS_KEY, key] if key else values


def unpack(values: list[bytes]) -> Stretch:
    """Take an entry apart."""
    prints = _ordered(array(CODE, values[1]))
    epoch, last = map(int, values[3].split(b":"))
    key = values[5].decode(errors="replace") if len(values) > 4 else ""
    return Stretch(key, epoch, last - len(prints) + 1, prints)


def _ordered(prints: array[int]) -> array[int]:
    """Swap the bytes of each, where a machine has them the other way round."""
    if sys.byteorder == "big":
        prints = prints[:]
        prints.byteswap()
    return prints
