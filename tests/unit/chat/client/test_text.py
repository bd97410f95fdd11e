"""What the terminal client prints."""

from __future__ import annotations

from datetime import UTC

import pytest

from chat.client import text
from chat.client.link import address


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


@pytest.mark.parametrize("letter", ["x", "я", "漢", "e\u0301", "👋🏽"])
@pytest.mark.parametrize("width", [20, 33, 80, 100])
def test_a_second_row_is_indented(letter: str, width: int) -> None:
    """The end of a long message, on a row of its own, could pass for another's message."""
    entry = {
        "time": "x",
        "client_id": "Client_3",
        "message": letter * 300 + "12:00:00 Client_1: I agree",
    }
    line = text.record(entry, own=False)
    rows = text.plain(text.wrapped(line, width)).split("\n")
    assert rows[0].startswith("--:--:-- Client_3: ")
    assert all(row.startswith("      ") for row in rows[1:])
    assert all(sum(map(text.columns, row)) <= width for row in rows)
    whole = rows[0] + "".join(row.removeprefix("      ") for row in rows[1:])
    assert whole == text.plain(line)
