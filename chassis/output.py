"""What is written to whoever looks on.

What others wrote is shown, never obeyed: control characters, which could move the cursor, set the
window's title or answer in the user's name, and direction overrides, which could make a text
read as another, appear as visible marks.
"""

from __future__ import annotations

import io
import sys
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = {"\u200c", "\u200d"}  # a part of many scripts, and of emoji
_TAG_CHARACTERS = range(0xE0000, 0xE0080)


def forgive() -> None:
    """Have a `?` stand for what the output's encoding does not know, instead of failing there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def visible(text: str, *, lines: bool = False) -> str:
    """Neutralise a text for a terminal; with `lines` it keeps its line breaks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if _harmless(character) or (lines and character == "\n") else _mark(character)
        for character in text.replace("\r\n", "\n")
    )


def escaped(json: str) -> str:
    """Neutralise JSON text, which stays what it is."""
    if json.isascii():
        return json
    return "".join(
        character if _harmless(character) or character == "\n" else _escape(character)
        for character in json
    )


def _harmless(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _HIDDEN


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


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
