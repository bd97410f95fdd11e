"""Wisdom's settings."""

from __future__ import annotations

import dataclasses

from chassis.broadcast.limits import Network, networks, origins
from chassis.settings import WithRedis, integer, number, setting, text

from .quotes import load


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """Settings of wisdom."""

    host: str = setting("WISDOM_HOST", text, "0.0.0.0", "address to listen on")
    port: int = setting(
        "WISDOM_PORT", integer(0, 65535), "8000", "port; 0 = any free port, which is logged"
    )
    period: float = setting(
        "WISDOM_PERIOD", number(0.1, 86_400), "5", "seconds from one quote to the next"
    )
    quotes: tuple[str, ...] = setting(
        "WISDOM_QUOTES", load, "built-in", "file of quotes, one a line; or built-in"
    )
    origins: tuple[str, ...] = setting(
        "WISDOM_ORIGINS",
        origins,
        "same",
        "web pages that may connect: same (origin), *, or origins, separated by spaces",
    )
    connections: int = setting(
        "WISDOM_CONNECTIONS", integer(1, 1_000_000), "10000", "connections to one replica"
    )
    per_address: int = setting(
        "WISDOM_CONNECTIONS_PER_ADDRESS",
        integer(1, 1_000_000),
        "2000",
        "connections from one address to one replica",
    )
    proxies: tuple[Network, ...] = setting(
        "WISDOM_PROXIES",
        networks,
        "",
        "addresses or networks whose X-Forwarded-For is believed, separated by spaces",
    )
