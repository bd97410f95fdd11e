"""The publisher's settings."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.settings import REQUIRED, WithRedis, integer, number, one_of, setting
from relay.feeds import Peer, peers

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
    )
    retain: int = setting(
        "PUBLISHER_RETAIN",
        integer(0, 1_000_000_000),
        "100000",
        "messages kept in `ordered` behind the slowest sink; also tells replays from restarts",
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
