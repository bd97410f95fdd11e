"""Readers of words: each takes what TOML has and a place to note mistakes at. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chassis.settings import redact
from relay.frames.path import Path, parse_path
from relay.frames.pattern import ANYTHING, COUNT, Pattern, parse_pattern
from relay.frames.template import Hole, Secret, Template, Values, parse_template

from .place import Place, nearest, shown
from .secrets import Unneeded

Lookup = Callable[[str], str | None]
"""Gets what a `${NAME}` stands for; None: a credentials command will say it."""

Reader = Callable[[Any, Place, Lookup], Any]
"""Reads a value; None after a mistake, which has been noted then."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of HTTP (RFC 9110, section 5.6.2)."""

OURS = (
    "host", "connection", "upgrade", "content-length", "sec-websocket-accept",
    "sec-websocket-extensions", "sec-websocket-key", "sec-websocket-protocol",
    "sec-websocket-version",
)  # fmt: skip
"""Headers that the handshake itself sets."""


@dataclass(frozen=True)
class Texts:
    """What `{{…}}` a word's texts may have besides `{{$count}}` and `{{$now}}`."""

    holes: tuple[str, ...] = ()


# Plain values -------------------------------------------------------------------------------


def integer(low: int, high: int) -> Reader:
    """Accept a whole number from `low` to `high`."""

    def read(value: Any, place: Place, _: Lookup) -> int | None:
        if type(value) is not int:
            place.wrong(f"{shown(value)} is not a whole number")
        elif not low <= value <= high:
            place.wrong(f"{value} is not between {low} and {high}")
        else:
            return value
        return None

    return read


def number(low: float, high: float) -> Reader:
    """Accept a number from `low` to `high`."""

    def read(value: Any, place: Place, _: Lookup) -> float | None:
        if type(value) not in (int, float) or not math.isfinite(value):
            place.wrong(f"{shown(value)} is not a number")
        elif not low <= value <= high:
            place.wrong(f"{value} is not between {low:g} and {high:g}")
        else:
            return float(value)
        return None

    return read


def one_of(*choices: str) -> Reader:
    """Accept one of `choices`."""

    def read(value: Any, place: Place, _: Lookup) -> str | None:
        if value not in choices:
            place.wrong(f"{shown(value)} is not one of {_quoted(choices)}")
            return None
        return str(value)

    return read


def either(named: dict[str, Any], reader: Reader) -> Reader:
    """Accept a word that stands for something, or what `reader` accepts."""

    def read(value: Any, place: Place, lookup: Lookup) -> Any:
        if not isinstance(value, str):
            return reader(value, place, lookup)
        if value not in named:
            place.wrong(f"{shown(value)} is neither {_quoted(named, ' nor ')} nor a number")
            return None
        return named[value]

    return read


def parsed(parse: Callable[[str], Any]) -> Reader:
    """Accept a text that `parse` accepts."""

    def read(value: Any, place: Place, _: Lookup) -> Any:
        if not isinstance(value, str):
            place.wrong(f"{shown(value)} is not a text")
            return None
        try:
            return parse(value)
        except ValueError as error:
            place.wrong(str(error))
            return None

    return read


def paths(value: Any, place: Place, _: Lookup) -> tuple[Path, ...] | None:
    """Accept a path or several."""
    found: list[Path] = []
    for at, text in _each(value, place, "no paths"):
        path = parsed(parse_path)(text, at, _)
        if path in found:
            at.wrong(f"{shown(text)} stands there twice")
        elif path is not None:
            found.append(path)
    return tuple(found)


# Patterns -----------------------------------------------------------------------------------


def patterns(value: Any, place: Place, lookup: Lookup) -> tuple[Pattern, ...] | None:
    """Accept a pattern or several, of which any may fit."""
    found = []
    for at, item in _each(value, place, "no patterns"):
        pattern = _pattern(item, at, lookup)
        if pattern is None:
            continue
        if pattern.text == ANYTHING:
            at.wrong('"*" fits every frame')
        elif pattern in found:
            at.wrong("the same pattern stands there twice")
        else:
            found.append(pattern)
    return tuple(found)


def either_or_patterns(*choices: str) -> Reader:
    """Accept one of `choices`, or patterns; a text alone must be one of the former."""

    def read(value: Any, place: Place, lookup: Lookup) -> Any:
        if not isinstance(value, str):
            return patterns(value, place, lookup)
        if value not in choices:
            place.wrong(
                f"{shown(value)} is not one of {_quoted(choices)}, nor a table of paths and values"
                + nearest(value, choices)
            )
            return None
        return value

    return read


def ack(value: Any, place: Place, lookup: Lookup) -> Pattern | None:
    """Accept the pattern of an acknowledgement, which may name the count."""
    pattern = _pattern(value, place, lookup, counts=True)
    if pattern is None:
        return None
    for want in pattern.wants:
        if isinstance(want.value, str) and "{{" in want.value.replace(COUNT, "", 1):
            place.wrong(f"{shown(want.value)}: nothing but one {COUNT} can be asked for")
    if pattern.text is not None and "{{" in pattern.text:
        place.wrong(f"{shown(pattern.text)}: write a table of paths and values to ask for {COUNT}")
    return pattern


def _pattern(
    value: Any, place: Place, lookup: Lookup, *, counts: bool = False
) -> Pattern | None:  # fmt: skip
    def reveal(text: str) -> str:
        pieces = text.split(COUNT) if counts else [text]
        return COUNT.join(map(fixed, pieces))

    def fixed(text: str) -> str:
        if "{{" in text:
            raise ValueError(f"{shown(text)}: a pattern is fixed, it takes no {{{{…}}}}")
        revealed = parse_template(text, "text", lookup).render(Values())
        if revealed is None:
            raise ValueError(f"{shown(text)}: a pattern is fixed before `credentials` are asked")
        return revealed

    try:
        return parse_pattern(value, reveal)
    except ValueError as error:
        place.wrong(str(error))
        return None


# Texts --------------------------------------------------------------------------------------


def message(texts: Texts) -> Reader:
    """Accept a text to send."""

    def read(value: Any, place: Place, lookup: Lookup) -> Template | None:
        if isinstance(value, str) and not value:
            place.wrong("an empty text is nothing to send")
            return None
        return _template(value, "json", texts, place, lookup)

    return read


def messages(texts: Texts) -> Reader:
    """Accept a text to send, or several."""
    one = message(texts)

    def read(value: Any, place: Place, lookup: Lookup) -> tuple[Template, ...]:
        found = [one(item, at, lookup) for at, item in _each(value, place, "no texts")]
        return tuple(text for text in found if text is not None)

    return read


def command(texts: Texts) -> Reader:
    """Accept a command and its arguments."""

    def read(value: Any, place: Place, lookup: Lookup) -> tuple[Template, ...]:
        found = []
        for at, item in _each(value, place, "no command"):
            if item == "":
                at.wrong("an empty text is no command and no argument")
                continue
            found.append(_template(item, "text", texts, at, lookup))
        return tuple(text for text in found if text is not None)

    return read


def url(texts: Texts, *schemes: str) -> Reader:
    """Accept a URL with one of `schemes`, ws and wss if none are named."""
    schemes = schemes or ("ws", "wss")

    def read(value: Any, place: Place, lookup: Lookup) -> Template | None:
        template = _template(value, "url", texts, place, lookup)
        if template is None:
            return None
        text = _filled(template)
        if text is None:
            return template
        source = shown(redact(template.source))
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            place.wrong(f"{source} is not a URL")
            return None
        if re.search(r"[\s\x00-\x20\x7f]", text):
            place.wrong(f"{source}: there is a space or a line break in the URL")
        elif parts.scheme not in schemes:
            wanted = " or ".join(f"{scheme}://" for scheme in schemes)
            place.wrong(f"{source} does not start with {wanted}")
        elif not parts.hostname:
            place.wrong(f"{source} names no host")
        elif parts.fragment or text.endswith("#"):
            place.wrong(f"{source}: a URL of a WebSocket ends before the #")
        else:
            return template
        return None

    return read


def headers(texts: Texts) -> Reader:
    """Accept a table of headers."""

    def read(value: Any, place: Place, lookup: Lookup) -> tuple[tuple[str, Template], ...] | None:
        if not isinstance(value, dict):
            place.wrong(f"{shown(value)} is not a table of headers")
            return None
        found: dict[str, tuple[str, Template]] = {}
        for name, text in value.items():
            at = place.at(name)
            template = _template(text, "text", texts, at, lookup)
            if not _TOKEN.fullmatch(name):
                place.wrong(f"{shown(name)} cannot be a header's name")
            elif name.lower() == "sec-websocket-protocol":
                at.wrong("is what `subprotocols` says")
            elif name.lower() in OURS:
                at.wrong("is set by the handshake itself")
            elif name.lower() in found:
                at.wrong("stands there twice")
            elif template is not None:
                filled = _filled(template) or ""
                if re.search(r"[^\t\x20-\x7e\x80-\U0010ffff]", filled):
                    at.wrong("a header's value cannot hold a line break or a control character")
                    continue
                found[name.lower()] = (name, template)
        return tuple(found.values())

    return read


def subprotocols(texts: Texts) -> Reader:
    """Accept a subprotocol or several."""

    def read(value: Any, place: Place, lookup: Lookup) -> tuple[Template, ...]:
        found: list[Template] = []
        for at, item in _each(value, place, "no subprotocols"):
            template = _template(item, "text", texts, at, lookup)
            if template is None:
                continue
            filled = _filled(template)
            if filled is not None and not _TOKEN.fullmatch(filled):
                at.wrong(f"{shown(template.source)} has characters that a subprotocol cannot have")
            elif template in found:
                at.wrong(f"{shown(template.source)} stands there twice")
            else:
                found.append(template)
        return tuple(found)

    return read


def replies(texts: Texts, kind: Callable[..., Any]) -> Reader:
    """Accept `{ on = PATTERN, send = TEXT }`, one or several."""

    def read(value: Any, place: Place, lookup: Lookup) -> tuple[Any, ...]:
        found = []
        for at, item in _each(value, place, "no replies"):
            if not isinstance(item, dict):
                at.wrong(f"{shown(item)} is no {{ on = …, send = … }}")
                continue
            known = {"on", "send"}
            for name in sorted(item.keys() - known):
                at.at(name).wrong(f"there is no such word in a reply{nearest(name, known)}")
            for name in sorted(known - item.keys()):
                if not any(nearest(other, [name]) for other in item.keys() - known):
                    at.at(name).wrong("is missing")
            if not known <= item.keys():
                continue
            on = tuple(
                pattern
                for there, one in _each(item["on"], at.at("on"), "no pattern")
                if (pattern := _pattern(one, there, lookup))
            )
            send = messages(texts)(item["send"], at.at("send"), lookup)
            if on and send:
                found.append(kind(on=on, send=send))
        return tuple(found)

    return read


def _template(
    value: Any, kind: str, texts: Texts, place: Place, lookup: Lookup
) -> Template | None:  # fmt: skip
    if not isinstance(value, str):
        place.wrong(f"{shown(value)} is not a text")
        return None
    missing = []

    def look_up(name: str) -> str | None:
        try:
            return lookup(name)
        except ValueError as error:
            missing.append(str(error))
            return None

    try:
        template = parse_template(value, kind, look_up, words=texts.holes)
    except ValueError as error:
        missing.append(str(error))
    else:
        if template.kind == "json" and not template.is_json():
            missing.append(f"{shown(value)} begins like JSON and is none")
    for why in missing:
        place.wrong(why)
    return None if missing else template


def _filled(template: Template) -> str | None:
    """Write what a text will be like, to look at; None: nobody can tell yet, or needs to here."""
    if any(
        isinstance(part, Secret) and (part.value is None or isinstance(part.value, Unneeded))
        for part in template.parts
    ):
        return None
    if any(isinstance(part, Hole) and part.leads for part in template.parts):
        return None
    return Template(
        template.source,
        template.kind,
        tuple("1" if isinstance(part, Hole) else part for part in template.parts),
    ).render(Values())


def _each(value: Any, place: Place, none: str) -> list[tuple[Place, Any]]:
    """List one thing or several, with their places."""
    if not isinstance(value, list):
        return [(place, value)]
    if not value:
        place.wrong(f"an empty list has {none} in it")
    return [(place.at(f"[{at}]"), item) for at, item in enumerate(value)]


def _quoted(words: Any, between: str = ", ") -> str:
    return between.join(f'"{word}"' for word in words)
