"""The relay survives whatever may happen, and broken code is found out."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import again, first_wrong
from tests.simulation.controls import BEGIN, CONTROLS
from tests.simulation.world import simulate

PART = 50
"""Schedules in one test."""

ENOUGH = 1000
"""Schedules within which broken code is found."""


@pytest.mark.parametrize("first", range(0, 200, PART))
def test_schedules(first: int) -> None:
    """Something would be lost, doubled, out of order or missing without a word."""
    wrong = first_wrong(first, PART)
    assert wrong is None, f"{wrong[1]}; again: {again(wrong[0])}"


@pytest.mark.parametrize("name", CONTROLS)
def test_broken_code_is_found(name: str) -> None:
    """The schedules would prove nothing: they pass whatever the services do."""
    with CONTROLS[name]():
        assert first_wrong(BEGIN.get(name, 0), ENOUGH) is not None


def test_a_schedule_repeats_itself() -> None:
    """A schedule that went wrong could not be looked at again."""
    assert simulate(7) == simulate(7)
