"""The id of a stream's entry: `<number>-<number>`, two unsigned 64-bit integers. Pure."""

from __future__ import annotations

START = b"0-0"
"""Before the first entry."""


def position(entry: bytes) -> tuple[int, int]:
    """Turn an entry's id into something that compares; a missing second half is 0."""
    first, _, second = entry.partition(b"-")
    return int(first), int(second or b"0")
