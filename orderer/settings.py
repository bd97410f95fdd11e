"""The orderer's settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chassis.settings import WithEnviron, WithRedis, either, integer, number, setting, text
from relay.feedfile import ANY, CONNECTION, NEVER, left
from relay.feedfile import Feed as Words
from relay.feeds import FILE, FeedsFile, feeds_file
from relay.frames.reader import Reader
from relay.messages import LARGEST

from .feed import Options
from .reorder.limits import Limits, Order

CAPACITY_BYTES = 256 * 1024 * 1024
"""Bytes of held messages at which the oldest gap is given up, whatever their number."""

LEAST_JUMP = 1000
"""Ids; however small the capacity, a frame no farther ahead than this is no outlier."""


def limits(capacity: int, first_id: int | None, words: Words | None = None) -> Limits:
    """Tell what bounds a feed's sequence; `words` is what a file of feeds says of it."""
    jump = max(capacity, LEAST_JUMP)
    if words is None:
        return Limits(capacity, CAPACITY_BYTES, jump, first_id)
    return Limits(
        capacity, CAPACITY_BYTES, jump, first_id, of_key=bool(words.key), order=order(words),
        step=words.step or 1, restarts=words.restarts != NEVER,
        by_connection=words.restarts == CONNECTION,
    )  # fmt: skip


def order(words: Words) -> Order:
    """Tell what it is that one message of a feed follows another."""
    if words.previous is not None:
        return Order.CHAIN
    if words.step == ANY:
        return Order.SPARSE
    return Order.DENSE if words.first is None and words.step == 1 else Order.RANGES


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """What the orderer can be told."""

    first_id: int | None = setting(
        "ORDERER_FIRST_ID",
        either("auto", integer(0, LARGEST)),
        "auto",
        "first id to expect; auto = the lowest seen within the first moments",
    )
    id_field: str = setting(
        "ORDERER_ID_FIELD", text, "id", "the field that carries the sequence number"
    )
    gap_timeout: float | None = setting(
        "ORDERER_GAP_TIMEOUT",
        either("auto", lambda text: math.inf if text == "never" else number(0.001, 86400)(text)),
        "auto",
        "seconds to wait for a missing id; auto learns it; never waits for ever",
    )
    capacity: int = setting(
        "ORDERER_CAPACITY",
        integer(1, 10_000_000),
        "100000",
        "messages held back before the oldest gap is given up",
    )
    feeds: FeedsFile = setting(  # noqa: RUF009 - it makes a field()
        FILE,
        WithEnviron(feeds_file()),
        "",
        "a feeds.toml (see feeds.example.toml): where numbers are; SIGHUP reads it again",
    )

    @property
    def fingerprints(self) -> int:
        """Messages of what each feed has put out whose fingerprints are kept."""
        capacities = [self.capacity, *(words.capacity or 0 for words in self.feeds.words.values())]
        return limits(max(capacities), None).fingerprints

    def options(self, feed: str) -> Options:
        """Tell what decides about a feed."""
        words = self.feeds.words.get(feed)
        if words is None:
            bounds = limits(self.capacity, self.first_id)
            return Options(bounds, self.id_field, self.gap_timeout, self.spelled)
        words = replace(words, capacity=words.capacity or self.capacity)
        bounds = limits(words.capacity or 0, words.first_id, words)
        return Options(
            bounds, words.id.text, words.gap_timeout, self.spelled, Reader(words.reading),
            left.write(words),
        )  # fmt: skip

    def also(self, feeds: Mapping[str, Words]) -> Settings:
        """Go by the words of these feeds, too, unless the file names them."""
        return replace(
            self, feeds=replace(self.feeds, words={**feeds, **self.feeds.words})
        )  # fmt: skip

    @property
    def spelled(self) -> dict[str, str]:
        """What decides about a feed, as text from which `load` makes the same settings."""
        words: dict[Any, str] = {None: "auto", math.inf: "never"}
        return {
            name: words.get(value, str(value))
            for name, value in (
                ("ORDERER_FIRST_ID", self.first_id),
                ("ORDERER_ID_FIELD", self.id_field),
                ("ORDERER_GAP_TIMEOUT", self.gap_timeout),
                ("ORDERER_CAPACITY", self.capacity),
            )
        }
