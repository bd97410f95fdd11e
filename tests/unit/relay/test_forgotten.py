"""What is kept of a feed that was forgotten."""

from __future__ import annotations

from relay.forgotten import NOTICED, Forgotten, pack, unpack

GONE = Forgotten(b"5-1", b"7-9", 4, 1000)


def test_it_is_read_as_it_was_written() -> None:
    """A feed of that name would begin elsewhere, or be left out for ever."""
    assert unpack(pack(GONE)) == GONE
    assert pack(Forgotten()) == b"0-0 0-0 1 0"


def test_it_is_kept_while_anything_is_left() -> None:
    """What is left of the feed would be taken for a new one's, or the name be kept for ever."""
    late = 1000 + NOTICED
    assert GONE.over(b"5-1", None, late)
    assert GONE.over(b"5-1", b"7-10", late)
    assert not GONE.over(b"5-0", None, late)
    assert not GONE.over(b"5-1", b"7-9", late)
    assert not GONE.over(b"6-0", None, late - 1)
