"""Write the beginning of a frame for a person to look at. Pure."""

from __future__ import annotations

from collections.abc import Callable


def excerpt(data: bytes, most: int, hide: Callable[[str], str] | None = None) -> str:
    """Write the beginning of a frame on one line, `most` characters of it.

    `hide` leaves secrets out. It is given the whole frame, for half of a secret is not found.
    """
    text = (data if hide else data[: 4 * (most + 1)]).decode("utf-8", "replace")
    text = (hide(text) if hide else text)[: most + 1]
    text = "".join(letter if letter.isprintable() else "·" for letter in text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
