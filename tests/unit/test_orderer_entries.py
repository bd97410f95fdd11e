"""Entries of the input taken apart, and the output cut into entries and commits."""

from __future__ import annotations

import pytest

from orderer.checkpoint import position
from orderer.feed import _unpack
from orderer.journal import COMMIT_MESSAGES, RUN_MESSAGES, _parts, _run_arguments
from orderer.runs import Batch, Cause, Epoch, Gap, Output, Run
from relay import ordered


def test_a_batch() -> None:
    """Frames would be lost, renamed or put in another order between ingestor and orderer."""
    values = [b"t", b"17", b"line", b"host:1", b"conn", b"ab12", b"0", b"x", b"1", b"y", b"2", b"t"]
    assert _unpack(b"5-1", values) == (17, b"host:1", b"ab12", b"", [b"x", b"y", b"t"])


@pytest.mark.parametrize("event", [b"connected", b"disconnected"])
def test_an_event(event: bytes) -> None:
    """The note on a connection would be taken for a frame, or overlooked."""
    values = [b"t", b"17", b"line", b"host:1", b"conn", b"ab12", b"event", event]
    assert _unpack(b"5-1", values) == (17, b"host:1", b"ab12", event, [])


@pytest.mark.parametrize(
    ("values", "unpacked"),
    [
        ([b"0", b"x"], (5000, b"?", b"?", b"", [b"x"])),
        ([b"frame", b"x"], (5000, b"?", b"?", b"", [])),
        ([b"1", b"y", b"0", b"x", b"t", b"9"], (9, b"?", b"?", b"", [b"y", b"x"])),
        ([b"t", b"soon", b"line", b"l", b"0", b"x"], (5000, b"l", b"?", b"", [b"x"])),
        ([b"t", b"9", b"line", b"l", b"conn", b"c"], (9, b"l", b"c", b"", [])),
        ([b"event", b"connected", b"line", b"l"], (5000, b"l", b"?", b"connected", [])),
    ],
)
def test_what_somebody_else_wrote(
    values: list[bytes], unpacked: tuple[int, bytes, bytes, bytes, list[bytes]]
) -> None:
    """One XADD by hand would stop the orderer for ever."""
    assert _unpack(b"5-1", values) == unpacked


def test_entries_compare_as_numbers() -> None:
    """Entry 10-0 would come before 9-0."""
    assert position(b"9-99") < position(b"10-0") < position(b"10-2") < position(b"10-10")
    assert position(b"7") == (7, 0)


def run(first: int, count: int, epoch: int = 1) -> Run:
    batch = Batch(b"1-0", 5, 0.0)
    frames = [b"%d" % seq for seq in range(first, first + count)]
    return Run(epoch, first, frames, [batch] * count)


def gap(first: int, last: int) -> Gap:
    return Gap(1, first, last, None, 0, Cause.TIMEOUT)


def frames(outputs: list[Output]) -> list[bytes]:
    return [frame for item in outputs if isinstance(item, Run) for frame in item.frames]


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500, 4000, 4001, 12_345])
def test_long_runs_are_cut(count: int) -> None:
    """A run would be too long for the script, or lose a frame where it is cut."""
    parts = list(_parts([run(7, count)]))
    assert frames([item for part in parts for item in part]) == frames([run(7, count)])
    following = 7
    for part in parts:
        assert 0 < len(frames(part)) < COMMIT_MESSAGES + RUN_MESSAGES
        for item in part:
            assert isinstance(item, Run)
            assert item.first == following
            assert 0 < len(item.frames) == len(item.batches) <= RUN_MESSAGES
            following += len(item.frames)
    assert len(parts) == -(-count // COMMIT_MESSAGES)


@pytest.mark.parametrize("before", [1, 3999, 4000, 8000])
def test_a_gap_goes_with_the_run_that_follows(before: int) -> None:
    """A crash between two commits would leave a gap in the ledger, and the stream before it."""
    outputs: list[Output] = [run(0, before), gap(before, before + 4), run(before + 5, 3)]
    parts = list(_parts(outputs))
    [part] = [part for part in parts if any(isinstance(item, Gap) for item in part)]
    [at] = [at for at, item in enumerate(part) if isinstance(item, Gap)]
    following = part[at + 1]
    assert isinstance(following, Run)
    assert following.first == before + 5
    assert frames([item for part in parts for item in part]) == frames(outputs)


def test_many_short_runs() -> None:
    """Many gaps would make a commit that blocks Redis for long, or be told out of order."""
    outputs: list[Output] = []
    for at in range(3000):
        outputs += [gap(10 * at, 10 * at + 5), run(10 * at + 6, 4)]
    parts = list(_parts(outputs))
    assert len(parts) == 3
    firsts = [item.first for part in parts for item in part if isinstance(item, Run | Gap)]
    assert firsts == sorted(firsts)
    assert len(firsts) == 6000
    for part in parts:
        assert isinstance(part[-1], Run)


def test_a_new_epoch_keeps_its_place() -> None:
    """Runs of two numberings would be mixed."""
    outputs: list[Output] = [run(0, 4000), Epoch(2, None), run(0, 10, epoch=2)]
    first, second = _parts(outputs)
    assert [item.epoch for item in first] == [1] * 4
    assert [item.epoch for item in second] == [2, 2]
    assert isinstance(second[0], Epoch)


def test_nothing_makes_no_parts() -> None:
    """An empty commit would be made up."""
    assert list(_parts([])) == []


def test_a_run_as_an_entry() -> None:
    """The entry's id, its times or its frames would not be those of the run."""
    early, late = Batch(b"1-0", 1000, 0.0), Batch(b"2-0", 1500, 0.0)
    item = Run(3, 2**62, [b"a", b"b", b"c"], [late, late, early])
    entry, count, name, packed, *values = _run_arguments(item)
    assert entry == f"3-{2**62 + 2}"
    assert (count, name) == (8, b"t")
    assert ordered.times([b"t", packed, *[b"0", b"x"] * 3]) == [(1500, 2), (1000, 1)]
    assert values == [2**62, b"a", 2**62 + 1, b"b", 2**62 + 2, b"c"]
