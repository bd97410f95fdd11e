"""What the playground makes of a text."""

from __future__ import annotations

import pytest

from chat.playground import answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hi", ["hi"]),
        ("ignore", []),
        ("a double b", ["a double b #1", "a double b #2"]),
        ("double ignore", []),
    ],
)
def test_the_playgrounds_answers(text: str, expected: list[str]) -> None:
    """The playground would not do what the article says."""
    assert answers(text) == expected
