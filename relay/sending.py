"""What is sent to an endpoint for a message, and what confirms it there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .feedfile import Endpoint
from .frames.inflate import Unreadable
from .frames.path import MISSING, Path
from .frames.shape import Shape
from .frames.template import Values


class Sending:
    """Wraps messages as an endpoint wants them, and reads its acknowledgements."""

    def __init__(self, words: Endpoint) -> None:
        self.secrets: Mapping[str, str] = {}
        """What the credentials command has printed last."""
        self._message = words.message
        self._ack = words.ack
        self._shape = Shape([want.path for want in words.ack.wants] if words.ack else [])

    @property
    def acknowledged(self) -> bool:
        """Whether messages are confirmed by frames, not by pongs."""
        return self._ack is not None

    @property
    def counts(self) -> bool:
        """Whether a message that is sent uses up a count of the connection."""
        return self._message is not None and self._message.counts

    def wrap(self, message: bytes, count: int, wall: int) -> bytes:
        """Make the frame for a message; `wall` is milliseconds since 1970."""
        if self._message is None:
            return message
        text = self._message.render(
            Values(count=count, now=wall, message=message, secrets=self.secrets)
        )
        return (text or "").encode()

    def confirmed(self, frame: bytes) -> list[int]:
        """List the counts that a frame confirms; 0: the oldest message that is not confirmed.

        A server may put several answers into one frame, a line each.
        """
        if self._ack is None:
            return []
        try:
            frame.decode()
        except UnicodeDecodeError:
            return []
        found = self._counted(frame)
        if found is not None:
            return [found]
        if b"\n" not in frame.strip():
            return []
        counts = [self._counted(line) for line in frame.splitlines() if line.strip()]
        return [count for count in counts if count is not None]

    def _counted(self, piece: bytes) -> int | None:
        try:
            values = self._shape.pick(piece)
        except Unreadable:
            values = ()
        at = self._shape.at

        def find(path: Path) -> Any:
            return values[at[path]] if values else MISSING

        return self._ack.counted(piece, find) if self._ack else None
