"""What is written to whoever looks on."""

from __future__ import annotations

import unicodedata

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.output import escaped, visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain Привіт 🙂", "plain Привіт 🙂"),
        ("\x1b[2J\x1b]0;title\x07", "␛[2J␛]0;title␇"),
        ("\x9b31m", "<U+009B>31m"),
        ("a\u202egnp.exe\u202c", "a<U+202E>gnp.exe<U+202C>"),
        ("\u2066x\u2069", "<U+2066>x<U+2069>"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("tab\there", "tab    here"),
        ("\ud800", "<U+D800>"),
        ("\x7f\r\u2028", "␡␍<U+2028>"),
    ],
)
def test_controls_are_shown(raw: str, shown: str) -> None:
    """Somebody could write to another's terminal, or make a text read as another."""
    assert visible(raw) == shown


@given(st.text(alphabet=st.characters()))
def test_nothing_printed_controls_the_terminal(raw: str) -> None:
    """Some character would get through to the terminal and be obeyed."""
    shown = visible(raw)
    hidden = [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert not set(hidden) - {"\u200c", "\u200d"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_stays_what_it_is(raw: str) -> None:
    """Who searches a log would not find what a peer has written, or a terminal would obey it."""
    shown = escaped(orjson.dumps({"reason": raw}).decode())
    assert orjson.loads(shown) == {"reason": raw}
    hidden = [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert not set(hidden) - {"\u200c", "\u200d"}
