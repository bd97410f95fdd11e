"""What comes out, and what it says about the input."""

from __future__ import annotations

import pytest

from orderer.reorder.outputs import END, Origin, Place

ORIGIN = Origin(
    Place(b"20-0", 3), frozenset({Place(b"9-5", 1), Place(b"20-0", 0), Place(b"20-0", 3)})
)


@pytest.mark.parametrize(
    ("entry", "places", "begun"),
    [
        (b"9-4", [], False),
        (b"9-5", [1], False),
        (b"10-0", [], False),
        (b"20-0", [0, 3, 4, 5], True),
        (b"20-1", [0, 1, 2, 3, 4, 5], True),
        (b"100-0", [0, 1, 2, 3, 4, 5], True),
    ],
)
def test_origin(entry: bytes, places: list[int], begun: bool) -> None:
    """Frames of the old numbering would be read again as the new one's, or its own left out."""
    assert list(ORIGIN.places(entry, 6)) == places
    assert ORIGIN.precedes(entry) == begun


def test_origin_at_the_end_of_an_entry() -> None:
    """A numbering that is found after an entry's frames would claim them all."""
    origin = Origin(Place(b"2-0", END), frozenset({Place(b"2-0", 1)}))
    assert list(origin.places(b"2-0", 1000)) == [1]
