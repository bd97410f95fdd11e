"""Entries of `ordered`: what may follow on one connection, and what is written together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from relay.entry import position
from relay.ordered import Entry, first_id


def fitting(entries: list[Entry], written: bytes | None) -> list[Entry]:
    """Take the entries that may follow `written` on one connection: same numbering, higher ids."""
    before = None if written is None else position(written)
    for at, (entry, values) in enumerate(entries):
        here = position(entry)
        if before is not None and (here[0] != before[0] or first_id(values) <= before[1]):
            return entries[:at]
        before = here
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
