"""When the next tick is."""

from __future__ import annotations

import pytest

from wisdom.stream import NOWHERE, Position, Quote, unpack
from wisdom.ticker import missed, wait


@pytest.mark.parametrize(
    ("latest", "now", "seconds"),
    [
        (10_000, 10_000, 5.0),
        (10_000, 12_000, 3.0),
        (10_000, 15_000, 0.0),
        (10_000, 16_000, -1.0),
        (10_000, 19_999, -4.999),
        (10_000, 32_000, -2.0),
        (10_000, 9_000, 5.0),  # a clock that was set back
    ],
)
def test_the_tick_keeps_its_phase(latest: int, now: float, seconds: float) -> None:
    """Each takeover would shift the quotes' times, or a clock set back would silence them."""
    assert wait(Position(latest, 0), now, 5.0) == pytest.approx(seconds)


def test_the_first_tick_comes_at_once() -> None:
    """After the first start nothing would happen for a while."""
    assert wait(NOWHERE, 1_700_000_000_000, 5.0) == 0


@pytest.mark.parametrize(
    ("behind", "ticks"),
    [(-5.0, 0), (-0.001, 0), (0.0, 1), (0.001, 1), (4.999, 1), (5.0, 2), (17.0, 4)],
)
def test_ticks_that_have_passed_are_skipped(behind: float, ticks: int) -> None:
    """After an outage the quotes that were not sent would all come at once, or the phase shift."""
    assert missed(behind, 5.0) == ticks
    assert behind - ticks * 5.0 < 0


def test_what_is_published_is_read_back() -> None:
    """A quote with spaces would be cut."""
    before, quote = unpack("1-0 2-1 Волк — это не конец.  Волк".encode())
    assert before == Position(1, 0)
    assert quote == Quote(Position(2, 1), "Волк — это не конец.  Волк")
    assert Position.parse(str(quote.position).encode()) == quote.position
