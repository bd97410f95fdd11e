"""The frames that everybody gets."""

from __future__ import annotations

import pytest

from broadcast.frames import frame


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_have_the_right_head(length: int) -> None:
    """Clients would take a message's bytes for its length."""
    made = frame(b"x" * length)
    start = 2 if length < 126 else 4 if length < 65_536 else 10
    assert made[0] == 0x81
    assert len(made) == start + length
    assert int.from_bytes(made[2:start], "big") in (0, length)
