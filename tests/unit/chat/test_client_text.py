"""What the terminal client prints."""

from __future__ import annotations

import unicodedata
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.client import text
from chat.client.link import address


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
    assert text.visible(raw) == shown


@given(st.text(alphabet=st.characters()))
def test_nothing_printed_controls_the_terminal(raw: str) -> None:
    """Some character would get through to the terminal and be obeyed."""
    shown = text.visible(raw)
    hidden = [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert not set(hidden) - {"\u200c", "\u200d"}


def test_a_record_is_a_line() -> None:
    """Who said what, and when, could not be read."""
    entry = {
        "time": "2026-01-02T03:04:05.678+00:00",
        "client_id": "Client_3",
        "message": "hello",
        "sender": "client",
    }
    assert text.plain(text.record(entry, own=False, zone=UTC)) == "03:04:05 Client_3: hello"
    event = {**entry, "sender": "server", "message": "back soon"}
    assert text.plain(text.record(event, own=False, zone=UTC)) == "03:04:05 * back soon"


def test_a_line_break_cannot_pass_for_another_message() -> None:
    """Somebody could put words into another's mouth."""
    entry = {"time": "x", "client_id": "Client_3", "message": "hi\n12:00:00 Client_1: I agree"}
    first, second = text.plain(text.record(entry, own=False)).split("\n")
    assert first == "--:--:-- Client_3: hi"
    assert second.startswith("      12:00:00")


def test_closes_are_told_in_words() -> None:
    """A user would have to look up numbers."""
    assert text.close(1012) == "the server restarts"
    assert text.close(1008, "too slow") == (
        "the server did not want this connection any longer (1008: too slow)"
    )
    assert text.close(4999) == "code 4999"
    assert text.close(None) == "the connection broke"


@pytest.mark.parametrize(
    ("given_url", "full"),
    [
        ("example.org", "ws://example.org/"),
        ("127.0.0.1:4000", "ws://127.0.0.1:4000/"),
        ("https://example.org/chat?x=1", "wss://example.org/chat?x=1"),
        ("ws://[::1]:4000/playground", "ws://[::1]:4000/playground"),
    ],
)
def test_addresses_are_completed(given_url: str, full: str) -> None:
    """A user would have to type what can be guessed."""
    assert address(given_url) == full


@pytest.mark.parametrize("wrong", ["ftp://example.org", "ws://", "ws://host:port"])
def test_wrong_addresses_are_refused(wrong: str) -> None:
    """A user would see a traceback, or wait for ever."""
    with pytest.raises(ValueError, match=r"."):
        address(wrong)
