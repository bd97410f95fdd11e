"""The ingestor's settings."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.settings import REQUIRED, WithEnviron, WithRedis, integer, number, setting
from relay.feeds import FeedsFile, Peer, feeds_file, peers


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """What the ingestor can be told."""

    lines: tuple[Peer, ...] = setting(
        "INGESTOR_URL",
        peers(repeatable=True),
        REQUIRED,
        "the unordered feed, ws:// or wss://; several: [feed=]url separated by spaces",
        unless=("FEEDS_FILE", ()),
    )
    feeds: FeedsFile = setting(  # noqa: RUF009 - it makes a field()
        "FEEDS_FILE",
        WithEnviron(feeds_file),
        "",
        "a feeds.toml (see feeds.example.toml), in place of `INGESTOR_URL`; SIGHUP reads it again",
    )
    backlog: int = setting(
        "INGESTOR_BACKLOG",
        integer(1, 1_000_000_000),
        "1000000",
        "frames waiting in Redis before reading from the feed pauses",
    )
    idle_timeout: float = setting(
        "INGESTOR_IDLE_TIMEOUT",
        number(1, 86400),
        "60",
        "seconds without a byte, pongs included, after which a line is connected anew",
    )
