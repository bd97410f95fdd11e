"""What an operator is shown of what comes in and is no message."""

from __future__ import annotations

import json

from orderer.shapes import LOOKED_INTO, SHAPES, SHOWN, Shapes


def test_frames_are_told_apart_by_what_is_in_them() -> None:
    """An operator would see one of a thousand heartbeats, and never the error that came once."""
    shapes = Shapes()
    for at in range(3):
        shapes.note("missing", "id", b'{"beat":%d,"at":1}' % at)
        shapes.note("missing", "id", b'{"at":2,"beat":%d}' % at)
    shapes.note("missing", "id", b'{"error":"no"}')
    shapes.note("json", "", b"pong")
    shapes.note("json", "", b"\xff\xfe")
    assert shapes.told() == [
        {"reason": "missing", "where": "id", "count": 6, "frame": '{"beat":0,"at":1}'},
        {"reason": "json", "count": 2, "frame": "pong"},
        {"reason": "missing", "where": "id", "count": 1, "frame": '{"error":"no"}'},
    ]
    assert shapes.rest == 0


def test_values_are_told_apart_by_their_kind() -> None:
    """An array of messages, which wants to be cut, would be counted with the pongs."""
    shapes = Shapes()
    for frame in (b"[1]", b"[{}]", b"1", b"1.5", b'"a"', b"true", b"false", b"null"):
        shapes.note("object", "", frame)
    assert [(told["count"], told["frame"]) for told in shapes.told()] == [
        (2, "[1]"), (2, "1"), (2, "true"), (1, '"a"'), (1, "null"),
    ]  # fmt: skip


def test_reasons_and_places_are_told_apart() -> None:
    """A missing key would be taken for a missing id."""
    shapes = Shapes()
    for reason, where in (("missing", "id"), ("key", "sym"), ("key", "ev"), ("stray", "")):
        shapes.note(reason, where, b"{}")
    assert [(told["reason"], told.get("where")) for told in shapes.told()] == [
        ("missing", "id"), ("key", "sym"), ("key", "ev"), ("stray", None),
    ]  # fmt: skip


def test_what_is_remembered_is_bounded() -> None:
    """A feed that makes up a name for each frame would fill the orderer's memory, and Redis."""
    shapes = Shapes()
    for at in range(1000):
        names = json.dumps({f"name{at}-{other}": "x" * 100 for other in range(50)}).encode()
        shapes.note("missing", "id", names)
    told = shapes.told()
    assert len(told) == SHAPES
    assert shapes.rest == 1000 - SHAPES
    assert all(len(shape["frame"]) <= SHOWN for shape in told)
    assert len(json.dumps(told)) < 2 * SHAPES * SHOWN
    shapes.note("missing", "id", b'{"name0-0":1}')
    assert shapes.rest == 1001 - SHAPES


def test_examples_are_on_one_line() -> None:
    """A frame would break the status into lines of its own, or rule the terminal."""
    shapes = Shapes()
    shapes.note("json", "", b"a\n  next id    7\x1b[2J" + b"x" * 200)
    [told] = shapes.told()
    assert told["frame"] == "a·  next id    7·[2J" + "x" * (SHOWN - 21) + "…"


def test_large_frames_are_not_looked_into() -> None:
    """A feed that sends too large frames would have each of them decoded for the operator."""
    shapes = Shapes()
    for end in (b"]", b"", b"}"):
        shapes.note("oversized", "", b"[" + b" " * LOOKED_INTO + end)
    shapes.note("json", "", b"[" * 100_000)
    assert [told["count"] for told in shapes.told()] == [3, 1]
