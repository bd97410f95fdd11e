"""Patterns: which frames they fit, and which cannot be."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from relay.frames.pattern import Pattern, parse_pattern


def fits(pattern: Pattern, frame: bytes) -> bool:
    try:
        document = orjson.loads(frame)
    except orjson.JSONDecodeError:
        document = None
    return pattern.fits(frame, lambda path: path.find(document))


@pytest.mark.parametrize(
    ("pattern", "frame", "does"),
    [
        ("pong", b"pong", True),
        ("pong", b"pong\n", True),
        ("pong", b"ponging", False),
        ("{}", b"{}", True),
        ("{}", b'{"a":1}', False),
        ("*", b"\x00", True),
        ({"type": "ping"}, b'{"type":"ping","n":1}', True),
        ({"type": "ping"}, b'{"type":"pong"}', False),
        ({"type": "ping"}, b"no json", False),
        ({"type": "*"}, b'{"type":0}', True),
        ({"type": "*"}, b'{"type":false}', True),
        ({"type": "*"}, b'{"type":null}', False),
        ({"type": "*"}, b"{}", False),
        ({"op": 10}, b'{"op":10}', True),
        ({"op": 10}, b'{"op":10.0}', True),
        ({"op": 10}, b'{"op":"10"}', False),
        ({"op": 1}, b'{"op":true}', False),
        ({"ok": True}, b'{"ok":true}', True),
        ({"ok": True}, b'{"ok":1}', False),
        ({"1": "hb"}, b'[7,"hb",3]', True),
        ({"a.b": "x", "c": 1}, b'{"a":{"b":"x"},"c":1}', True),
        ({"a.b": "x", "c": 1}, b'{"a":{"b":"x"},"c":2}', False),
        ({"a": {"b": "x"}}, b'{"a":{"b":"x"}}', True),
    ],
)
def test_fits(pattern: Any, frame: bytes, does: bool) -> None:
    """A heartbeat would be a message, or a message be answered like one."""
    assert fits(parse_pattern(pattern), frame) is does


@pytest.mark.parametrize(
    "pattern",
    ["", "  ", {}, {"a": {}}, {"a": [1]}, {"a": float("nan")}, {"": 1}, {"a..b": 1}, 5, None,
     {"a.b": 1, "a": {"b": 1}}],
)  # fmt: skip
def test_impossible(pattern: Any) -> None:
    """A pattern that fits nothing or everything would be found out by what goes wrong."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "frame", "count"),
    [
        ({"type": "ack", "id": "{{$count}}"}, b'{"type":"ack","id":5}', 5),
        ({"type": "ack", "id": "{{$count}}"}, b'{"type":"ack","id":"5"}', 5),
        ({"type": "ack", "id": "{{$count}}"}, b'{"type":"nak","id":5}', None),
        ({"type": "ack", "id": "{{$count}}"}, b'{"type":"ack","id":5.0}', None),
        ({"type": "ack", "id": "{{$count}}"}, b'{"type":"ack","id":true}', None),
        ({"type": "ack", "id": "{{$count}}"}, b'{"type":"ack"}', None),
        ({"1": "m{{$count}}", "3": "phx_reply"}, b'["1","m12","x","phx_reply",{}]', 12),
        ({"1": "m{{$count}}", "3": "phx_reply"}, b'["1","h12","x","phx_reply",{}]', None),
        ({"a": "{{$count}}", "b": "{{$count}}"}, b'{"a":1,"b":2}', None),
        ({"a": "{{$count}}", "b": "{{$count}}"}, b'{"a":2,"b":2}', 2),
        ({"ok": True}, b'{"ok":true}', 0),
        ("ok", b"ok", 0),
        ("ok", b"no", None),
    ],
)
def test_counted(pattern: Any, frame: bytes, count: int | None) -> None:
    """An acknowledgement would confirm another message, or none."""
    try:
        document = orjson.loads(frame)
    except orjson.JSONDecodeError:
        document = None
    parsed = parse_pattern(pattern)
    assert parsed.counted(frame, lambda path: path.find(document)) == count
