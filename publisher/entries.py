"""Entries of `ordered`: what may follow on one connection, and what is written together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from .position import order

Entry: TypeAlias = "tuple[bytes, list[bytes]]"
"""An entry's id with its field-value list: the times, then id after id with its frame."""


def fitting(entries: list[Entry], written: bytes | None) -> list[Entry]:
    """Take the entries that may follow `written` on one connection: same numbering, higher ids."""
    for at, (entry, values) in enumerate(entries):
        if written is not None and (
            order(entry)[0] != order(written)[0] or int(values[2]) <= order(written)[1]
        ):
            return entries[:at]
        written = entry
    return entries


def batches(entries: list[Entry], limit: int) -> Iterator[list[Entry]]:
    """Cut entries into batches of about `limit` bytes; a single entry may be larger."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += sum(map(len, entry[1]))
        if size >= limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
