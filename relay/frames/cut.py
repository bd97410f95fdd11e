"""Find the messages that stand in a frame, each byte for byte as it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from .path import Path, Step, parse_path

LINES = "lines"


@dataclass(frozen=True, slots=True)
class Cut:
    """Where messages stand; make one with `parse_cut`."""

    text: str
    lines: bool
    stages: tuple[tuple[Path | None, bool], ...] = ()
    """Where to go from what stands before, and whether each element there is meant."""
    decoders: tuple[msgspec.json.Decoder[Any], ...] = field(default=(), compare=False, repr=False)

    def messages(self, frame: bytes) -> list[bytes] | None:
        """Get the messages in a frame of valid JSON; None: they do not stand where they should.

        The frame itself is the message then: feeds send what confirms, greets or keeps alive
        beside their arrays.
        """
        if self.lines:
            lines = [line.removesuffix(b"\r") for line in frame.split(b"\n")]
            return [line for line in lines if line.strip()]
        found: Iterable[Any] = (frame,)
        for (path, each), decoder in zip(self.stages, self.decoders, strict=True):
            deeper: list[Any] = []
            for value in found:
                here = _enter(value, path, each, decoder)
                if here is None:
                    return None
                deeper += here
            found = deeper
        return list(map(bytes, found))


def parse_cut(text: str) -> Cut:
    """Read where messages stand: `lines`, `[]`, `data[]`, `events[].trades[]`, `data`.

    Raises ValueError with what is wrong.
    """
    if text == LINES:
        return Cut(text, True)
    if not text:
        raise ValueError("an empty path leads nowhere")
    parts = text.split("[]")
    stages: list[tuple[Path | None, bool]] = []
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if last and not part:
            break
        if at and not part.startswith(".") and (part or last):
            raise ValueError(f"{text!r}: behind [] comes a dot and a name, or nothing")
        name = part.removeprefix(".") if at else part
        if part and not name:
            raise ValueError(f"{text!r}: there is no name behind a dot")
        stages.append((parse_path(name) if name else None, not last))
    return Cut(text, False, tuple(stages), tuple(_decoder(*stage) for stage in stages))


def _decoder(path: Path | None, each: bool) -> msgspec.json.Decoder[Any]:
    """Make a decoder for the way to what is meant, which leaves it as it stands."""
    kind: Any = list[Raw] if each else Raw
    for step in reversed(path.steps if path else ()):
        if step.place is not None:
            kind = list[Raw]
            continue
        kind = msgspec.defstruct("Way", [("on", kind)], rename={"on": step.name}, gc=False)
    return msgspec.json.Decoder(kind)


def _enter(
    value: Any, path: Path | None, each: bool, decoder: msgspec.json.Decoder[Any]
) -> list[Any] | None:
    steps = path.steps if path else ()
    if all(step.place is None for step in steps):
        try:
            found = decoder.decode(value)
            for _ in steps:
                found = found.on
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            pass
        else:
            return found if each else [found]
    return _walk(value, steps, each)


def _walk(value: Any, steps: Iterable[Step], each: bool) -> list[Any] | None:
    """Go the way step by step; a string on it is read as JSON."""
    try:
        for step in steps:
            value = _opened(value)
            if step.place is not None and bytes(value).lstrip()[:1] == b"[":
                value = _LIST.decode(value)[step.place]
            else:
                value = _OBJECT.decode(value)[step.name]
        if not each:
            return [value]
        return _LIST.decode(_opened(value))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, LookupError):
        return None


def _opened(value: Any) -> Any:
    """Get the document in a string, or what is none as it is."""
    if bytes(value).lstrip()[:1] == b'"':
        return _STRING.decode(value).encode()
    return value


_LIST = msgspec.json.Decoder(list[Raw])
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_STRING = msgspec.json.Decoder(str)
