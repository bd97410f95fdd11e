"""Entries of `raw`: batches of frames as received, and changes of a line's connection. Pure.

An entry's fields are the metadata `t` (receive time, µs since 1970), `line`, `conn` (the
connection's name) and `up` (for how long the connection has been listened to, ms); then `0`, `1`,
… with the bytes of a frame each, or `event` with a change. In a lane that carries several feeds an
entry holds a part like this of each of some feeds, one after the other; each begins with `feed`. An
entry that somebody else wrote is taken for what can be understood of it; earlier versions wrote no
`up`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from . import keys
from .entry import position

BATCH_FRAMES = 2000
"""Frames in one entry at most."""

BATCH_BYTES = 1024 * 1024
"""Bytes of frames in one entry, roughly at most."""

UNNAMED = b"?"
"""Stands for the line and the connection of an entry that does not name them."""

_NAMES = [b"%d" % at for at in range(BATCH_FRAMES)]
_METADATA = [keys.T, keys.LINE, keys.CONN]
_LONGEST_NUMBER = 18
"""Digits; what is longer is no time."""


class Entry(NamedTuple):
    """An entry of `raw`, taken apart."""

    id: bytes
    time: int
    """Receive time, µs."""
    line: bytes
    connection: bytes
    listened: float
    """Seconds for which the connection has been listened to; counts within a connection only."""
    event: bytes
    """A change of the connection; empty for a batch."""
    frames: list[bytes]


def batches(frames: list[bytes]) -> Iterator[list[bytes]]:
    """Cut frames into batches of `BATCH_FRAMES` and about `BATCH_BYTES` at most."""
    start = 0
    while start < len(frames):
        batch = frames[start : start + BATCH_FRAMES]
        if sum(map(len, batch)) > BATCH_BYTES:
            batch = batch[: _fitting(batch)]
        yield batch
        start += len(batch)


def _fitting(frames: list[bytes]) -> int:
    """Count the frames that fit into one entry, at least one."""
    size = 0
    for at, frame in enumerate(frames):
        size += len(frame)
        if size > BATCH_BYTES and at:
            return at
    return len(frames)


def pack_batch(
    time: int, line: str, connection: str, listened: float, frames: list[bytes]
) -> list[Any]:
    """Lay out a batch as a flat list of fields and values."""
    values: list[Any] = [None] * (2 * len(frames))
    values[0::2] = _NAMES[: len(frames)]
    values[1::2] = frames
    return _metadata(time, line, connection, listened) + values


def pack_change(
    time: int, line: str, connection: str, listened: float, event: bytes
) -> list[Any]:  # fmt: skip
    """Lay out a change of the connection, `CONNECTED` and so on."""
    return [*_metadata(time, line, connection, listened), keys.EVENT, event]


def _metadata(time: int, line: str, connection: str, listened: float) -> list[Any]:
    return [
        keys.T, time, keys.LINE, line, keys.CONN, connection, keys.UP, round(listened * 1000),
    ]  # fmt: skip


def parts(lane: str, values: list[bytes]) -> list[tuple[str, list[bytes]]]:
    """Take an entry of a lane apart: whose part it is, and the part's field-value list."""
    if values[0] != keys.FEED:
        return [(lane, values)]
    begins = [2 * at for at, field in enumerate(values[0::2]) if field == keys.FEED]
    return [
        (values[begin + 1].decode(errors="replace"), values[begin + 2 : end])
        for begin, end in pairwise([*begins, len(values)])
    ]


def count_frames(values: list[bytes]) -> int:
    """Count the frames of an entry, or of a part, by its field-value list."""
    metadata = 4 if values[6:7] == [keys.UP] else 3
    return 0 if keys.EVENT in values[2 * metadata :][:1] else len(values) // 2 - metadata


def unpack(entry: bytes, values: list[bytes]) -> Entry:
    """Take an entry apart, by its id and its field-value list."""
    if values[0:6:2] == _METADATA and len(values) > 6 and _is_number(values[1]):
        time, line, connection = int(values[1]), values[3], values[5]
        if values[6] != keys.UP:
            listened, rest = _clock(entry), values[6:]
        elif _is_number(values[7]):
            listened, rest = int(values[7]) / 1000, values[8:]
        else:
            return _understand(entry, values)
        if rest[:1] == [keys.EVENT]:
            return Entry(entry, time, line, connection, listened, rest[1], [])
        return Entry(entry, time, line, connection, listened, b"", rest[1::2])
    return _understand(entry, values)


def _understand(entry: bytes, values: list[bytes]) -> Entry:
    """Take an entry apart that no ingestor wrote."""
    fields = dict(zip(values[0::2], values[1::2], strict=True))
    time, up = fields.get(keys.T, b""), fields.get(keys.UP, b"")
    return Entry(
        entry,
        int(time) if _is_number(time) else position(entry)[0] * 1000,
        fields.get(keys.LINE, UNNAMED),
        fields.get(keys.CONN, UNNAMED),
        int(up) / 1000 if _is_number(up) else _clock(entry),
        fields.get(keys.EVENT, b""),
        [value for field, value in fields.items() if field.isdigit()],
    )


def _clock(entry: bytes) -> float:
    """Tell the time of the entry's id, where nobody says how long the connection has stood."""
    return position(entry)[0] / 1000


def _is_number(field: bytes) -> bool:
    return field.isdigit() and len(field) <= _LONGEST_NUMBER
