"""The given-up gaps whose late frames are recognised."""

from __future__ import annotations

import pytest

from orderer.reorder import limits
from orderer.reorder.ledger import Ledger
from orderer.reorder.outputs import Cause, Gap
from tests.support.reorder import Bench, batch


def gap(first: int, last: int) -> Gap:
    """Make a given-up gap."""
    return Gap(1, first, last, 0.0, 0, Cause.TIMEOUT)


def test_find() -> None:
    """A late frame would be taken for a duplicate, or the other way round."""
    ledger = Ledger([gap(10, 12), gap(20, 20)])
    ledger.append(gap(30, 39))
    found = {seq: other.first for seq in range(50) if (other := ledger.find(seq))}
    assert found == {10: 10, 11: 10, 12: 10, 20: 20, **dict.fromkeys(range(30, 40), 30)}


def test_count_late() -> None:
    """The count of a gap's late frames would stand still."""
    ledger = Ledger([gap(10, 12), gap(20, 20)])
    ledger.count_late(11)
    assert ledger.count_late(12).late == 2
    assert ledger.count_late(10) == ledger.find(10)
    assert [other.late for seq in (10, 20) if (other := ledger.find(seq))] == [3, 0]


def test_begin() -> None:
    """Frames from just before the first one would not be recognised, or lose their count."""
    ledger = Ledger([gap(100, 100)])
    since = batch(now=7.0)
    ledger.begin(1, 50, 59, since)
    ledger.count_late(55)
    ledger.begin(1, 50, 59, None)
    assert len(ledger) == 2
    found = ledger.find(50)
    assert found is not None
    assert (found.first, found.last, found.opened, found.late) == (50, 59, 7.0, 1)


def test_begin_later_than_the_frames_came() -> None:
    """A straggler would count as late by as long as the first frames were not believed."""
    ledger = Ledger()
    ledger.begin(1, 50, 59, batch(now=7.0), 300.0)
    found = ledger.find(50)
    assert found is not None
    assert found.opened == 300.0


def test_forgets() -> None:
    """The memory of late frames would grow without bound, or forget the latest gaps."""
    ledger = Ledger(least=10)
    for first in range(0, 1000, 10):
        ledger.append(gap(first, first + 5))
        assert len(ledger) <= 20
        assert all(ledger.find(seq) for seq in range(max(0, first - 90), first + 1, 10))


def test_forgets_in_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late frames of the latest gaps would not be counted with them."""
    monkeypatch.setattr(limits, "REMEMBERED_GAPS", 10)
    bench = Bench()
    for at in range(1, 101):
        bench.receive([10 * at])
        bench.core.skip(0.0)
    bench.publish()
    bench.receive([10 * at + 5 for at in range(50, 100)])
    assert bench.core.fates.late >= 10
    bench.receive([985, 995])
    assert [first for _, first in bench.core.fates.amended][-2:] == [981, 991]
    assert bench.core.fates.amended[1, 991].late == 2
