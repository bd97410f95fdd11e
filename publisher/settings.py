"""The publisher's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chassis.settings import (
    REQUIRED,
    WithEnviron,
    WithRedis,
    integer,
    number,
    one_of,
    setting,
)
from relay.feedfile import Endpoint, Feed, load
from relay.feeds import Peer, peers, sink

AT_LEAST_ONCE = "at-least-once"
AT_MOST_ONCE = "at-most-once"


def feeds(file: str, environ: Mapping[str, str]) -> Mapping[str, Feed]:
    """Read endpoints from the file of this name, none from none; raises FeedFileError."""
    return load(file, environ, feeds=False) if file else {}


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """What the publisher can be told."""

    sinks: tuple[Peer, ...] = setting(
        "PUBLISHER_URL",
        peers(repeatable=False),
        REQUIRED,
        "the ordered endpoint, ws:// or wss://; several: [feed=]url separated by spaces",
        unless=("FEEDS_FILE", ()),
    )
    feeds: Mapping[str, Feed] = setting(
        "FEEDS_FILE",
        WithEnviron(feeds),
        "",
        "a feeds.toml (see feeds.example.toml), in place of `PUBLISHER_URL`",
    )
    retain: int = setting(
        "PUBLISHER_RETAIN",
        integer(0, 1_000_000_000),
        "100000",
        "messages kept in `ordered` behind the slowest sink",
    )
    delivery: str = setting(
        "PUBLISHER_DELIVERY",
        one_of(AT_LEAST_ONCE, AT_MOST_ONCE),
        AT_LEAST_ONCE,
        "what a broken connection means: unconfirmed messages are sent again, or never",
    )
    stuck_timeout: float = setting(
        "PUBLISHER_STUCK_TIMEOUT",
        number(0.1, 3600),
        "20",
        "seconds without a sign that the endpoint reads, after which it is dropped",
    )

    @property
    def endpoints(self) -> Mapping[Peer, Endpoint | None]:
        """Where to send, and what a file says of each."""
        return dict.fromkeys(self.sinks) | {
            sink(feed, words): words for feed in self.feeds.values() for words in feed.endpoints
        }
