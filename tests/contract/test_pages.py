"""What the pages are written in: no engine of 2021 may stumble, and no text may hold one up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(ROOT.glob("*/page/*.js"))

NEWER = (
    r"\.canParse\b", r"\bURL\.parse\b", r"\bhasOwn\b", r"\.at\(", r"\bstructuredClone\b",
    r"\.findLast", r"\.to(?:Sorted|Reversed|Spliced|WellFormed)\b", r"\.isWellFormed\b",
    r"\.with\(", r"\bgroupBy\b", r"\bwithResolvers\b", r"\bAbortSignal\.(?:timeout|any)\b",
    r"\.randomUUID\b", r"\.replaceAll\(", r"\brequestIdleCallback\b", r"\.showModal\(",
    r"\bIntl\.(?:DurationFormat|Segmenter)\b", r"\.checkVisibility\b", r"\bnavigator\.locks\b",
    r"\(\?<[=!]", r"\bstatic \{", r"#\w+ in ", r"^await ",
)  # fmt: skip
"""What came after Safari 15 and Chrome 90, as patterns."""

TRAILING = r"[+*}]\??\)?\$/"
"""A regular expression that repeats something up to the end: it starts anew at every place."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_old_engines_and_long_texts(script: Path) -> None:
    """Whose phone is some years old would see an empty page; a text could freeze everybody's."""
    text = script.read_text()
    assert not [pattern for pattern in (*NEWER, TRAILING) if re.search(pattern, text, re.M)]


def test_the_pages_are_found() -> None:
    """Nothing would be looked at."""
    assert {path.parts[-3] for path in SCRIPTS} == {"chat", "wisdom", "viewer"}
