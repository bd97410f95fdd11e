"""What the stand-in for Redis says of its memory."""

from __future__ import annotations

LIMIT = 1 << 30
"""Bytes that it may use."""


def info(words: list[bytes]) -> bytes:
    """Answer INFO memory: there is plenty, also when writes are refused.

    Where it is short, what is delivered is dropped; but the judge looks at all of it in the end.
    """
    if [word.lower() for word in words[1:]] != [b"memory"]:
        raise NotImplementedError(words)
    return b"# Memory\r\nused_memory:%d\r\nmaxmemory:%d\r\n" % (LIMIT // 100, LIMIT)


def usage(exists: bool, words: list[bytes]) -> int | None:
    """Answer MEMORY USAGE: every key is as large."""
    if words[1].upper() != b"USAGE" or words[3:] not in ([], [b"SAMPLES", b"0"]):
        raise NotImplementedError(words)
    return 100 if exists else None
