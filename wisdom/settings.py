"""Wisdom's settings."""

from __future__ import annotations

import dataclasses

from broadcast import settings as handshake
from broadcast.proxies import Network
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
    origins: tuple[str, ...] = handshake.origins("WISDOM_ORIGINS")
    connections: int = handshake.connections("WISDOM_CONNECTIONS")
    per_address: int = handshake.per_address("WISDOM_CONNECTIONS_PER_ADDRESS")
    proxies: tuple[Network | str, ...] = handshake.proxies("WISDOM_PROXIES")
