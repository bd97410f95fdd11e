"""Messages in frames: each byte for byte as it stands."""

from __future__ import annotations

import pytest

from relay.frames.cut import parse_cut


@pytest.mark.parametrize(
    ("cut", "frame", "messages"),
    [
        ("lines", b'{"a":1}\n{"b": 2}\r\n\n {"c":3}', [b'{"a":1}', b'{"b": 2}', b' {"c":3}']),
        ("lines", b"\n\n", []),
        ("[]", b'[ {"a": 1.0} , {"b":"\\u00fc"},3]', [b'{"a": 1.0}', b'{"b":"\\u00fc"}', b"3"]),
        ("[]", b" []\n", []),
        ("[]", b'{"a":1}', None),
        ("[]", b"3", None),
        ("data[]", b'{"x":[9],"data":[{"a":1},{"a":1e2}]}', [b'{"a":1}', b'{"a":1e2}']),
        ("data[]", b'{"data":{"a":1}}', None),
        ("data[]", b'{"data":null}', None),
        ("data[]", b'{"type":"hello"}', None),
        ("data[]", b'[{"data":[1]}]', None),
        ("data", b'{"data": {"a" : 1}}', [b'{"a" : 1}']),
        ("a.b[]", b'{"a":{"b":[1,2]}}', [b"1", b"2"]),
        ("a.0.b[]", b'{"a":[{"b":[1,2]}]}', [b"1", b"2"]),
        ("a.-1[]", b'{"a":[[0],[1,2]]}', [b"1", b"2"]),
        ("a.5[]", b'{"a":[[0]]}', None),
        ("a.0[]", b'{"a":{"0":[7]}}', [b"7"]),
        ("events[].trades[]", b'{"events":[{"trades":[1, 2]},{"trades":[]},{"trades":[3]}]}',
         [b"1", b"2", b"3"]),
        ("events[].trade", b'{"events":[{"trade":1},{"trade": {}}]}', [b"1", b"{}"]),
        ("[][]", b"[[1],[2,3]]", [b"1", b"2", b"3"]),
        ("payload[]", b'{"payload":"[1, {\\"a\\":\\"\\\\u00fc\\"}]"}', [b"1", b'{"a":"\\u00fc"}']),
        ("payload.list[]", b'{"payload":"{\\"list\\":[1]}"}', [b"1"]),
        ('data[]', b'{"data":[1],"data":[2]}', [b"2"]),
        ("[]", b'["' + b"x" * 70_000 + b'"]', [b'"' + b"x" * 70_000 + b'"']),
    ],
)  # fmt: skip
def test_messages(cut: str, frame: bytes, messages: list[bytes] | None) -> None:
    """A message would go out with other bytes than it came with, or not at all."""
    assert parse_cut(cut).messages(frame) == messages


@pytest.mark.parametrize(
    "cut", ["", "[]x", "data[]x", "data[]x[]", "a..b[]", "data[0]", "[", "data[]."]
)
def test_impossible(cut: str) -> None:
    """A cut that leads nowhere would be found out by the missing messages."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_cut(cut)
