"""The quotes: read them from a file, draw the next one."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Collection, Sequence
from importlib import resources
from itertools import islice

from chassis import clock

BUILT_IN = "built-in"
"""The value of the setting that stands for the package's own file."""

MAX_LENGTH = 1000
"""Characters of a quote at most."""

MAX_QUOTES = 100_000
"""Quotes in a file at most."""

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of a file at most; no more of it is read."""

_BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def load(value: str) -> tuple[str, ...]:
    """Read the quotes that the setting names: `built-in`, or a file's path.

    The file is UTF-8 with one quote a line; blank lines and those that begin with `#` are passed
    over, and so is what has come before. Raises ValueError with a message that completes
    "WISDOM_QUOTES: ...".
    """
    if value == BUILT_IN:
        data = resources.files(__package__).joinpath("quotes.txt").read_bytes()
        return _parse(data, "quotes.txt")
    try:
        # Without waiting: to open a pipe would otherwise last until somebody writes into it.
        with open(value, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{value!r} is no regular file")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{value!r} cannot be read ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"{value!r} is larger than {MAX_BYTES // 1024 // 1024} MiB")
    return _parse(data, value)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _parse(data: bytes, name: str) -> tuple[str, ...]:
    quotes: dict[str, None] = {}
    for number, line in enumerate(io.BytesIO(data.removeprefix(_BOM)), 1):
        where = f"{name!r}, line {number}"
        try:
            quote = line.rstrip(b"\r\n").decode().strip(" \t\xa0")
        except UnicodeDecodeError:
            raise ValueError(f"{where}: this is not UTF-8") from None
        if not quote or quote.startswith("#"):
            continue
        if control := _CONTROL.search(quote):
            raise ValueError(f"{where}: control character U+{ord(control[0]):04X}")
        if len(quote) > MAX_LENGTH:
            raise ValueError(f"{where}: the quote is longer than {MAX_LENGTH} characters")
        quotes[quote] = None
        if len(quotes) > MAX_QUOTES:
            raise ValueError(f"{where}: there are more than {MAX_QUOTES} quotes")
    if not quotes:
        raise ValueError(f"{name!r} has no quotes in it")
    return tuple(quotes)


def draw(quotes: Sequence[str], recent: Collection[str], dice: clock.Dice) -> str:
    """Draw a quote at random, but none of the latest ones: half as many as there are.

    `quotes` are distinct, as `load` returns them; `recent` is the newest first.
    """
    stale = set(islice(recent, len(quotes) // 2))
    return dice.choice([quote for quote in quotes if quote not in stale])
