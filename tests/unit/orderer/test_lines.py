"""Which lines are connected, by what they say."""

from __future__ import annotations

from orderer.lines import SILENT, Lines
from relay.keys import ALIVE, CONNECTED, DISCONNECTED, PAUSED


def test_connects_and_disconnects() -> None:
    """Nobody would know who listens to a feed."""
    lines = Lines()
    lines.heard("a", b"1", CONNECTED)
    lines.heard("b", b"2", CONNECTED)
    assert lines.names == ["a", "b"]
    assert not lines.alone("a")
    lines.heard("b", b"2", DISCONNECTED)
    assert lines.names == ["a"]
    assert lines.alone("a")
    assert not lines.alone("b")


def test_an_older_connections_end_hides_no_newer_one() -> None:
    """A replaced ingestor's last words would end what its successor has begun."""
    lines = Lines()
    lines.heard("a", b"old", CONNECTED)
    lines.heard("a", b"new", CONNECTED)
    lines.heard("a", b"old", b"")
    lines.heard("a", b"old", DISCONNECTED)
    assert lines.names == ["a"]
    lines.heard("a", b"new", DISCONNECTED)
    assert lines.names == []


def test_whoever_speaks_is_connected() -> None:
    """A line whose beginning was trimmed would not be seen although it brings frames."""
    for event in (b"", ALIVE, PAUSED):
        lines = Lines()
        lines.heard("a", b"1", event)
        assert lines.names == ["a"]


def test_lines_of_a_former_process() -> None:
    """After a start, the end of a connection that was there before would not be believed."""
    lines = Lines(["a", "b"])
    lines.heard("a", b"1", DISCONNECTED)
    lines.heard("b", b"2", ALIVE)
    assert lines.names == ["b"]


def test_a_silent_line_is_not_shown() -> None:
    """A killed ingestor's line would be shown as connected for ever."""
    lines = Lines(["a"])
    lines.heard("b", b"2", CONNECTED)
    for _ in range(SILENT):
        lines.heard("b", b"2", ALIVE)
        assert lines.look() == ["a", "b"]
    lines.heard("b", b"2", ALIVE)
    assert lines.look() == ["b"]
    lines.heard("a", b"1", ALIVE)
    assert lines.look() == ["a", "b"]
