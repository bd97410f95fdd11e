"""Which machine a frame goes to, and what a numbering leaves behind."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.ledger import Ledger
from orderer.reorder.limits import MAX_REPEATS, MIN_SEQUENTIAL, PROBATION
from orderer.reorder.numbering import Numbering
from orderer.reorder.outputs import END, Batch, Cause, Fates, Gap, Place
from orderer.reorder.timeout import FixedTimeout
from relay import prints
from tests.support.reorder import FAR, batch, frames, limits

FAR_ABOVE = 10**6


def numbering(next: int = 100, seconds: float = math.inf) -> Numbering:
    """Make a numbering that has put out 0 … `next` − 1, but for a gap from 40 to 49."""
    published = Fingerprints(10**6)
    published.extend(0, prints.take(b"%d" % seq for seq in range(40)))
    published.extend(50, prints.take(b"%d" % seq for seq in range(50, next)))
    ledger = Ledger([Gap(1, 40, 49, 0.0, 0, Cause.TIMEOUT)])
    return Numbering(
        1, next, limits(), FixedTimeout(seconds), Fates(), ledger, published, first=0
    )  # fmt: skip


def take(made: Numbering, ids: Iterable[int], read: Batch | None = None, tag: str = "") -> bool:
    """Have frames taken; `tag` makes their bytes different."""
    frames = ((at, seq, f"{tag}{seq}".encode()) for at, seq in enumerate(ids))
    return made.take(frames, read or batch())


def counts(made: Numbering) -> tuple[int, int, int]:
    """Tell how many were duplicates, late, refused."""
    return made._fates.duplicates, made._fates.late, made._fates.outliers


def test_each_frame_has_its_machine() -> None:
    """A frame would be taken for what it is not."""
    made = numbering()
    assert not take(made, [100, 105, 105, FAR_ABOVE, FAR_ABOVE, 45, 7])
    assert made.buffer.next == 101
    assert list(made.buffer.held) == [105]
    assert list(made._outliers) == [FAR_ABOVE]
    assert list(made._repeats) == [7]
    assert counts(made) == (2, 1, 0)
    assert made.held == 3


def test_late_frames_are_counted_with_their_gap() -> None:
    """The ledger would not tell how many frames of a gap came after all."""
    made = numbering()
    take(made, [41, 49], batch(now=5.0))
    take(made, [44], batch(replayed=True))
    assert counts(made) == (0, 3, 0)
    assert made._fates.amended[1, 40].late == 2
    assert (made._timeout.in_time, made._timeout.too_late) == (2, 0)


def test_repeats_are_settled_when_nobody_confirms_them() -> None:
    """An entry would never be settled because of one repeat in it."""
    made, read = numbering(), batch()
    take(made, [7], read, "odd ")
    take(made, range(100, 100 + PROBATION - 1))
    assert not made.expire(batch(2))
    assert read.pins == 1
    take(made, [100 + PROBATION - 1])
    assert not made.expire(batch(2))
    assert (read.pins, counts(made)) == (0, (1, 0, 0))


def test_too_many_repeats() -> None:
    """Memory would be filled by repeats in no row."""
    made = numbering(2000)
    take(made, range(0, 2 * MAX_REPEATS + 20, 2), tag="odd ")
    assert len(made._repeats) == MAX_REPEATS


@pytest.mark.parametrize("later", ["odd ", "odder ", ""])
def test_the_later_of_two_repeats(later: str) -> None:
    """A frame of a new numbering would give way to an old one of its id."""
    made, first, second = numbering(), batch(1), batch(2)
    take(made, [7], first, "odd ")
    take(made, [7], second, later)
    assert (first.pins, second.pins, counts(made)) == (0, 1, (1, 0, 0))
    assert made._repeats[7].frame == f"{later}7".encode()


def test_a_replay_is_settled() -> None:
    """A replay would keep its entries pinned."""
    made, read = numbering(), batch()
    assert not take(made, range(MIN_SEQUENTIAL), read)
    assert (read.pins, counts(made)) == (0, (MIN_SEQUENTIAL, 0, 0))


def test_a_replay_after_a_reconnect() -> None:
    """A repeat from before the reconnect would count as what comes after it."""
    made = numbering()
    take(made, [0])
    made.reconnected()
    assert not made.held
    assert not take(made, [1], tag="new ")
    assert take(made, [2], tag="new ")


def test_a_new_numbering() -> None:
    """Where a numbering began would be told wrongly, or its frames be lost."""
    made, read = numbering(), batch()
    rest = iter([(at, at, b"new") for at in range(3, 12)])
    take(made, [FAR_ABOVE, 105])
    assert made.take(rest, read)
    assert made.proven_at == Place(b"1-0", 3 + MIN_SEQUENTIAL - 1)
    assert next(rest) == (8, 8, b"new")
    assert read.pins == MIN_SEQUENTIAL
    carried = made.close()
    assert [(seq, waiting.at) for seq, waiting in carried] == [(at, at) for at in range(3, 8)]
    assert read.pins == 0
    *_, gap, run = made.buffer.take()
    assert isinstance(gap, Gap)
    assert (gap.first, gap.last, gap.cause) == (100, 104, "reset")
    assert counts(made) == (0, 0, 1)
    assert [frame for frame, _ in made._fates.refused] == [b"%d" % FAR_ABOVE]
    assert frames(run) == [b"105"]


def test_no_new_numbering_is_found_twice() -> None:
    """A crash alone would begin an epoch: what a former core saw had been no new numbering."""
    made, again = numbering(), batch(replayed=True)
    assert not take(made, range(8), again, "new ")
    assert made.held == 8
    assert take(made, [8], tag="new ")


def test_what_is_read_again_after_a_crash() -> None:
    """Published frames, read again, would pass for a replay, and settle what waits."""
    made, again = numbering(), batch(replayed=True)
    take(made, [3, 4], again, "new ")
    take(made, range(100), again)
    assert sorted(made._repeats) == [3, 4]
    assert again.pins == 2


def test_nothing_is_given_up_while_reading_again() -> None:
    """After a crash, gaps would be given up that were not overdue before."""
    made = numbering(seconds=1.0)
    take(made, [105], batch(1, 0.0, replayed=True))
    assert not made.expire(batch(2, 30.0, replayed=True))
    assert made.buffer.next == 100
    made.expire(batch(3, 30.0))
    assert made.buffer.next == 106


@pytest.mark.parametrize("seconds", [1.0, math.inf])
def test_room(seconds: float) -> None:
    """Memory would be filled, or frames be given up where an operator wants none to be."""
    made = numbering(seconds=seconds)
    take(made, range(101, 102 + FAR))
    assert made.crowded
    made.expire(batch())
    assert made.crowded == (seconds == math.inf)


def test_outliers_are_refused() -> None:
    """An outlier would pin its entry for ever, or vanish without a trace."""
    made, read = numbering(), batch()
    take(made, [FAR_ABOVE], read)
    take(made, range(100, 100 + PROBATION))
    assert not made.expire(batch(2))
    assert (read.pins, counts(made)) == (0, (0, 0, 1))
    assert made._fates.refused == [(b"%d" % FAR_ABOVE, read)]


def test_outliers_are_believed() -> None:
    """A numbering that jumps would be given up as soon as it is believed."""
    made = numbering(seconds=1.0)
    for at in range(MIN_SEQUENTIAL):
        take(made, [FAR_ABOVE + at], batch(at, 10.0 * at))
    assert made.held == len(made.buffer.held) == MIN_SEQUENTIAL
    assert made.buffer.deadline == 10.0 * (MIN_SEQUENTIAL - 1) + 1.0


def test_outliers_that_are_caught_up_with_one_by_one() -> None:
    """An outlier would wait although the one below it, that came later, has been caught up with."""
    made = numbering()
    take(made, [100 + 2 * FAR, 100 + FAR])
    take(made, range(100, 150))
    assert not made.expire(batch())
    assert sorted(made.buffer.held) == [100 + FAR, 100 + 2 * FAR]


def test_an_outlier_that_begins_a_numbering() -> None:
    """A numbering that shows when an outlier is caught up with would be told of too late."""
    made = numbering()
    outlier = 100 + FAR
    take(made, [outlier], tag="new ")
    take(made, range(100, outlier + 5))
    assert not take(made, range(outlier - 4, outlier), tag="new ")
    assert made.expire(batch(9))
    assert made.proven_at == Place(b"9-0", END)
    assert [seq for seq, _ in made.close()] == [*range(outlier - 4, outlier + 1)]
