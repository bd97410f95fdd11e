"""Who bears out a frame far above all others."""

from __future__ import annotations

import pytest

from orderer.reorder.limits import MIN_SEQUENTIAL, PROBATION, PROBATION_SECONDS
from orderer.reorder.outliers import Outliers
from tests.support.reorder import batch

FAR = 1000


def outliers(*came: tuple[int, int]) -> Outliers:
    """Make outliers of ids and the counts at which they came."""
    made = Outliers()
    for seq, count in came:
        made.add(seq, b"%d" % seq, batch(), 0, count)
    return made


@pytest.mark.parametrize("step", [1, FAR // MIN_SEQUENTIAL])
def test_near_each_other(step: int) -> None:
    """A numbering that jumps while late frames still come would be refused."""
    ids = [10**6 + step * at for at in range(MIN_SEQUENTIAL)]
    made = outliers(*((seq, count) for count, seq in enumerate(reversed(ids))))
    assert made.agreeing(ids[0], FAR, MIN_SEQUENTIAL) == ids


def test_too_few_or_too_far() -> None:
    """One wrong id would move the numbering."""
    ids = [10**6 + 2 * FAR * at for at in range(2 * MIN_SEQUENTIAL)]
    made = outliers(*((seq, count) for count, seq in enumerate(ids)))
    assert not made.agreeing(ids[-1], FAR, len(ids))
    assert not outliers((5, 0), (6, 1), (7, 2), (8, 3)).agreeing(8, FAR, 3)


def test_one_after_another() -> None:
    """A feed with great steps, and nothing else, would never be believed."""
    ids = [10**6 * at for at in range(1, 1 + MIN_SEQUENTIAL)]
    assert outliers((1, 0), *((seq, 7) for seq in ids)).agreeing(ids[-1], FAR, 7) == ids


def test_pins() -> None:
    """An entry would be settled before its outlier is, or never."""
    made, read = Outliers(), batch()
    for seq in (1, 2, 3):
        made.add(seq, b"", read, 0, 0)
    assert read.pins == 3
    assert made.release(2).batch is read
    assert [seq for seq, _ in made.release_all()] == [1, 3]
    assert read.pins == 0


def test_due() -> None:
    """An outlier would be refused too soon, or wait for ever."""
    made = outliers((10, 0), (20, 1), (30, 1))
    assert made.due(PROBATION - 1, 0.0) == []
    assert made.due(PROBATION, 0.0) == [10]
    assert made.due(PROBATION + 1, 0.0) == [10, 20, 30]
    assert made.due(1, PROBATION_SECONDS - 1) == []
    assert made.due(1, PROBATION_SECONDS) == [10, 20, 30]
