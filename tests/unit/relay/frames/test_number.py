"""Sequence numbers as feeds write them."""

from __future__ import annotations

from typing import Any

import pytest

from relay.frames.number import Unnumbered, link, number
from relay.frames.path import MISSING
from relay.messages import LARGEST


@pytest.mark.parametrize(
    ("value", "id"),
    [
        (0, 0),
        (LARGEST, LARGEST),
        ("17", 17),
        ("0017", 17),
        (str(LARGEST), LARGEST),
        ("0x1b4", 436),
        ("0XFF", 255),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01t01:00:00+01:00", 0),
        ("1970-01-01 00:00:00.000000001-00:00", 1),
        ("2031-05-04T12:30:00.123456789123Z", 1_935_664_200_123_456_789),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
        ("2024-02-29T00:00:00+05:30", 1_709_145_000_000_000_000),
    ],
)
def test_numbers(value: Any, id: int) -> None:
    """A feed's messages would be rejected, or have a wrong place."""
    assert number(value) == id


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (MISSING, "missing"),
        (None, "missing"),
        (True, "type"),
        (1.0, "type"),
        ("", "type"),
        (" 1", "type"),
        ("+1", "type"),
        ("1.0", "type"),
        ("1e3", "type"),
        ("0x", "type"),
        ("1_000", "type"),
        ("١", "type"),
        ([1], "type"),
        ({"a": 1}, "type"),
        ("1" * 50, "type"),
        ("2031-05-04", "type"),
        ("2031-05-04T12:30:00", "type"),
        ("2031-13-04T12:30:00Z", "type"),
        ("2031-05-04T24:30:00Z", "type"),
        ("2031-05-04T12:30:00+24:00", "type"),
        ("0000-01-01T00:00:00Z", "type"),
        (-1, "range"),
        ("-1", "range"),
        (LARGEST + 1, "range"),
        (str(LARGEST + 1), "range"),
        ("0xffffffffffffffff", "range"),
        ("1969-12-31T23:59:59Z", "range"),
        ("9999-12-31T23:59:59Z", "range"),
    ],
)
def test_no_numbers(value: Any, reason: str) -> None:
    """What is no number would take a place in the order."""
    with pytest.raises(Unnumbered) as error:
        number(value)
    assert error.value.reason == reason


def test_links() -> None:
    """A snapshot that has nothing before it would be rejected."""
    assert [link(value) for value in (5, -1, "5", "-1", "0x10", None, MISSING)] == [
        5, -1, 5, -1, 16, None, None,
    ]  # fmt: skip
    for value in (1.5, "x", [1], True):
        with pytest.raises(Unnumbered):
            link(value)
