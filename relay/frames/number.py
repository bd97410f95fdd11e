"""Sequence numbers as feeds write them. Pure."""

from __future__ import annotations

import datetime
import re
from typing import Any

from relay.messages import LARGEST

from .path import MISSING

_EPOCH = datetime.date(1970, 1, 1).toordinal()
_DIGITS = re.compile(r"-?[0-9]{1,40}", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,40}", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


class Unnumbered(Exception):
    """A value that is no sequence number; `reason` is `missing`, `type` or `range`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def number(value: Any) -> int:
    """Get a sequence number, 0 … 2^63−1, from what stands where it should be.

    An integer, decimal or `0x` digits as text, or a time of RFC 3339, which becomes nanoseconds
    since 1970. Raises Unnumbered otherwise.
    """
    found = value if type(value) is int else _read(value)
    if 0 <= found <= LARGEST:
        return found
    raise Unnumbered("range")


def link(value: Any) -> int | None:
    """Get the number that a message names besides its own; None: it names none.

    It may be negative: some feeds write -1 for "nothing before". Raises Unnumbered.
    """
    if type(value) is int:
        return value
    return None if value is MISSING or value is None else _read(value)


def _read(value: Any) -> int:
    if value is MISSING or value is None:
        raise Unnumbered("missing")
    if type(value) is not str:
        raise Unnumbered("type")
    if _DIGITS.fullmatch(value):
        return int(value)
    if _HEX.fullmatch(value):
        return int(value, 16)
    time = _TIME.fullmatch(value)
    if time is None:
        raise Unnumbered("type")
    return _nanoseconds(*time.groups())


def _nanoseconds(
    year: str, month: str, day: str, hour: str, minute: str, second: str,
    fraction: str | None, sign: str | None, hours: str | None, minutes: str | None,
) -> int:  # fmt: skip
    """Count the nanoseconds since 1970; what is finer is left out, and :60 is the next second."""
    try:
        days = datetime.date(int(year), int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        raise Unnumbered("type") from None
    away = int(f"{sign}{int(hours) * 60 + int(minutes)}") if sign and hours and minutes else 0
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60 or abs(away) >= 24 * 60:
        raise Unnumbered("type")
    seconds = ((days * 24 + int(hour)) * 60 + int(minute) - away) * 60 + int(second)
    return seconds * 1_000_000_000 + int((fraction or "")[:9].ljust(9, "0"))
