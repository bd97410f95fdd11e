"""Unpack compressed frames, up to a size. Pure."""

from __future__ import annotations

import zlib

FORMATS = ("gzip", "zlib", "deflate")
"""What `decompress` can say; `deflate` is the bare stream, which names neither size nor check."""

_BITS = {"gzip": 31, "zlib": 15, "deflate": -15}


class Unreadable(Exception):
    """A frame that cannot be unpacked; `reason` says why in a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def inflate(frame: bytes, format: str, largest: int) -> bytes:
    """Unpack a frame; raises Unreadable `oversized` above `largest` bytes, else `compressed`.

    A frame that is not compressed is taken as it is: feeds send greetings and pongs so. No more
    than `largest` bytes and one are unpacked, whatever a frame claims.
    """
    bits, rest, size = _BITS[format], frame, 0
    pieces: list[bytes] = []
    while True:
        unpacking = zlib.decompressobj(bits)
        try:
            piece = unpacking.decompress(rest, largest + 1 - size)
        except zlib.error:
            if pieces or not _is_text(frame):
                raise Unreadable("compressed") from None
            return frame
        size += len(piece)
        if size > largest:
            raise Unreadable("oversized")
        if not unpacking.eof:
            if not pieces and _is_text(frame):
                return frame
            # A stream that was flushed, not ended, is whole all the same if nothing waits.
            if unpacking.unconsumed_tail or not _flushed(frame):
                raise Unreadable("compressed")
        pieces.append(piece)
        rest = unpacking.unused_data
        if not rest or format != "gzip":
            break
    if rest:
        raise Unreadable("compressed")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _is_text(frame: bytes) -> bool:
    """Tell whether a frame is readable as it is."""
    try:
        return frame.decode().isprintable() or frame.lstrip()[:1] in (b"{", b"[")
    except UnicodeDecodeError:
        return False


def _flushed(frame: bytes) -> bool:
    """Tell whether a stream ends with an empty block, as Z_SYNC_FLUSH leaves it."""
    return frame.endswith(b"\x00\x00\xff\xff")
