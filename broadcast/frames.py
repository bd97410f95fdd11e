"""A server's WebSocket frames as bytes, made once for everybody (RFC 6455, section 5.2)."""

from __future__ import annotations

TEXT = 0x81
BINARY = 0x82
"""First bytes of whole, unfragmented frames."""


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Make the frame that carries `payload`; a server does not mask."""
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 1 << 16:
        return bytes((opcode, 126)) + length.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + length.to_bytes(8, "big") + payload
