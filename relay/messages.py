"""Read the sequence numbers out of frames. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

LARGEST = 2**63 - 1
"""The largest id: Redis entry ids and most languages' integers end near it."""

REASONS = ("json", "object", "missing", "type", "range", "oversized", "stray")
"""Why a frame is not accepted.

json: not JSON (bad UTF-8 included); object: JSON, but not an object; missing: no such field;
type: not an integer (true, 1.0, "1", null); range: negative or above 2^63−1; oversized: above
the ingestor's limit; stray: an id far from all others that nothing else came to confirm.
"""

AT_ID = ("missing", "type", "range")
"""Those that say something of the place where the id should be."""


class Reject(NamedTuple):
    """A frame that was not accepted."""

    reason: str
    """One of `REASONS`."""
    line: bytes | str
    frame: bytes


def sequence_numbers(
    frames: list[bytes], field: str
) -> tuple[list[int], list[tuple[int, str]]]:  # fmt: skip
    """Get the ids of frames, and of those that have none, their places and why.

    The ids are of the other frames, in their order.
    """
    try:
        ids = [orjson.loads(frame)[field] for frame in frames]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        pass
    else:
        # `true` is an int to isinstance().
        if not ids or (set(map(type, ids)) == {int} and min(ids) >= 0 and max(ids) <= LARGEST):
            return ids, []
    ids, rejected = [], []
    for at, frame in enumerate(frames):
        try:
            ids.append(sequence_number(frame, field))
        except Rejected as error:
            rejected.append((at, error.reason))
    return ids, rejected


class Rejected(Exception):
    """A frame without a usable sequence number; `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def sequence_number(frame: bytes, field: str) -> int:
    """Get the id, 0 … 2^63−1, from the JSON object in `frame`; raise Rejected otherwise.

    Of duplicate keys the last wins. An integer beyond 64 bits reads as a float, hence `type`.
    """
    try:
        value = orjson.loads(frame)[field]
    except (orjson.JSONDecodeError, TypeError, KeyError, IndexError):
        raise Rejected(_why(frame)) from None
    # `true` is an int to isinstance().
    if type(value) is int and 0 <= value <= LARGEST:
        return value
    raise Rejected("range" if type(value) is int else "type")


def _why(frame: bytes) -> str:
    try:
        value: Any = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return "json"
    return "missing" if isinstance(value, dict) else "object"
