"""Compressed frames: unpacked up to a size, and no further."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest

from relay.frames.inflate import FORMATS, Unreadable, inflate

LARGEST = 100_000


def bare(data: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(data) + packing.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "zlib": zlib.compress, "deflate": bare,
}  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("data", [b'{"id":1}', b"", b"x" * LARGEST, "ü".encode() * 1000])
def test_packed(format: str, data: bytes) -> None:
    """A compressed feed would have no messages."""
    assert inflate(PACK[format](data), format, LARGEST) == data


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("data", [b'{"id":1}', b"[1]", b"pong", b'{\n"id":1}\n'])
def test_not_packed(format: str, data: bytes) -> None:
    """A pong in plain text between compressed frames would be an error."""
    assert inflate(data, format, LARGEST) == data


@pytest.mark.parametrize("format", FORMATS)
def test_bombs(format: str) -> None:
    """A small frame would fill the memory."""
    for size in (LARGEST + 1, 50_000_000):
        with pytest.raises(Unreadable, match="oversized"):
            inflate(PACK[format](b"\0" * size), format, LARGEST)


def test_bombs_of_many_members() -> None:
    """A chain of small members would fill the memory."""
    with pytest.raises(Unreadable, match="oversized"):
        inflate(gzip.compress(b"\0" * 60_000) * 100, "gzip", LARGEST)
    assert inflate(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", LARGEST) == b"ab"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[:-1], lambda data: data + b"\xff", lambda data: data[:5], lambda _: b"\xff"],
)
def test_broken(format: str, spoil: Callable[[bytes], bytes]) -> None:
    """Half a message would be taken for one."""
    with pytest.raises(Unreadable, match="compressed"):
        inflate(spoil(PACK[format](b'{"id":1,"text":"hello hello hello"}')), format, LARGEST)


def test_flushed_but_not_ended() -> None:
    """A server that keeps its stream open would send nothing that can be read."""
    packing = zlib.compressobj(wbits=-15)
    frame = packing.compress(b'{"id":1}') + packing.flush(zlib.Z_SYNC_FLUSH)
    assert inflate(frame, "deflate", LARGEST) == b'{"id":1}'
