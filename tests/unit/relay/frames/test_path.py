"""Paths: what they lead to, and which cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from relay.frames.path import MISSING, parse_path

DOCUMENT = {
    "seq": 1,
    "data": [{"u": 2, "none": None}, {"u": 3}],
    "payload": '{"id":"4","deep":"{\\"er\\":5}","list":[6]}',
    "text": "hello",
    "a.b": 7,
    "0": 8,
    "$type": 9,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seq", 1),
        ("data.0.u", 2),
        ("data.-1.u", 3),
        ("data.0.none", None),
        ("data.2.u", MISSING),
        ("data.u", MISSING),
        ("payload.id", "4"),
        ("payload.deep.er", 5),
        ("payload.list.0", 6),
        ("payload.nothing", MISSING),
        ("text.0", MISSING),
        ("seq.x", MISSING),
        (r"a\.b", 7),
        ("a.b", MISSING),
        ("0", 8),
        ("$type", 9),
        ("nothing.at.all", MISSING),
    ],
)
def test_find(path: str, value: Any) -> None:
    """An id would be read from a wrong place, or from none."""
    assert parse_path(path).find(DOCUMENT) == value


def test_arrays_at_the_top() -> None:
    """Feeds whose frames are arrays would have no ids."""
    assert parse_path("-1").find([7, "te", 12]) == 12
    assert parse_path("2.created_at").find(["EVENT", "s", {"created_at": 5}]) == 5
    assert parse_path("3").find([1]) is MISSING


@pytest.mark.parametrize(
    "path",
    ["", ".", "a.", ".a", "a..b", "a. b", " ", "$.a", "a[0]", "a[]", "a.[b]", "${A}", "{{a}}",
     "x" * 300],
)  # fmt: skip
def test_impossible(path: str) -> None:
    """A path that leads nowhere would be found out by the missing messages."""
    with pytest.raises(ValueError, match=r"path|dots"):
        parse_path(path)
