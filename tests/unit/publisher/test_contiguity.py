"""What does not follow is an alarm, whatever ids were given up."""

from __future__ import annotations

from publisher.contiguity import Contiguity
from relay.ordered import Span


def test_what_follows_and_what_does_not() -> None:
    """A hole would go out without a word, or every gap that was given up be taken for one."""
    contiguity = Contiguity(10)
    assert contiguity.missing(Span(1, 11, 20, 20)) == 0
    assert contiguity.missing(Span(1, 31, 31, 21)) == 0  # ten ids were given up
    assert contiguity.missing(Span(1, 35, 36, 26)) == 3
    assert contiguity.missing(Span(1, 35, 36, 26)) == 0  # read again
    assert contiguity.missing(Span(2, 1, 2, 28)) == 0
    assert contiguity.missing(Span(2, 4, 4, 30)) == 1


def test_where_nobody_has_counted() -> None:
    """What an earlier version has put out, or a new endpoint gets first, would be an alarm."""
    contiguity = Contiguity(None)
    assert contiguity.missing(Span(1, 50, 60, None)) == 0
    assert contiguity.missing(Span(1, 61, 61, 1)) == 0
    assert contiguity.missing(Span(1, 63, 63, 3)) == 1
    assert Contiguity(7).missing(Span(1, 50, 60, None)) == 0
