"""What frames of all kinds may take up together."""

from __future__ import annotations

import math
import random

import pytest

from orderer.reorder.limits import MAX_OUTLIERS, Limits
from orderer.reorder.reorder import Reorder
from orderer.reorder.timeout import FixedTimeout
from tests.support.reorder import FAR, batch

FRAME = b"x" * 1000
ROOM = 20 * len(FRAME)


def receive(core: Reorder, number: int, *ids: int) -> None:
    """Have the core take in an entry of frames of the same size."""
    read = batch(number)
    core.take_in(read, list(ids), [FRAME] * len(ids))
    core.expire(read)
    core.take()


def core(capacity: int = 10**6, capacity_bytes: int = ROOM, timeout: float = 10.0) -> Reorder:
    """Make a core that has little room and has put out 0 … 99."""
    made = Reorder(Limits(capacity, capacity_bytes, FAR, 0), FixedTimeout(timeout))
    receive(made, 1, *range(100))
    return made


def test_far_ids_one_by_one() -> None:
    """A feed would kill the orderer with frames that are never believed, and pin its input."""
    made, dice = core(capacity_bytes=2**63), random.Random(1)
    far = [dice.randrange(10**6, 2**62) for _ in range(4000)]
    for at in range(1000):
        receive(made, 2 + at, *far[4 * at : 4 * at + 4], 100 + at)
        assert made.doubtful <= MAX_OUTLIERS
    assert made.next == 1100
    assert made.fates.outliers == 4000 - made.doubtful


@pytest.mark.parametrize("timeout", [10.0, math.inf])
@pytest.mark.parametrize("bounds", [{"capacity": 20, "capacity_bytes": 2**63}, {}])
def test_who_has_to_go_first(bounds: dict[str, int], timeout: float) -> None:
    """Honest frames that wait for one below would go before those that nobody confirms."""
    made = core(timeout=timeout, **bounds)
    receive(made, 2, *range(200, 208))
    receive(made, 3, 10**7, 10**9)
    receive(made, 4, *range(0, 20, 2))
    assert (made.held, made.doubtful, made.fates.outliers) == (20, 12, 0)
    receive(made, 5, 210)
    assert (made.held, made.fates.outliers, made.fates.duplicates) == (20, 1, 0)
    receive(made, 6, 212, 214, 216)
    assert (made.held, made.fates.outliers, made.fates.duplicates) == (20, 2, 2)
    receive(made, 7, *range(230, 238))
    assert (made.held, made.doubtful, made.next) == (20, 0, 100)
    receive(made, 8, 240)
    if timeout == math.inf:
        assert (made.full, made.held) == (True, 21)
    else:
        assert made.next == 208


def test_probation_fills_nothing_for_an_operator() -> None:
    """With `never`, frames that nobody believes would stop the reading for good."""
    made = core(timeout=math.inf)
    receive(made, 2, *range(0, 60, 2))
    assert (made.doubtful, made.full) == (20, False)
