"""What a key holds, in the stand-in for Redis; snapshots share values until they are written to."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from .stream import Stream


class Shared(Protocol):
    """A value that snapshots share until it is written to; `made` is its generation."""

    made: int

    def copy(self) -> Self: ...


V = TypeVar("V", bound=Shared)


class Hash(dict[bytes, bytes]):
    """Keep a hash's fields."""

    __slots__ = ("made",)
    made: int

    def copy(self) -> Self:
        """Copy the hash."""
        return type(self)(self)


class Members(dict[bytes, None]):
    """Keep a set's members in the order they came, so that no run depends on their hashes."""

    __slots__ = ("made",)
    made: int

    def copy(self) -> Self:
        """Copy the set."""
        return type(self)(self)


class Scores(dict[bytes, float]):
    """Keep a sorted set: the members' scores, and `order` sorted by score, then member."""

    __slots__ = ("made", "order")
    made: int

    def __init__(self) -> None:
        super().__init__()
        self.order: list[tuple[float, bytes]] = []

    def copy(self) -> Self:
        """Copy the sorted set."""
        copy = type(self)()
        copy.update(self)
        copy.order = self.order.copy()
        return copy

    def place(self, member: bytes, value: float) -> bool:
        """Set a member's score and tell whether it is new."""
        is_new = not self.drop(member)
        self[member] = value
        insort(self.order, (value, member))
        return is_new

    def drop(self, member: bytes) -> bool:
        """Remove a member and tell whether it was there."""
        value = self.pop(member, None)
        if value is None:
            return False
        del self.order[bisect_left(self.order, (value, member))]
        return True


Value = bytes | Hash | Members | Scores | Stream


@dataclass(frozen=True)
class Snapshot:
    """What a server holds at one moment. It stays as it is and may be restored again and again."""

    values: dict[bytes, Value]
    deadlines: dict[bytes, int]


@dataclass(frozen=True, slots=True)
class Command:
    """What a command does and how many words it takes, its name included."""

    run: Callable[[Any, list[bytes]], Any]
    name: str
    least: int
    most: int | None
    grows: bool
    writes: bool
    in_scripts: bool

    def fits(self, words: list[bytes]) -> bool:
        """Tell whether so many words may be given."""
        return len(words) >= self.least and (self.most is None or len(words) <= self.most)
