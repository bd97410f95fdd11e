"""The ingestor's settings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chassis.settings import REQUIRED, WithEnviron, WithRedis, integer, number, setting
from relay.feeds import FILE, FeedsFile, Peer, feeds_file, peers
from relay.lanes import Own

MOST_OWN = 1_000_000
"""Feeds with a lane of their own at most."""


def own(value: str) -> Own:
    """Parse how many feeds get a lane of their own, and which do in any case."""
    first, *named = value.split()
    wrong = [name for name in named if not re.fullmatch(r"[\w.-]{1,64}", name)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not a feed's name (1 to 64 letters, digits, _ . -)")
    return Own(integer(0, MOST_OWN)(first), tuple(dict.fromkeys(named)))


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """What the ingestor can be told."""

    lines: tuple[Peer, ...] = setting(
        "INGESTOR_URL",
        peers(repeatable=True),
        REQUIRED,
        "the unordered feed, ws:// or wss://; several: [feed=]url separated by spaces",
        unless=(FILE, ()),
    )
    feeds: FeedsFile = setting(  # noqa: RUF009 - it makes a field()
        FILE,
        WithEnviron(feeds_file(feeds=True)),
        "",
        "a feeds.toml (see feeds.example.toml), in place of `INGESTOR_URL`; SIGHUP reads it again",
    )
    backlog: int = setting(
        "INGESTOR_BACKLOG",
        integer(1, 1_000_000_000),
        "1000000",
        "frames waiting in Redis before reading from the feed pauses",
    )
    own_lanes: Own = setting(  # noqa: RUF009 - it makes a field()
        "INGESTOR_OWN_LANES",
        own,
        "16",
        "feeds that get a lane of their own: how many that come first, then names of any besides",
    )
    idle_timeout: float = setting(
        "INGESTOR_IDLE_TIMEOUT",
        number(1, 86400),
        "60",
        "seconds without a byte, pongs included, after which a line is connected anew",
    )
