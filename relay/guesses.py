"""Guess from frames which words would fit a feed, to be suggested to a person. Pure.

Only the first frames are looked at, and of each only the values that stand a few steps deep: it
is a hint for somebody who looks on, and decides about nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import orjson

from .frames.number import Unnumbered, number

FRAMES = 300
"""Documents that are looked at."""

PATHS = 50
"""Paths that are followed."""

KEYS = 3
"""Paths that are tried as keys."""

DEEPEST = 5
"""Steps of a path."""

LONGEST = 100
"""Characters of a value."""

LEAST = 4
"""Values that a guess takes, at least."""

SHARE = 0.8
"""How many of the steps between values must be as guessed: feeds are out of order, and repeat."""

LEAST_DISTINCT = 0.5
"""How many of the values must differ, since some feeds repeat themselves after a reconnect."""

NEAR = 20
"""How far apart the ids of messages are that come one after the other."""

MOSTLY = 0.6
"""How many of the steps must go up where numbers have holes."""

MOST_KEYS = 0.5
"""A key has several messages: there are no more of them than this share of the messages."""


class Guesses:
    """Collects what stands at each path, and tells what that looks like."""

    def __init__(self) -> None:
        self._documents: list[dict[str, Any]] = []
        self._paths: set[str] = set()
        self._keys: list[str] = []
        self._numbers: dict[str, list[int | None]] = {}

    def look(self, data: bytes) -> None:
        """Look at a message, or at what is none for want of an id."""
        if len(self._documents) >= FRAMES:
            return
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        found: dict[str, Any] = {}
        for path, value in _scalars(document, "", 0):
            if path not in self._paths:
                if len(self._paths) >= PATHS:
                    continue
                self._paths.add(path)
            found[path] = value
        self._documents.append(found)

    def suggestions(self) -> list[str]:
        """Say what could be the id, its key, and the one before it, the likeliest first."""
        paths = sorted(self._paths, key=lambda path: (path.count("."), path))
        self._keys = ["", *islice(self._possible_keys(paths), KEYS)]
        self._numbers = {path: self._column(path) for path in paths}
        likely = [path for path in paths if self._likely(path)]
        said = [found for path in likely if (found := self._about(path, likely))]
        return [text for _, text in sorted(said, key=lambda item: item[0])][:5]

    def _column(self, path: str) -> list[int | None]:
        """Get what stands at a path in each document, if it is a number."""
        column: list[int | None] = []
        for document in self._documents:
            try:
                column.append(number(document.get(path)))
            except Unnumbered:
                column.append(None)
        return column

    def _likely(self, path: str) -> bool:
        """Tell whether most messages have a number there, and many another one."""
        numbers = [value for value in self._numbers[path] if value is not None]
        return len(numbers) >= max(LEAST, len(self._documents) * MOST_KEYS) and (
            len(set(numbers)) >= LEAST
        )

    def _about(self, path: str, likely: list[str]) -> tuple[int, str] | None:
        """Tell what a path looks like, with how little that says."""
        for key in self._keys:
            runs = self._by(path, key)
            if runs and all(map(_grows_by_one, runs.values())):
                return 0, f"`{path}` looks like a number that grows by one{_per(key)}"
        for other in likely:
            for key in self._keys if other != path else ():
                if self._linked(path, other, key, 0):
                    text = f"`{other}` looks like the `{path}` of the message before{_per(key)}"
                    return 1, text
                if self._linked(path, other, key, 1):
                    text = f"`{other}` looks like the first of the numbers up to `{path}`"
                    return 1, text + _per(key)
        for key in self._keys:
            runs = self._by(path, key)
            if runs and all(map(_grows, runs.values())):
                text = f"`{path}` looks like a number that grows with holes{_per(key)}"
                return 2, f'{text}: step = "any"'
        return None

    def _possible_keys(self, paths: list[str]) -> Iterator[str]:
        """List paths that have few values, each of them several times."""
        for path in paths:
            values = [
                document[path]
                for document in self._documents
                if isinstance(document.get(path), str)
            ]
            if 1 < len(set(values)) <= len(values) * MOST_KEYS / 2:
                yield path

    def _by(self, path: str, key: str) -> dict[Any, list[int]]:
        """Sort numbers by what stands at `key`; nothing if it is not there in all of them."""
        runs: dict[Any, list[int]] = defaultdict(list)
        for document, value in zip(self._documents, self._numbers[path], strict=True):
            if value is None:
                continue
            if key and key not in document:
                return {}
            runs[document[key] if key else ""].append(value)
        return {place: values for place, values in runs.items() if len(values) >= LEAST}

    def _linked(self, path: str, other: str, key: str, step: int) -> bool:
        """Tell whether `other` names what stood at `path` in a message of the same key before."""
        if len({*self._numbers[path]} & {*self._numbers[other]}) < LEAST and step == 0:
            return False
        known: set[tuple[Any, int]] = set()
        links: list[tuple[Any, int]] = []
        columns = zip(self._documents, self._numbers[path], self._numbers[other], strict=True)
        for document, value, named in columns:
            if value is None or (key and key not in document):
                continue
            place = document[key] if key else None
            known.add((place, value))
            if named is not None and named < value:
                links.append((place, named - step))
        hits = sum(link in known for link in links)
        return len(set(links)) >= LEAST and hits >= SHARE * max(len(links), len(known) / 2)


def _scalars(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """List what stands at the ends of paths; of an array, the first element."""
    if isinstance(value, dict) and depth < DEEPEST:
        for name, below in value.items():
            name = name.replace(".", r"\.")
            if name.strip() == name and name and not set(name) & set("[]"):
                yield from _scalars(below, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list) and depth < DEEPEST:
        if value:
            yield from _scalars(value[0], f"{path}.0" if path else "0", depth + 1)
            if path == "" and len(value) > 1:
                yield from _scalars(value[-1], "-1", depth + 1)
    elif path and isinstance(value, str | int) and len(str(value)) <= LONGEST:
        yield path, value


def _per(key: str) -> str:
    return f" per `{key}`" if key else ""


def _grows_by_one(values: list[int]) -> bool:
    """Tell whether values come more or less in order, each of them one more than another."""
    distinct = sorted(set(values))
    if len(distinct) < max(LEAST, LEAST_DISTINCT * len(values)):
        return False
    dense = sum(after - before == 1 for before, after in pairwise(distinct))
    near = sum(abs(after - before) <= NEAR for before, after in pairwise(values))
    return dense >= SHARE * (len(distinct) - 1) and near >= SHARE * (len(values) - 1)


def _grows(values: list[int]) -> bool:
    """Tell whether values rise more often than not, and few are the same."""
    if len(set(values)) < max(LEAST, LEAST_DISTINCT * len(values)):
        return False
    rising = sum(after > before for before, after in pairwise(values))
    return rising >= MOSTLY * (len(values) - 1)
