"""Get what stands at several paths of a document in one go, without decoding the rest. Pure.

`msgspec` decodes into a type that has the names on the paths only and skips everything else, in
a third of the time that it takes to decode a document whole. Whatever stands on the way instead
of an object is decoded too, and walked through as a `Path` walks.

Of duplicate names the last wins, as everywhere here. What is nested too deeply for `msgspec`,
which depends on how deep the program is just then, is read by `orjson`, whose limit is always
the same: a frame must be read alike by whoever reads it.
"""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from .inflate import Unreadable
from .path import MISSING, Path, Step

_NAME_FIT = re.compile(r'[^"\\\x00-\x1f]+')
"""Names that stand in JSON as they are; the others are found in the decoded object."""


class Shape:
    """The paths that are asked for; `pick` gets their values, and `at` says which is whose."""

    def __init__(self, paths: Iterable[Path]) -> None:
        paths = list(dict.fromkeys(paths))
        tree = _Node()
        for path in paths:
            tree.grow(path.steps)
        self._fields: dict[type, dict[str, str]] = {}
        """The attributes of each type that was made, by the names in the document."""
        self._decoder = msgspec.json.Decoder(self._kind(tree))
        groups: dict[tuple[Step, ...], list[Path]] = {}
        self._walked: list[Path] = []
        for path in paths:
            if tree.attributes(path.steps) is None:
                self._walked.append(path)
            else:
                groups.setdefault(_to_last_place(path.steps), []).append(path)
        self._groups = [
            _Group.of(steps, [(path, tree.attributes(path.steps) or []) for path in group])
            for steps, group in groups.items()
        ]
        ordered = [path for group in self._groups for path in group.paths] + self._walked
        self.at = {path: at for at, path in enumerate(ordered)}
        """The place of each path's value among those that `pick` gets."""

    def pick(self, document: bytes | msgspec.Raw) -> Sequence[Any]:
        """Get the values at the paths, MISSING where there are none.

        Raises Unreadable `json` for what is no JSON. That it is valid UTF-8 must be known.
        """
        try:
            root = self._decoder.decode(document)
        except RecursionError:
            return self._pick_deep(bytes(document))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Unreadable("json") from None
        values: tuple[Any, ...] = ()
        for group in self._groups:
            try:
                found = group.find(root)
            except (AttributeError, IndexError):
                # An object is missing on the way, or something else stands there.
                found = tuple([self._walk(root, path) for path in group.paths])
            values = (*values, *found) if values else found
        if self._walked:
            return (*values, *[self._walk(root, path) for path in self._walked])
        return values

    def rows(self, documents: Sequence[bytes]) -> Sequence[Sequence[Any]]:
        """Pick from each document; raises as `only` does if anything is unusual in any of them."""
        if len(self._groups) == 1 and not self._groups[0].way and not self._walked:
            with contextlib.suppress(AttributeError):
                return list(map(self._groups[0].get, map(self._decoder.decode, documents)))
        return list(map(self.pick, documents))

    def only(self, documents: Iterable[bytes]) -> list[Any]:
        """Get the value at the only path of each document.

        Raises msgspec's errors, AttributeError, IndexError or RecursionError if anything is
        unusual in any of them.
        """
        [group] = self._groups
        decode = self._decoder.decode
        if group.way:
            return [group.find(root)[0] for root in map(decode, documents)]
        get = operator.attrgetter(group.straight)
        return [get(root) for root in map(decode, documents)]

    def _pick_deep(self, document: bytes) -> Sequence[Any]:
        try:
            root = orjson.loads(document)
        except orjson.JSONDecodeError:
            raise Unreadable("json") from None
        return [path.find(root) for path in self.at]

    def _walk(self, value: Any, path: Path) -> Any:
        fields = self._fields
        for at, step in enumerate(path.steps):
            kind = type(value)
            if kind in fields:
                value = getattr(value, fields[kind][step.name])
            elif kind is list and step.place is not None:
                try:
                    value = value[step.place]
                except IndexError:
                    return MISSING
            elif kind is dict or kind is str:
                return Path(path.text, path.steps[at:]).find(value)
            else:
                return MISSING
        return value

    def _kind(self, node: _Node) -> Any:
        """Make the type for a value on which the paths of `node` go on."""
        if node.whole:
            return Any
        fields = [
            (below.attribute, self._kind(below) | msgspec.UnsetType, MISSING)
            for below in node.names.values()
        ]
        struct = msgspec.defstruct(
            "Names",
            fields,
            rename={below.attribute: name for name, below in node.names.items()},
            gc=False,
        )
        self._fields[struct] = {name: below.attribute for name, below in node.names.items()}
        elements = self._kind(node.elements) if node.elements else msgspec.Raw
        return struct | list[elements] | str | int | float | bool | None  # type: ignore[valid-type]


class _Node:
    """What the paths ask of a value: names in it, its elements, or all of it."""

    def __init__(self, attribute: str = "") -> None:
        self.attribute = attribute
        self.names: dict[str, _Node] = {}
        self.elements: _Node | None = None
        self.whole = False

    def grow(self, steps: Sequence[Step]) -> None:
        """Add a path."""
        if not steps or self.whole:
            self.whole = True
            return
        step, rest = steps[0], steps[1:]
        self.names.setdefault(step.name, _Node(f"f{len(self.names)}")).grow(rest)
        if step.place is not None:
            self.elements = self.elements or _Node()
            self.elements.grow(rest)
        if not _NAME_FIT.fullmatch(step.name):
            self.whole = True

    def attributes(self, steps: Sequence[Step]) -> list[str | int] | None:
        """List the attributes and places on the way of a path; None: it leads through a whole."""
        node, found = self, list[str | int]()
        for step in steps:
            if node.whole:
                return None
            if step.place is not None and node.elements is not None:
                node = node.elements
                found.append(step.place)
            else:
                node = node.names[step.name]
                found.append(node.attribute)
        return found


@dataclass(frozen=True, slots=True)
class _Group:
    """Paths that have all but attributes in common."""

    paths: tuple[Path, ...]
    way: list[int | Callable[[Any], Any]]
    """Places and attributes up to the last place."""
    get: Callable[[Any], tuple[Any, ...]]
    straight: str
    """The attributes that lead to the first path's value from there, with dots between."""

    @classmethod
    def of(cls, steps: tuple[Step, ...], ways: list[tuple[Path, list[str | int]]]) -> _Group:
        """Group paths that have `steps` in common, each with its way."""
        common = ways[0][1][: len(steps)]
        names = [".".join(map(str, way[len(steps) :])) for _, way in ways]
        return cls(
            tuple([path for path, _ in ways]),
            [way if isinstance(way, int) else operator.attrgetter(way) for way in common],
            _getter(names),
            names[0],
        )

    def find(self, value: Any) -> tuple[Any, ...]:
        """Get the values; raises AttributeError or IndexError if anything else is on the way."""
        for way in self.way:
            if type(way) is not int:
                value = way(value)  # type: ignore[operator]
            elif type(value) is list:
                value = value[way]
            else:
                raise AttributeError
        return self.get(value)


def _to_last_place(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    last = max((at for at, step in enumerate(steps) if step.place is not None), default=-1)
    return steps[: last + 1]


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Make what gets the values at the ends of dotted attributes, all at once."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    one = operator.attrgetter(names[0]) if names[0] else _itself
    return lambda value: (one(value),)


def _itself(value: Any) -> Any:
    return value
