"""Where the server is, and what it wants to be told first.

URLs, with all that they can say about TLS, are read by redis-py.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import RedisError

Command = tuple[Any, ...]
"""A command's words: its name and its arguments, bytes, str or numbers."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect, and how."""

    host: str
    port: int
    path: str
    """Of a Unix socket; empty: TCP."""
    tls: ssl.SSLContext | None
    database: int
    greeting: tuple[Command, ...] = field(repr=False)
    """What to send first; each must be answered without an error."""


def address(url: str) -> Address:
    """Read a URL: redis://, rediss:// or unix://; raises ValueError, also for certificates."""
    try:
        options: dict[str, Any] = dict(parse_url(url))
        kind = options.pop("connection_class", None)
        tls = kind(**options).ssl_context.get() if kind is SSLConnection else None
    except (OSError, RedisError, TypeError) as error:
        raise ValueError(str(error)) from error
    greeting: list[Command] = []
    user, password = options.get("username"), options.get("password")
    if password is not None:
        greeting.append(("AUTH", user, password) if user else ("AUTH", password))
    database = int(options.get("db") or 0)
    if database:
        greeting.append(("SELECT", database))
    return Address(
        host=options.get("host", "localhost"),
        port=int(options.get("port", 6379)),
        path=options.get("path", ""),
        tls=tls,
        database=database,
        greeting=tuple(greeting),
    )
