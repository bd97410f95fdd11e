"""The frames of one numbering: released, held, or waited for."""

from __future__ import annotations

import math
from itertools import permutations

import pytest

from orderer.reorder.buffer import Buffer
from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.outputs import Batch, Cause, Gap, Run
from orderer.reorder.timeout import FixedTimeout
from relay import prints
from tests.support.reorder import batch, frames


def buffer(first: int = 0, seconds: float = 1.0, believed_at: float = 0.0) -> Buffer:
    """Make an empty buffer."""
    return Buffer(3, first, FixedTimeout(seconds), Fingerprints(1000), believed_at)


def take(made: Buffer, seq: int, read: Batch) -> None:
    """Have a frame released or held."""
    frame = b"%d" % seq
    if seq == made.next:
        made.release(frame, read)
    else:
        made.hold(seq, frame, read)


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_any_order(order: tuple[int, ...]) -> None:
    """Frames would come out of order, or never."""
    made, read = buffer(), batch()
    for seq in order:
        take(made, seq, read)
        assert made.next not in made.held
        assert made.taken == len(made.held) + made.next
        assert read.pins == len(made.held)
        assert made.size == len(made.held)
    [run] = made.take()
    assert frames(run) == [b"0", b"1", b"2", b"3", b"4"]
    assert (made.next, made.held, made.gaps, made.deadline) == (5, {}, [], math.inf)
    assert made.take() == []


@pytest.mark.parametrize("ids", [[7], [7, 8], list(range(7, 100))])
def test_extend(ids: list[int]) -> None:
    """Frames in order would not come out at once, or under other ids than their own."""
    made, read = buffer(7), batch()
    assert made.extend(ids, [b"%d" % seq for seq in ids], read)
    [run] = made.take()
    assert isinstance(run, Run)
    assert (run.epoch, run.first, run.batches) == (3, 7, [read] * len(ids))
    assert run.frames == [b"%d" % seq for seq in ids]
    assert made.published.get(ids[-1]) == prints.fingerprint(b"%d" % ids[-1])


@pytest.mark.parametrize(
    "ids",
    [
        [], [6], [8], [7, 9], [7, 7], [8, 7], [7, 8, 10], [7, 9, 8], [7, 8, 8], [7, 9, 9, 10],
        [7, 10, 9, 8, 11], [7, 8, 9, 9, 11], [7, 9, 9, 9, 11], [7, 8, 9, 10, 12],
    ],
)  # fmt: skip
def test_extend_refuses(ids: list[int]) -> None:
    """Frames that are not in order would be taken for such."""
    made = buffer(7)
    assert not made.extend(ids, [b""] * len(ids), batch())
    assert (made.next, made.take()) == (7, [])


def test_extend_refuses_while_frames_are_held() -> None:
    """A held frame would stay when those before it have come."""
    made = buffer()
    take(made, 2, batch())
    assert not made.extend([0, 1], [b"", b""], batch())


def test_gaps() -> None:
    """What is waited for would be shown wrongly."""
    made = buffer()
    for number, seq in enumerate((2, 7, 9, 4), 1):
        take(made, seq, batch(number, float(number)))
    assert made.gaps == [(0, 1, 1.0, 1), (3, 6, 2.0, 2), (8, 8, 3.0, 3)]
    take(made, 0, batch(5, 5.0))
    take(made, 1, batch(5, 5.0))
    assert made.gaps == [(3, 6, 2.0, 2), (8, 8, 3.0, 3)]


def test_give_up() -> None:
    """A gap would hide a frame that is held, or its ids be given away twice."""
    made = buffer()
    for number, seq in enumerate((2, 5, 6, 9), 1):
        take(made, seq, batch(number, float(number)))
    taken = made.taken
    assert made.give_up(Cause.TIMEOUT) == Gap(3, 0, 1, 1.0, 1, Cause.TIMEOUT)
    assert made.give_up(Cause.OPERATOR) == Gap(3, 3, 4, 2.0, 2, Cause.OPERATOR)
    assert (made.next, list(made.held), made.taken) == (7, [9], taken)
    gap, first, second_gap, second = made.take()
    assert (gap, second_gap) == (
        Gap(3, 0, 1, 1.0, 1, Cause.TIMEOUT), Gap(3, 3, 4, 2.0, 2, Cause.OPERATOR),
    )  # fmt: skip
    assert (frames(first), frames(second)) == ([b"2"], [b"5", b"6"])
    assert [seq for seq in range(10) if made.published.get(seq) is not None] == [2, 5, 6]


def test_deadline() -> None:
    """A hole would be given up while its frames may still be on their way, or never."""
    made = buffer(seconds=2.0)
    take(made, 5, batch(now=1.0))
    assert made.deadline == 3.0
    take(made, 0, batch(now=2.0))  # the frame below the hole came
    assert made.deadline == 4.0
    take(made, 3, batch(now=2.5))  # the hole is now 1 … 2
    assert made.deadline == 4.5
    made.give_up(Cause.TIMEOUT)
    assert (made.next, made.deadline) == (4, 4.5)
    made.came_again(batch(now=3.0))
    assert made.deadline == 5.0


def test_belief() -> None:
    """Frames would be overdue because of others that nobody believed till now."""
    made = buffer(seconds=2.0, believed_at=30.0)
    take(made, 5, batch(now=1.0))
    assert made.deadline == 32.0
    assert made.gaps[0].opened == 30.0
    made.began(40.0)
    assert made.deadline == 42.0
    assert made.gaps[0].opened == 40.0


def test_lateness() -> None:
    """The time-out would be learned from the wrong frames, or from the wrong moment."""
    made = buffer(seconds=2.0)
    take(made, 5, batch(now=1.0))
    take(made, 3, batch(now=2.0))
    take(made, 0, batch(now=4.0))
    take(made, 6, batch(now=9.0))
    assert (made._timeout.in_time, made._timeout.too_late) == (1, 1)


def test_exceeds() -> None:
    """The distance would not be measured from the highest frame seen."""
    made = buffer(100)
    assert [made.exceeds(seq, 10) for seq in (109, 110)] == [False, True]
    take(made, 105, batch())
    assert [made.exceeds(seq, 10) for seq in (115, 116)] == [False, True]
    for seq in (*range(100, 105), *range(106, 200)):
        take(made, seq, batch())
    assert [made.exceeds(seq, 10) for seq in (209, 210)] == [False, True]


def test_published_before_it_is_taken() -> None:
    """What has just come out would be unknown, and its replay a new numbering."""
    made = buffer()
    assert made.extend([0, 1], [b"a", b"b"], batch())
    assert made.published.get(1) == prints.fingerprint(b"b")
    take(made, 2, batch())
    assert made.published.get(2) == prints.fingerprint(b"2")
    assert len(made.published) == 3
    made.take()
    assert len(made.published) == 3
