"""Texts to send, with holes: `${NAME}` from outside, `{{path}}` out of what came. Pure.

What fills a hole is written so that the text around it keeps its meaning: in a JSON text a value
is escaped within quotes and stands as JSON outside of them, in a URL it is percent-encoded, and in
a header or a plain text it stands as it is. What `${NAME}` stands for is shown nowhere: the
`repr` of a template is what stands in the file.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from chassis.settings import redact

from .path import MISSING, Path, parse_path

MESSAGE_HOLES = ("message", "string", "base64")
"""In an endpoint's `message`: the message as it is, as a JSON string, in base64."""

_HOLES = re.compile(r"(\$?\$\{[^{}]*\}|\{\{.*?\}\})", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_VALUE = re.compile(r"[?&][^?&#=]*=$")
"""What stands before a query's value."""
_ENCODED = "%=/:@!$'()*,;~?"
"""What is left as it is in a query's value: it may have been encoded by whoever set it."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A `${NAME}`, and what it stands for."""

    name: str
    value: str | None
    """None: a credentials command will say it."""
    quoted: bool = False
    """Whether the text around needs it escaped: within a JSON string, or as a query's value."""

    def __repr__(self) -> str:
        return f"${{{self.name}}}"


@dataclass(frozen=True, slots=True)
class Hole:
    """A `{{…}}`."""

    word: str
    """`id`, `count`, `now` or one of `MESSAGE_HOLES`; empty: what stands at `path`."""
    path: Path | None = None
    key: str = ""
    """Of which key the settled id is meant."""
    quoted: bool = False
    """Whether it stands within a JSON string."""
    leads: bool = False
    """Whether a URL begins with it."""


@dataclass(frozen=True)
class Values:
    """What the holes are filled with."""

    find: Callable[[Path], Any] = field(default=lambda _: MISSING)
    """What stands at a path in the frame that is answered, else the latest seen there."""
    settled: Mapping[str, int] = field(default_factory=dict)
    """Up to which id everything is settled, by key; `""`: in all of them."""
    count: int = 0
    now: int = 0
    """Milliseconds since 1970."""
    message: bytes = b""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a credentials command has printed."""


@dataclass(frozen=True, slots=True, repr=False)
class Template:
    """A parsed text; make one with `parse_template`."""

    source: str
    kind: str
    """`json`, `url` or `text`."""
    parts: tuple[str | Secret | Hole, ...]

    def __repr__(self) -> str:
        shown = redact(self.source) if self.kind == "url" else self.source
        return f"Template({shown!r})"

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The `{{…}}` in it."""
        return tuple(part for part in self.parts if isinstance(part, Hole))

    @property
    def counts(self) -> bool:
        """Whether `{{$count}}` stands in it: every such text that is sent has the next number."""
        return any(hole.word == "count" for hole in self.holes)

    @property
    def fixed(self) -> bool:
        """Whether it is the same each time."""
        return not self.holes and None not in [
            part.value for part in self.parts if isinstance(part, Secret)
        ]

    def is_json(self) -> bool:
        """Tell whether it is valid JSON, whatever fills the holes that stand outside of strings."""
        parts = [
            part if isinstance(part, str) else ("x" if part.quoted else "null")
            for part in self.parts
        ]
        text = "".join(parts)
        if _is_json(text):
            return True
        # Some protocols take several messages in a frame, a line each.
        lines = [line for line in text.splitlines() if line.strip()]
        return len(lines) > 1 and all(map(_is_json, lines))

    def render(self, values: Values) -> str | None:
        """Fill the holes; None if something is wanted that nobody knows."""
        filled: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                filled.append(part)
                continue
            text = (
                self._reveal(part, values) if isinstance(part, Secret) else self._fill(part, values)
            )
            if text is None:
                return None
            filled.append(text)
        return "".join(filled)

    def _reveal(self, secret: Secret, values: Values) -> str | None:
        value = values.secrets.get(secret.name, secret.value)
        if value is None or not secret.quoted:
            return value
        if self.kind == "json":
            return _escaped(value)
        return quote(value, safe=_ENCODED)

    def _fill(self, hole: Hole, values: Values) -> str | None:
        match hole.word:
            case "count":
                return str(values.count)
            case "now":
                return str(values.now)
            case "message":
                text = values.message.decode("utf-8", "replace")
                return _escaped(text) if hole.quoted else text
            case "string":
                return _json(values.message.decode("utf-8", "replace"))
            case "base64":
                return base64.b64encode(values.message).decode()
            case "id":
                value: Any = values.settled.get(hole.key, MISSING)
            case _:
                value = values.find(hole.path) if hole.path else MISSING
        return self._written(value, hole)

    def _written(self, value: Any, hole: Hole) -> str | None:
        if self.kind == "json" and not hole.quoted:
            return "null" if value is MISSING else _json(value)
        if value is MISSING or value is None:
            return None
        text = value if isinstance(value, str) else _json(value)
        if self.kind == "json":
            return _escaped(text)
        if self.kind == "url" and not hole.leads:
            return quote(text, safe="")
        return None if re.search(r"[\r\n\0]", text) else text


def parse_template(
    text: str, kind: str, secrets: Callable[[str], str | None], *, words: tuple[str, ...] = ()
) -> Template:
    """Read a text with holes for a message (`json`), a `url`, or anything else (`text`).

    `secrets` gets what a name stands for and raises ValueError if nobody says; `words` are the
    `{{$…}}` that may be there besides `now` and `count`, and `path` among them allows paths.
    `$${` is a `${` that is meant as it stands. Raises ValueError with what is wrong.
    """
    if kind == "json" and text.lstrip()[:1] not in ("{", "[", '"'):
        kind = "text"
    parts: list[str | Secret | Hole] = []
    before = ""
    for piece in _HOLES.split(text):
        quoted = kind == "json" and _in_string(before)
        if piece.startswith("$${"):
            piece = piece[1:]
            parts.append(piece)
        elif piece.startswith("${") and piece.endswith("}"):
            name = piece[2:-1]
            if not _NAME.fullmatch(name):
                raise ValueError(f"{piece} names no variable")
            encoded = quoted if kind == "json" else bool(kind == "url" and _VALUE.search(before))
            parts.append(Secret(name, secrets(name), encoded))
            piece = "x"
        elif piece.startswith("{{") and piece.endswith("}}") and len(piece) >= 4:
            leads = kind == "url" and not before
            parts.append(_hole(piece[2:-2].strip(), words, quoted, leads))
            piece = "x"
        elif "{{" in piece or re.search(r"(?<!\$)\$\{", piece):
            raise ValueError("a {{ or a ${ is not closed")
        elif piece:
            parts.append(piece)
        before += piece
    return Template(text, kind, tuple(parts))


def forms(value: str) -> set[str]:
    """List how a value may be written, by a template or by whoever repeats what it was told."""
    return {
        value, _escaped(value), json.dumps(value)[1:-1],
        quote(value, safe=""), quote(value), quote(value, safe=_ENCODED),
    }  # fmt: skip


def _hole(inside: str, words: tuple[str, ...], quoted: bool, leads: bool) -> Hole:
    known = ("count", "now", *(word for word in words if word != "path"))
    if inside.startswith("$"):
        word, _, key = inside[1:].partition(".")
        if word in known and not (key and word != "id"):
            return Hole(word, None, key, quoted, leads)
        every = ("count", "now", "id", *MESSAGE_HOLES)
        if word in every and word not in known:
            raise ValueError(f"{{{{{inside}}}}} has no meaning here")
        names = ", ".join("$" + word for word in known)
        raise ValueError(f"there is no {{{{{inside}}}}}; known here: {names}")
    if "path" not in words:
        raise ValueError(f"{{{{{inside}}}}}: nothing has come yet when this is used")
    try:
        return Hole("", parse_path(inside), "", quoted, leads)
    except ValueError as error:
        raise ValueError(f"{{{{{inside}}}}}: {error}") from None


def _in_string(before: str) -> bool:
    """Tell whether a JSON text is within a string where it ends."""
    return len(re.findall(r'"', re.sub(r"\\.", "", before, flags=re.DOTALL))) % 2 == 1


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _json(value: Any) -> str:
    """Write a value as JSON; integers of any size stay what they are."""
    return msgspec.json.encode(value).decode()


def _escaped(text: str) -> str:
    """Write a text as it stands within the quotes of a JSON string."""
    return _json(text.encode("utf-8", "replace").decode())[1:-1]
