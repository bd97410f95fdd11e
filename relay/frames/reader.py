"""Read frames by the words of a feed: which messages are in it, and what the rest is. Pure.

What is decided for a frame depends on the frame alone: who reads it again decides the same.

A pattern is tried on the frame and on each message that is cut out of it. A key that a message
does not have is looked for in its frame, since some feeds name the symbol around an array.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.messages import LARGEST

from .cut import Cut
from .inflate import Unreadable, inflate
from .number import Unnumbered, link, number
from .path import MISSING, Path
from .pattern import ANYTHING, Pattern
from .shape import Shape

LARGEST_FRAME = 1024 * 1024
"""Bytes of a frame, decompressed, unless a feed says otherwise."""

LONGEST_KEY = 256
"""Characters of a key."""

IGNORED = "ignored"

REASONS = (
    IGNORED, "json", "compressed", "oversized", "missing", "type", "range", "link", "key",
)  # fmt: skip
"""Why something is no message.

ignored: a pattern says so; json: neither JSON nor what a pattern knows, bad UTF-8 included;
compressed: cannot be unpacked; oversized: too large, or too large when unpacked; missing: nothing
stands at `id`; type: no number, digits or time stands there; range: negative or above 2^63−1;
link: what stands at `first` or `previous` is no number; key: no text and no number stands at `key`.
"""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a reader is told; a feed's words of the same names."""

    id: Path
    key: tuple[Path, ...] = ()
    link: Path | None = None
    """`first` or `previous`."""
    decompress: str | None = None
    messages: Cut | None = None
    ignore: tuple[Pattern, ...] = ()
    drop: tuple[Pattern, ...] = ()
    restarts: tuple[Pattern, ...] = ()
    largest: int = LARGEST_FRAME


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message, with its place in the order of its key."""

    data: bytes
    """As it stood in its frame, byte for byte."""
    id: int
    key: str = ""
    """Of several paths, the values with spaces between."""
    link: int | None = None
    """What stands at `first` or `previous`, if anything does."""
    drop: bool = False
    """Whether it takes its place and is not sent on."""
    restart: bool = False
    """Whether its key's numbering begins anew with it."""


class Other(msgspec.Struct, frozen=True, gc=False):
    """What came and is no message."""

    data: bytes
    reason: str
    """One of `REASONS`."""
    where: str = ""
    """The pattern that knows it, or the path where something is wrong."""
    restart: bool = False
    """Whether all numberings begin anew behind it."""


class _Unusable(Exception):
    def __init__(self, reason: str, where: str) -> None:
        super().__init__(reason)
        self.reason, self.where = reason, where


class Reader:
    """Reads the frames of one feed."""

    def __init__(self, words: Words) -> None:
        self._words = words
        patterns = [*words.ignore, *words.drop, *words.restarts]
        wanted = [want.path for pattern in patterns for want in pattern.wants]
        self._shape = Shape([words.id, *words.key, *([words.link] if words.link else []), *wanted])
        at = self._shape.at
        self._id = at[words.id]
        self._keys = [at[path] for path in words.key]
        self._link = at[words.link] if words.link else None
        self._ignore = [(_test(pattern, at), pattern) for pattern in words.ignore]
        self._drop = [(_test(pattern, at), pattern) for pattern in words.drop]
        self._restarts = [(_test(pattern, at), pattern) for pattern in words.restarts]
        cut = words.messages
        self._around = (
            cut is not None
            and not cut.lines
            and (
                cut.stages[0][0] is not None
                or any(path.steps[0].place is not None for path in wanted)
            )
        )
        """Whether a frame may have words of its own around its messages."""
        self.simple = not (words.key or words.link or patterns or words.decompress or cut)
        """Whether each frame is a message and only its id is asked for; `numbers` will do then."""
        self.drops = bool(words.drop)
        """Whether a message may take its place without being sent on."""
        self._only = Shape([words.id])

    # All frames of a simple feed at once ------------------------------------------------------

    def numbers(self, frames: Sequence[bytes]) -> tuple[list[int], list[tuple[int, str]]]:
        """Get the ids of frames, and of those that have none, their places and why.

        The ids are of the other frames, in their order. It is for `simple` words only.
        """
        try:
            found = self._only.only(frames)
            _check_text(frames)
        except _UNUSUAL:
            pass
        else:
            if not found:
                return [], []
            kinds = set(map(type, found))
            # `true` is an int to isinstance().
            if kinds == {int} and min(found) >= 0 and max(found) <= LARGEST:
                return found, []
            with contextlib.suppress(Unnumbered):
                return list(map(number, found)), []
        ids, bad = [], []
        for at, frame in enumerate(frames):
            [item] = self.read(frame)
            if isinstance(item, Message):
                ids.append(item.id)
            else:
                bad.append((at, item.reason))
        return ids, bad

    # Any frames -------------------------------------------------------------------------------

    def read_all(self, frames: Sequence[bytes]) -> list[Message | Other]:
        """Read frames one after the other: the same as `read` for each, in less time."""
        words = self._words
        if words.messages is None and frames and max(map(len, frames)) <= words.largest:
            try:
                data = frames
                if words.decompress is not None:
                    data = [inflate(frame, words.decompress, words.largest) for frame in frames]
                rows = self._shape.rows(data)
                _check_text(data)
                return list(map(self._judge, data, rows))
            except _UNUSUAL:
                pass
        return [item for frame in frames for item in self.read(frame)]

    def read(self, frame: bytes) -> list[Message | Other]:
        """Read a frame, as it came from the socket, text or binary."""
        words = self._words
        if len(frame) > words.largest:
            return [Other(frame, "oversized")]
        if words.decompress is not None:
            try:
                frame = inflate(frame, words.decompress, words.largest)
            except Unreadable as error:
                return [Other(frame, error.reason)]
        if not frame.isascii():
            try:
                frame.decode()
            except UnicodeDecodeError:
                return [Other(frame, "json")]
        cut = words.messages
        if cut is None:
            return [self._item(frame)]
        around: Sequence[Any] | None = None
        restart = drop = False
        if self._around:
            try:
                around = self._shape.pick(frame)
            except Unreadable:
                return [self._item(frame)]
            restart = any(test(frame, around) for test, _ in self._restarts)
            for test, pattern in self._ignore:
                if test(frame, around):
                    return [Other(frame, IGNORED, pattern.shown, restart)]
            drop = any(test(frame, around) for test, _ in self._drop)
        messages = cut.messages(frame)
        if messages is None:
            return [self._item(frame)]
        items = self._judged(messages, around)
        return self._framed(items, restart, drop) if restart or drop else items

    def _judged(
        self, pieces: Sequence[bytes], around: Sequence[Any] | None
    ) -> list[Message | Other]:
        """Tell what each of several pieces of JSON is."""
        try:
            rows = self._shape.rows(pieces)
        except _UNUSUAL:
            return [self._item(piece, around) for piece in pieces]
        return [self._judge(piece, row, around) for piece, row in zip(pieces, rows, strict=True)]

    def _item(self, data: bytes, around: Sequence[Any] | None = None) -> Message | Other:
        """Tell what a piece of JSON is."""
        try:
            values = self._shape.pick(data)
        except Unreadable as error:
            return self._text(data, error.reason)
        return self._judge(data, values, around)

    def _judge(
        self, data: bytes, values: Sequence[Any], around: Sequence[Any] | None = None
    ) -> Message | Other:
        """Tell what a piece of JSON is, by the values that were picked from it."""
        restart = drop = False
        for test, _ in self._restarts:
            if test(data, values):
                restart = True
        for test, pattern in self._ignore:
            if test(data, values):
                return Other(data, IGNORED, pattern.shown, restart)
        try:
            id = values[self._id]
            if type(id) is not int or not 0 <= id <= LARGEST:
                id = self._number(id)
            key = ""
            if self._keys:
                key = values[self._keys[0]]
                if len(self._keys) > 1 or type(key) is not str or len(key) > LONGEST_KEY:
                    key = self._key(values, around)
            named = None if self._link is None else self._linked(values[self._link])
        except _Unusable as error:
            return Other(data, error.reason, error.where, restart)
        for test, _ in self._drop:
            if test(data, values):
                drop = True
        return Message(data, id, key, named, drop, restart)

    def _text(self, data: bytes, reason: str) -> Other:
        """Tell what something is that is no JSON; only patterns that are texts know it."""
        restart = any(_is_text(pattern, data) for _, pattern in self._restarts)
        for _, pattern in self._ignore:
            if _is_text(pattern, data):
                return Other(data, IGNORED, pattern.shown, restart)
        return Other(data, reason, "", restart)

    def _number(self, value: Any) -> int:
        try:
            return number(value)
        except Unnumbered as error:
            raise _Unusable(error.reason, self._words.id.text) from None

    def _linked(self, value: Any) -> int | None:
        if type(value) is int:
            return value
        try:
            return link(value)
        except Unnumbered:
            path = self._words.link
            raise _Unusable("link", path.text if path else "") from None

    def _key(self, values: Sequence[Any], around: Sequence[Any] | None) -> str:
        parts = []
        for at, path in zip(self._keys, self._words.key, strict=True):
            value = values[at]
            if (value is MISSING or value is None) and around is not None:
                value = around[at]
            if type(value) is int:
                value = str(value)
            if type(value) is not str:
                raise _Unusable("key", path.text)
            parts.append(value)
        key = " ".join(parts)
        if len(key) > LONGEST_KEY:
            raise _Unusable("key", self._words.key[0].text)
        return key

    @staticmethod
    def _framed(
        items: list[Message | Other], restart: bool, drop: bool
    ) -> list[Message | Other]:  # fmt: skip
        """Pass on what a frame says to its messages: each key begins anew with its first one."""
        begun: set[str] = set()
        framed: list[Message | Other] = []
        for item in items:
            if isinstance(item, Message):
                anew = restart and item.key not in begun
                begun.add(item.key)
                item = msgspec.structs.replace(
                    item, drop=item.drop or drop, restart=item.restart or anew
                )
            framed.append(item)
        return framed


_UNUSUAL = (
    msgspec.MsgspecError, Unreadable, AttributeError, LookupError, RecursionError, ValueError,
)  # fmt: skip
"""What reading many at once raises when they must be looked at one by one."""


def _check_text(frames: Sequence[bytes]) -> None:
    """Raise UnicodeDecodeError, a ValueError, if any of these is no UTF-8."""
    if not all(map(bytes.isascii, frames)):
        for frame in frames:
            frame.decode()


_Test = Callable[[bytes, Sequence[Any]], bool]
"""A pattern, to be tried on a piece of JSON and the values that were picked from it."""


def _is_text(pattern: Pattern, data: bytes) -> bool:
    """Tell whether something that is no JSON is what a pattern says."""
    text = pattern.text
    return text is not None and (text == ANYTHING or data.strip() == text.encode())


def _test(pattern: Pattern, at: dict[Path, int]) -> _Test:
    """Make a pattern's test; most are one text at one path."""
    if pattern.text is not None:
        return lambda data, _: _is_text(pattern, data)
    wants = [(at[want.path], want) for want in pattern.wants]
    place, only = wants[0]
    if len(wants) == 1 and isinstance(only.value, str) and only.value != ANYTHING:
        value = only.value
        return lambda _, values: bool(values[place] == value)
    return lambda _, values: all(want.fits(values[where]) for where, want in wants)
