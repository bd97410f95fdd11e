"""Entries of `ordered`: what may follow on one connection, and what is written together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from relay import ordered
from relay.ordered import Entry, Span


def fitting(
    entries: list[Entry], written: dict[bytes, Span], *, shared: bool = False
) -> list[Span]:
    """Take the entries that may follow on one connection: higher ids of the same numberings.

    All are one feed's, of a lane that may be `shared`. `written` has what went out last of each
    sequence. Where each key has an order of its own, a
    new numbering of one is nothing that the others must know of.
    """
    spans: list[Span] = []
    last = dict(written)
    for entry, values in entries:
        span = ordered.span(entry, values, shared=shared)
        before = last.get(span.key)
        if before is not None:
            same = span.epoch == before.epoch
            if span.first <= before.last if same else not span.key:
                break
        spans.append(span)
        last[span.key] = span
    return spans


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
