"""The receive times of a run's frames, packed into the one field `t` of its entry.

Frames that were received together share a time. The field holds the earliest time in µs since
1970 (UTC); when the frames have different times, it goes on with `<µs later>*<frames>` for
each stretch, in id order: `1763757820123456 812*3 0*1` says that three frames were received
812 µs after the fourth.
"""

from __future__ import annotations

from collections.abc import Sequence


def pack(stretches: Sequence[tuple[int, int]]) -> bytes:
    """Pack `(time in µs, frames)` stretches, in id order."""
    earliest = min(time for time, _ in stretches)
    if len(stretches) == 1:
        return b"%d" % earliest
    rest = " ".join(f"{time - earliest}*{frames}" for time, frames in stretches)
    return f"{earliest} {rest}".encode()


def unpack(field: bytes, frames: int) -> list[tuple[int, int]]:
    """Unpack into `(time in µs, frames)` stretches for a run of `frames` frames."""
    earliest, *rest = field.split(b" ")
    start = int(earliest)
    if not rest:
        return [(start, frames)]
    stretches = []
    for stretch in rest:
        later, count = stretch.split(b"*")
        stretches.append((start + int(later), int(count)))
    return stretches
