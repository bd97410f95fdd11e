"""Entries of `raw`, packed and unpacked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import keys, raw

times = st.integers(0, 10**17)
seconds = st.integers(0, 10**12).map(lambda ms: ms / 1000)
names = st.text(min_size=1, max_size=30).filter(lambda name: name.isprintable())
events = st.sampled_from([keys.CONNECTED, keys.DISCONNECTED, keys.PAUSED, keys.RESUMED, keys.ALIVE])


def on_the_wire(values: list[object]) -> list[bytes]:
    """Turn what is sent into what comes back."""
    return [value if isinstance(value, bytes) else str(value).encode() for value in values]


@settings(deadline=None, derandomize=True)
@given(times, names, names, seconds, st.lists(st.binary(max_size=50), min_size=1, max_size=20))
def test_a_batch_round_trip(
    time: int, line: str, connection: str, listened: float, frames: list[bytes]
) -> None:
    """A frame would not reach the orderer as it was received, or at another time."""
    values = on_the_wire(raw.pack_batch(time, line, connection, listened, frames))
    entry = raw.unpack(b"5-1", values)
    assert entry[:4] == (b"5-1", time, line.encode(), connection.encode())
    assert entry.listened == pytest.approx(listened, abs=0.0011)
    assert (entry.event, entry.frames) == (b"", frames)
    assert raw.count_frames(values) == len(frames)


@settings(deadline=None, derandomize=True)
@given(times, names, names, seconds, events)
def test_a_change_round_trip(
    time: int, line: str, connection: str, listened: float, event: bytes
) -> None:
    """The orderer would not learn that a connection begins, ends or lives."""
    values = on_the_wire(raw.pack_change(time, line, connection, listened, event))
    entry = raw.unpack(b"5-1", values)
    assert entry[:4] == (b"5-1", time, line.encode(), connection.encode())
    assert (entry.event, entry.frames) == (event, [])
    assert raw.count_frames(values) == 0


def test_the_form() -> None:
    """The layout would not be the documented one."""
    assert raw.pack_batch(17, "l", "c", 1.5, [b"x", b"y"]) == [
        b"t", 17, b"line", "l", b"conn", "c", b"up", 1500, b"0", b"x", b"1", b"y",
    ]  # fmt: skip
    assert raw.pack_change(17, "l", "c", 1.5, keys.ALIVE) == [
        b"t", 17, b"line", "l", b"conn", "c", b"up", 1500, b"event", b"alive",
    ]  # fmt: skip


def test_entries_of_the_previous_version() -> None:
    """An upgrade would lose what lies in Redis, or time would stand still over it."""
    batch = [b"t", b"17", b"line", b"l", b"conn", b"c", b"0", b"x", b"1", b"y"]
    assert raw.unpack(b"5000-1", batch) == (b"5000-1", 17, b"l", b"c", 5.0, b"", [b"x", b"y"])
    assert raw.count_frames(batch) == 2
    change = [b"t", b"17", b"line", b"l", b"conn", b"c", b"event", b"connected"]
    assert raw.unpack(b"5000-1", change) == (b"5000-1", 17, b"l", b"c", 5.0, b"connected", [])
    assert raw.count_frames(change) == 0


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b"0", b"x"],
        [b"t", b"abc", b"line", b"l", b"conn", b"c", b"0", b"x"],
        [b"t", b"9" * 5000, b"line", b"\xff", b"conn", b"\xfe", b"0", b"x"],
        [b"t", b"1", b"line", b"l", b"conn", b"c", b"up", b"-5", b"0", b"x"],
        [b"t", b"1", b"line", b"l", b"conn", b"c", b"up"],
        [b"event", b"connected", b"line", b"\xfe"],
        [b"t", b"1", b"line", b"l", b"conn", b"c"],
    ],
)
def test_a_strangers_entry_is_understood_or_empty(values: list[bytes]) -> None:
    """An entry written by hand would end the orderer at every start."""
    values = values if len(values) % 2 == 0 else [*values, b""]
    entry = raw.unpack(b"5000-1", values)
    assert entry.id == b"5000-1"
    assert entry.frames in ([], [b"x"])
    assert entry.listened >= 0


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 700_000), max_size=30), st.integers(0, 5000))
def test_batches_lose_nothing(sizes: list[int], small: int) -> None:
    """A frame would be lost between two entries, or an entry be too large to digest."""
    frames = [bytes(size) for size in sizes] + [b"{}"] * small
    batches = list(raw.batches(frames))
    assert [frame for batch in batches for frame in batch] == frames
    for batch in batches:
        assert 1 <= len(batch) <= raw.BATCH_FRAMES
        assert len(batch) == 1 or sum(map(len, batch)) <= raw.BATCH_BYTES
