"""What comes in that is no message, one example of each shape. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from relay.excerpt import excerpt

SHAPES = 8
"""Shapes of a feed that are told apart; the rest are counted together."""

SHOWN = 80
"""Characters of an example."""

LOOKED_INTO = 256 * 1024
"""Bytes of a frame that is looked into; a larger one is known by its reason only."""

_KINDS = {
    list: "array", str: "string", int: "number", float: "number", bool: "true or false",
    type(None): "null",
}  # fmt: skip


class Shapes:
    """The shapes of rejected frames: of each its reason, its place, how many, and an example."""

    def __init__(self) -> None:
        self.rest = 0
        """Frames of further shapes."""
        self._counts: dict[tuple[str, str, str | int], int] = {}
        self._examples: dict[tuple[str, str, str | int], str] = {}

    def note(self, reason: str, where: str, frame: bytes) -> None:
        """Note a frame that was rejected for a reason, which may have a place."""
        shape = (reason, where, _shape(frame))
        if shape in self._counts:
            self._counts[shape] += 1
        elif len(self._counts) < SHAPES:
            self._counts[shape] = 1
            self._examples[shape] = excerpt(frame, SHOWN)
        else:
            self.rest += 1

    def told(self) -> list[dict[str, Any]]:
        """List them, as `status` has it: what comes most first."""
        counts = sorted(self._counts.items(), key=lambda counted: -counted[1])
        return [
            {
                "reason": shape[0], **({"where": shape[1]} if shape[1] else {}),
                "count": count, "frame": self._examples[shape],
            }
            for shape, count in counts
        ]  # fmt: skip


def _shape(frame: bytes) -> str | int:
    """Tell frames apart: by the names in an object, in any order, or by the kind of value.

    The names themselves are not kept: there may be any number of them.
    """
    if len(frame) > LOOKED_INTO:
        return "large"
    try:
        value = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return "not JSON"
    return hash(frozenset(value)) if isinstance(value, dict) else _KINDS[type(value)]
