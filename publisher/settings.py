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
from relay.feedfile import Endpoint
from relay.feeds import FILE, FeedsFile, Peer, feeds_file, peers, sink

AT_LEAST_ONCE = "at-least-once"
AT_MOST_ONCE = "at-most-once"


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """What the publisher can be told."""

    sinks: tuple[Peer, ...] = setting(
        "PUBLISHER_URL",
        peers(repeatable=False),
        REQUIRED,
        "the ordered endpoint, ws:// or wss://; several: [feed=]url separated by spaces",
        unless=(FILE, ()),
    )
    feeds: FeedsFile = setting(  # noqa: RUF009 - it makes a field()
        FILE,
        WithEnviron(feeds_file(endpoints=True)),
        "",
        "a feeds.toml (see feeds.example.toml), in place of `PUBLISHER_URL`; SIGHUP reads it again",
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
    drain_timeout: float = setting(
        "PUBLISHER_DRAIN_TIMEOUT",
        number(0, 86400),
        "60",
        "seconds without a confirmation after which an endpoint gone from the file is let go",
    )

    @property
    def endpoints(self) -> Mapping[Peer, Endpoint | None]:
        """Where to send, and what a file says of each."""
        told = {
            sink(feed, words): words
            for feed in self.feeds.words.values()
            for words in feed.endpoints
        }
        return dict.fromkeys(self.sinks) | told
