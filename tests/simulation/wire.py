"""What goes over the wire between a client and the stand-in for Redis: words, replies, errors."""

from __future__ import annotations

from typing import TypeAlias

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

Word: TypeAlias = str | bytes | int | float
"""One word of a command as a caller may give it."""


class Status(bytes):
    """Tell a status reply (`+OK`) from a string that says the same; Lua sees the difference."""


OK = Status(b"OK")

WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "ERR syntax error"
NOT_INTEGER = "ERR value is not an integer or out of range"
FULL = "OOM command not allowed when used memory > 'maxmemory'."

_KINDS: dict[str, type[ResponseError]] = {
    "ERR": ResponseError,
    "OOM": OutOfMemoryError,
    "NOSCRIPT": NoScriptError,
}


def error(text: str) -> ResponseError:
    """Make the exception that redis-py raises for an error reply.

    As in redis-py, a code that has a class of its own leaves the text and becomes `status_code`.
    """
    code, _, rest = text.partition(" ")
    kind = _KINDS.get(code)
    if kind is None:
        return ResponseError(text)
    return kind(rest, status_code=code)


def line(refusal: ResponseError) -> str:
    """Give an error back as the line that the server sent: the inverse of `error`."""
    code = refusal.status_code
    return f"{code} {refusal}" if code else str(refusal)


def encode(word: object) -> bytes:
    """Encode one word as redis-py does; raise TypeError for what it refuses too."""
    if isinstance(word, str):
        return word.encode()
    if isinstance(word, bytes):
        return bytes(word)
    if isinstance(word, int) and not isinstance(word, bool):
        return b"%d" % word
    if isinstance(word, float):
        return repr(word).encode()
    raise TypeError(f"not a word of a command: {word!r}")


def integer(word: bytes, refusal: str = NOT_INTEGER) -> int:
    """Read a signed 64-bit integer, as strictly as Redis: no blanks, plus or leading zeros."""
    digits = word[1:] if word[:1] == b"-" else word
    if digits.isdigit() and (digits[:1] != b"0" or word == b"0"):
        value = int(word)
        if -(1 << 63) <= value < 1 << 63:
            return value
    raise error(refusal)


def score(word: bytes, refusal: str = "ERR value is not a valid float") -> float:
    """Read a score; it may be infinite."""
    try:
        value = float(word)
    except ValueError:
        raise error(refusal) from None
    if value != value or b"_" in word or word != word.strip():
        raise error(refusal)
    return value


def key_count(words: list[bytes]) -> int:
    """Read how many of the words that follow are keys."""
    count = integer(words[2])
    if count > len(words) - 3:
        raise error("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise error("ERR Number of keys can't be negative")
    return count
