"""Where a value stands in a JSON document: names and places with dots between. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

MISSING = msgspec.UNSET
"""Stands for a value that is not there; what JSON calls null is None."""

LONGEST = 200
"""Characters of a path."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: into an object by its name, into an array by its place."""

    name: str
    place: int | None = None
    """The name as a place, if it is a number; -1 is the last."""


@dataclass(frozen=True, slots=True, repr=False)
class Path:
    """A parsed path; make one with `parse_path`."""

    text: str
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        return f"Path({self.text!r})"

    def find(self, document: Any) -> Any:
        """Get the value in a decoded document, MISSING if there is none.

        A string on the way is read as JSON: some feeds put a document into a string.
        """
        for step in self.steps:
            if type(document) is str:
                try:
                    document = orjson.loads(document)
                except orjson.JSONDecodeError:
                    return MISSING
            if type(document) is dict:
                document = document.get(step.name, MISSING)
            elif type(document) is list and step.place is not None:
                try:
                    document = document[step.place]
                except IndexError:
                    return MISSING
            else:
                return MISSING
        return document


def parse_path(text: str) -> Path:
    r"""Read a path such as `data.0.seqId`; `\.` is a dot that belongs to a name.

    Raises ValueError with what is wrong, as it completes "`id`: …".
    """
    if not text:
        raise ValueError("an empty path leads nowhere")
    if len(text) > LONGEST:
        raise ValueError(f"a path of more than {LONGEST} characters")
    if text.startswith("$."):
        raise ValueError(f"{text!r}: a path begins with a name; write {text[2:]!r}")
    if "[" in text or "]" in text:
        dotted = re.sub(r"\[(-?\d+)\]", r".\1", text).lstrip(".")
        hint = f"; write {dotted!r}" if not re.search(r"[][]", dotted) else ""
        raise ValueError(f"{text!r}: places in arrays are written with dots{hint}")
    if "${" in text or "{{" in text:
        raise ValueError(f"{text!r}: a path is fixed, it takes no ${{…}} and no {{{{…}}}}")
    steps = []
    for name in re.split(r"(?<!\\)\.", text):
        if not name.strip() or name != name.strip():
            raise ValueError(f"{text!r}: there is no name between two dots, or a space at its end")
        name = name.replace("\\.", ".")
        steps.append(Step(name, int(name) if re.fullmatch(r"-?[0-9]{1,9}", name) else None))
    return Path(text, tuple(steps))
