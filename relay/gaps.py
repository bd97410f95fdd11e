"""Entries of `gaps`, the ledger of what was given up. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import keys

LENGTH = 100_000
"""Entries in the ledger, roughly, before the oldest go."""


class Row(NamedTuple):
    """Ids `first` … `last` of an epoch were given up."""

    epoch: int
    first: int
    last: int
    opened: int
    """Receive time of the frame that revealed the gap, µs since 1970."""
    closed: int
    """When it was given up, µs since 1970."""
    cause: str
    """timeout, capacity, operator or reset."""
    late: int
    """How many of its messages came after all."""
    key: str = ""
    """Of whose messages; empty: the feed has one order for all."""


def pack(row: Row) -> list[Any]:
    """Lay out an entry as a flat list of fields and values."""
    return [
        keys.GAP_EPOCH, row.epoch,
        keys.GAP_FIRST, row.first,
        keys.GAP_LAST, row.last,
        keys.GAP_OPENED, row.opened,
        keys.GAP_CLOSED, row.closed,
        keys.GAP_CAUSE, row.cause,
        keys.GAP_LATE, row.late,
        *((keys.GAP_KEY, row.key) if row.key else ()),
    ]  # fmt: skip


def unpack(values: list[bytes]) -> Row:
    """Read an entry's field-value list."""
    fields = dict(zip(values[0::2], values[1::2], strict=True))
    return Row(
        int(fields[keys.GAP_EPOCH]),
        int(fields[keys.GAP_FIRST]),
        int(fields[keys.GAP_LAST]),
        int(fields[keys.GAP_OPENED]),
        int(fields[keys.GAP_CLOSED]),
        fields[keys.GAP_CAUSE].decode(),
        int(fields[keys.GAP_LATE]),
        fields.get(keys.GAP_KEY, b"").decode(errors="replace"),
    )
