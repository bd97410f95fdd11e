"""From what the server sends to lines for a terminal. Pure.

What others write is shown, never obeyed: control characters, which could move the cursor, set
the window's title or answer in the user's name, and direction overrides, which could make a text
read as another, appear as visible marks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

Line = list[tuple[str, str]]
"""A line in pieces of `(style, text)`; styles are names, plain text joins the second halves."""

COLOURS = 6
"""How many colours names are shown in: styles `name0`, `name1`, …"""

_CONTINUED = "      "
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = {"\u200c", "\u200d"}  # a part of many scripts, and of emoji
_TAG_CHARACTERS = range(0xE0000, 0xE0080)

ERRORS = {
    "too_long": "the message is too long",
    "rate": "too many messages at once",
    "unavailable": "the server cannot take messages right now",
    "slow_reader": "the last connection was cut, because it was read too slowly",
}
"""Refusals in words, where the server's own are not wanted."""

CLOSES = {
    1000: "the session has ended",
    1001: "the server goes away",
    1002: "the other side does not speak WebSocket correctly",
    1003: "the server does not take this kind of message",
    1006: "the connection broke",
    1007: "the text was not valid UTF-8",
    1008: "the server did not want this connection any longer",
    1009: "a message was too big",
    1011: "the server had an internal error, or we did not answer",
    1012: "the server restarts",
    1013: "the server cannot serve us now",
    4408: "there was no sign of life from us",
}
"""What close codes mean (RFC 6455, and the registry that it set up)."""


def visible(text: str, *, lines: bool = False) -> str:
    """Neutralise a text for a terminal; with `lines` it keeps its line breaks."""
    return "".join(
        character
        if character in _JOINERS
        or (lines and character == "\n")
        or (unicodedata.category(character) not in _HIDDEN)
        else _mark(character)
        for character in text.replace("\r\n", "\n")
    )


def _mark(character: str) -> str:
    code = ord(character)
    if character == "\t":
        return "    "
    if code < 0x20:
        return chr(0x2400 + code)  # the symbols ␀, ␁, … ␛
    if code == 0x7F:
        return "␡"
    if code in _TAG_CHARACTERS:
        return ""  # the flags of England, Scotland and Wales are written with them
    return f"<U+{code:04X}>"


def clock(time: object, zone: tzinfo | None = None) -> str:
    """Show a record's time as hours, minutes and seconds here, or in `zone`."""
    try:
        moment = datetime.fromisoformat(str(time))
    except ValueError:
        return "--:--:--"
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return f"{moment.astimezone(zone):%H:%M:%S}"


def record(entry: Mapping[str, Any], own: bool, zone: tzinfo | None = None) -> Line:
    """Lay out a record of the room."""
    said = visible(str(entry.get("message", "")), lines=True).replace("\n", "\n" + _CONTINUED)
    when = ("time", clock(entry.get("time"), zone) + " ")
    if entry.get("sender") == "server":
        return [when, ("notice", f"* {said}")]
    name = visible(str(entry.get("client_id")))
    style = "own" if own else f"name{_colour(name)}"
    return [when, (style, name), ("", f": {said}")]


def _colour(name: str) -> int:
    digits = "".join(filter(str.isdecimal, name))[-9:]
    return (int(digits) if digits else sum(map(ord, name))) % COLOURS


def notice(text: str) -> Line:
    """Lay out a remark of the client's own."""
    return [("notice", f"* {text}")]


def problem(text: str) -> Line:
    """Lay out bad news."""
    return [("problem", f"! {text}")]


def plain(line: Line) -> str:
    """Join a line's text."""
    return "".join(text for _, text in line)


def refusal(code: object, message: object) -> str:
    """Say why the server did not take something."""
    return ERRORS.get(str(code)) or visible(str(message or code or "no reason given"))


def close(code: int | None, reason: str = "") -> str:
    """Say why a connection ended."""
    told = visible(reason)
    meaning = CLOSES.get(code or 1006, f"code {code}")
    return f"{meaning} ({code}: {told})" if told else meaning


def people(online: object, clients: Iterable[object], own: str | None) -> str:
    """List who is in the room."""
    names = [visible(str(name)) + (" (you)" if name == own else "") for name in clients]
    return f"{online} here: {', '.join(names)}" if names else f"{online} here"


def duration(seconds: float) -> str:
    """Show a time span: `7 s`, `3 min 07 s`, `2 h 05 min`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
