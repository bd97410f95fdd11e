"""What frames are recognised by: a whole text, or values that stand at paths. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .path import MISSING, Path, parse_path

ANYTHING = "*"
"""Fits every value but null, and as a whole pattern every frame."""

COUNT = "{{$count}}"
"""In the pattern of an acknowledgement: the number of the message that it confirms."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, repr=False)
class Want:
    """What must stand at a path."""

    path: Path
    value: Scalar
    source: Scalar
    """The value as the file has it, to be shown."""

    def __repr__(self) -> str:
        return f"Want({self.path.text!r}, {self.source!r})"

    def fits(self, value: Any) -> bool:
        """Tell whether a value is the wanted one; 1, true and "1" are three things."""
        if self.value == ANYTHING:
            return value is not MISSING and value is not None
        if isinstance(self.value, str | bool):
            return type(value) is type(self.value) and bool(value == self.value)
        return type(value) in (int, float) and bool(value == self.value)

    def counted(self, value: Any) -> int | None:
        """Get the count out of a value that fits, 0 if none is asked for; None: it does not fit."""
        if not isinstance(self.value, str) or COUNT not in self.value:
            return 0 if self.fits(value) else None
        if type(value) not in (int, str):
            return None
        before, _, after = self.value.partition(COUNT)
        found = re.fullmatch(
            f"{re.escape(before)}([0-9]{{1,18}}){re.escape(after)}", str(value), re.ASCII
        )
        return int(found[1]) if found else None


@dataclass(frozen=True, slots=True, repr=False)
class Pattern:
    """A parsed pattern; make one with `parse_pattern`."""

    text: str | None
    """The whole frame, without the space around it; None: `wants` decide."""
    wants: tuple[Want, ...] = ()
    source: str = ""
    """The text as the file has it, to be shown."""

    def __repr__(self) -> str:
        return f"Pattern({self.shown})"

    def fits(self, frame: bytes, find: Callable[[Path], Any]) -> bool:
        """Tell whether a frame fits; `find` gets what stands at a path in it."""
        if self.text is None:
            return all(want.fits(find(want.path)) for want in self.wants)
        return self.text == ANYTHING or frame.strip() == self.text.encode()

    def counted(self, frame: bytes, find: Callable[[Path], Any]) -> int | None:
        """Get the count that a fitting frame names, 0 if it names none; None: it does not fit."""
        if self.text is not None:
            return 0 if self.fits(frame, find) else None
        counts = {want.counted(find(want.path)) for want in self.wants}
        if None in counts:
            return None
        counts.discard(0)
        # Two counts in one frame contradict each other.
        return None if len(counts) > 1 else (counts.pop() if counts else 0)

    @property
    def revealed(self) -> list[str]:
        """List what it wants that the file does not say, since a `${NAME}` stands there."""
        whole = [self.text] if self.text is not None and self.text != self.source else []
        parts = [want.value for want in self.wants if want.value != want.source]
        return [*whole, *[part for part in parts if isinstance(part, str)]]

    @property
    def shown(self) -> str:
        """Write the pattern as it stands in the file, roughly."""
        if self.text is not None:
            return repr(self.source)
        inner = ", ".join(f"{want.path.text} = {want.source!r}" for want in self.wants)
        return f"{{ {inner} }}"


def parse_pattern(value: Any, reveal: Callable[[str], str] = str) -> Pattern:
    """Read a pattern as TOML has it: a text, or a table of paths and what must stand there.

    `reveal` puts in what `${NAME}` stands for, and raises ValueError if it cannot.
    Raises ValueError with what is wrong, as it completes "`ignore`: …".
    """
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("an empty text fits no frame")
        return Pattern(reveal(value).strip(), (), value.strip())
    if not isinstance(value, Mapping):
        raise ValueError(f"{_shown(value)} is no pattern: neither a text nor a table")
    wants: dict[str, Want] = {}
    _collect(value, "", wants, reveal)
    if not wants:
        raise ValueError("an empty table fits every frame")
    return Pattern(None, tuple(wants.values()))


def _collect(
    table: Mapping[str, Any], above: str, wants: dict[str, Want], reveal: Callable[[str], str]
) -> None:
    """Read the paths of a table; `{ a.b = 1 }` is a table in a table to TOML."""
    for name, value in table.items():
        text = f"{above}.{name}" if above else name
        if isinstance(value, Mapping):
            if not value:
                raise ValueError(f"nothing is said about {text!r}")
            _collect(value, text, wants, reveal)
            continue
        if not isinstance(value, str | int | float):
            raise ValueError(f"at {text!r} stands {_shown(value)}, which is no text and no number")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"at {text!r} stands {value}, which JSON has not")
        if text in wants:
            raise ValueError(f"{text!r} stands there twice")
        revealed = reveal(value) if isinstance(value, str) else value
        wants[text] = Want(parse_path(text), revealed, value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
