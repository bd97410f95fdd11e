"""Frames with and without a usable sequence number."""

from __future__ import annotations

import pytest

from relay.messages import LARGEST, REASONS, Rejected, sequence_number


@pytest.mark.parametrize(
    ("frame", "seq"),
    [
        (b'{"id": 0}', 0),
        (b'{"id": 1, "text": 1}', 1),
        (b' {"text": "\xd0\xb2\xd0\xbe\xd0\xbb\xd0\xba", "id":12}\r\n', 12),
        (b'{"id": %d}' % LARGEST, LARGEST),
        (b'{"big": 123456789012345678901234567890, "id": 7}', 7),
        (b'{"i\\u0064": 7}', 7),
        (b'{"id": 1, "id": 2}', 2),
        (b'{"id": 3, "deep": ' + b"[" * 1000 + b"]" * 1000 + b"}", 3),
    ],
)
def test_accepted(frame: bytes, seq: int) -> None:
    """A frame with a good id would be rejected, or take another's place."""
    assert sequence_number(frame, "id") == seq


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        # not JSON
        (b"", "json"),
        (b"hello", "json"),
        (b'{"id": 1', "json"),
        (b'{"id": 1} {"id": 2}', "json"),
        (b'{"id": 01}', "json"),
        (b'{"id": +1}', "json"),
        (b"{'id': 1}", "json"),
        (b'{"id": NaN}', "json"),
        (b'{"id": Infinity}', "json"),
        (b'{"id": 1e400}', "json"),
        (b'{"id": 1, "text": "\xff"}', "json"),
        (b'\xef\xbb\xbf{"id": 1}', "json"),
        (b'{"id": 1, "text": "\\ud800"}', "json"),
        (b'{"id": 1}\x00', "json"),
        (b"\x00\x01\x02", "json"),
        (b"[" * 100_000, "json"),
        (b'{"id":' * 2000 + b"1" + b"}" * 2000, "json"),
        # no object
        (b"1", "object"),
        (b"null", "object"),
        (b"true", "object"),
        (b'"id"', "object"),
        (b'[{"id": 1}]', "object"),
        (b"[" * 500 + b"]" * 500, "object"),
        # no such field
        (b"{}", "missing"),
        (b'{"ID": 1}', "missing"),
        (b'{"text": {"id": 1}}', "missing"),
        # no integer
        (b'{"id": null}', "type"),
        (b'{"id": true}', "type"),
        (b'{"id": false}', "type"),
        (b'{"id": "1"}', "type"),
        (b'{"id": 1.0}', "type"),
        (b'{"id": 1e3}', "type"),
        (b'{"id": -0.0}', "type"),
        (b'{"id": [1]}', "type"),
        (b'{"id": {"id": 1}}', "type"),
        (b'{"id": 1, "id": "1"}', "type"),
        (b'{"id": %d}' % 2**64, "type"),
        (b'{"id": %d}' % (-(2**63) - 1), "type"),
        # out of range
        (b'{"id": -1}', "range"),
        (b'{"id": %d}' % -(2**63), "range"),
        (b'{"id": %d}' % 2**63, "range"),
        (b'{"id": %d}' % (2**64 - 1), "range"),
    ],
)
def test_rejected(frame: bytes, reason: str) -> None:
    """A bad frame would be given an id, end the orderer, or be counted under a wrong reason."""
    with pytest.raises(Rejected) as rejected:
        sequence_number(frame, "id")
    assert rejected.value.reason == reason
    assert reason in REASONS


def test_other_field() -> None:
    """The setting for the id's field would be ignored."""
    assert sequence_number(b'{"seq": 5, "id": "x"}', "seq") == 5
    with pytest.raises(Rejected, match="missing"):
        sequence_number(b'{"id": 5}', "seq")
