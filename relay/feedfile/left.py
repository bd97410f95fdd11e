"""The words by which a feed is ordered, as the text that an orderer leaves in Redis. Pure.

They outlive the feed's table: what the feed has left is read by them when that is gone. Nothing of
a URL, a header or a command is in it, and of a pattern with `${NAME}` only the name.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from relay.frames.cut import Cut
from relay.frames.path import Path
from relay.frames.pattern import Pattern

from .place import FeedFileError, Place
from .read import read_words
from .secrets import Secrets
from .words import ANY, NEVER, Feed

ORDER = (
    "decompress", "messages", "id", "key", "ignore", "drop", "first", "previous", "step",
    "restarts", "first_id", "gap_timeout", "capacity", "max_message_size",
)  # fmt: skip
"""The words of a feed that decide about its order."""

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Feed) if field.name in ORDER}


def write(words: Feed) -> str:
    """Write a feed's words as JSON of what its table has, but for what is the default."""
    told = {word: getattr(words, word) for word in ORDER}
    table = {word: _spelled(word, told[word]) for word in ORDER if told[word] != _DEFAULTS[word]}
    return json.dumps(table, separators=(",", ":"))


def read(name: str, text: str) -> Feed:
    """Read what `write` wrote of the feed `name`; it has no URL. Raises ValueError."""
    table = json.loads(text)
    if not isinstance(table, dict):
        raise ValueError(f"the words that {name} has left are no table")
    mistakes: list[str] = []
    place = Place("Redis", mistakes, f"feed.{name}")
    known = {word: table[word] for word in ORDER if word in table}
    for word in sorted(table.keys() - known):
        place.at(word).wrong("does not decide about the order")
    found = read_words(known, place, Secrets({}, needed=False))
    if mistakes:
        raise ValueError(str(FeedFileError(mistakes)))
    return Feed(name=name, **found)


def _spelled(word: str, value: Any) -> Any:
    """Write a value as a table has it."""
    match value:
        case Path() | Cut():
            return value.text
        case Pattern():
            if value.text is not None:
                return value.source
            return {want.path.text: want.source for want in value.wants}
        case tuple():
            return [_spelled("", item) for item in value]
        case math.inf:
            return NEVER
        case _:
            return "any" if word == "step" and value == ANY else value
