"""From what the server sends to lines for a terminal, on which nothing of it is obeyed. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from chassis.output import visible

Line = list[tuple[str, str]]
"""A line in pieces of `(style, text)`; styles are names, plain text joins the second halves."""

COLOURS = 6
"""How many colours names are shown in: styles `name0`, `name1`, …"""

LONGEST = 65_536
"""Characters of one text that are shown; the server's own messages are shorter."""

_CONTINUED = "      "

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


def shown(value: object, *, lines: bool = False) -> str:
    """Neutralise what a server sent where a text belongs, whatever that is."""
    match value:
        case str():
            cut = value[:LONGEST] + "…" if len(value) > LONGEST else value
            return visible(cut, lines=lines)
        case None:
            return ""
        case dict() | list():  # may be too deep to be written down
            return "…"
        case _:
            return visible(str(value))


def clock(time: object, zone: tzinfo | None = None) -> str:
    """Show a record's time as hours, minutes and seconds here, or in `zone`."""
    try:
        moment = datetime.fromisoformat(shown(time))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return f"{moment.astimezone(zone):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # no time, or one that no zone here knows
        return "--:--:--"


def record(entry: Mapping[str, Any], own: bool, zone: tzinfo | None = None) -> Line:
    """Lay out a record of the room."""
    said = shown(entry.get("message"), lines=True).replace("\n", "\n" + _CONTINUED)
    when = ("time", clock(entry.get("time"), zone) + " ")
    if entry.get("sender") == "server":
        return [when, ("notice", f"* {said}")]
    name = shown(entry.get("client_id"))
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


def wrapped(line: Line, width: int) -> Line:
    """Break a line where a terminal of `width` columns would.

    A terminal's own second row begins where the next message does, and could be taken for one.
    """
    if width <= 2 * len(_CONTINUED):
        return line
    pieces: Line = []
    column = 0
    for style, words in line:
        made: list[str] = []
        for character in words:
            if character == "\n":
                column = 0
            else:
                wide = columns(character)
                if column + wide > width:
                    made.append("\n" + _CONTINUED)
                    column = len(_CONTINUED)
                column += wide
            made.append(character)
        pieces.append((style, "".join(made)))
    return pieces


def columns(character: str) -> int:
    """Tell how many columns a character takes on a terminal."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def refusal(code: object, message: object) -> str:
    """Say why the server did not take something."""
    said = shown(code)
    return ERRORS.get(said) or shown(message) or said or "no reason given"


def close(code: int | None, reason: str = "") -> str:
    """Say why a connection ended."""
    told = visible(reason)
    meaning = CLOSES.get(code or 1006, f"code {code}")
    return f"{meaning} ({code}: {told})" if told else meaning


def people(online: object, clients: Iterable[object], own: str | None) -> str:
    """List who is in the room."""
    names = [shown(name) + (" (you)" if name == own else "") for name in clients]
    return f"{shown(online)} here: {', '.join(names)}" if names else f"{shown(online)} here"


def duration(seconds: float) -> str:
    """Show a time span: `7 s`, `3 min 07 s`, `2 h 05 min`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
