"""redis-py's client with the right options.

Its own retries are off, for a retried XADD writes twice. RESP3's maintenance notifications may hand
a left-over reply to the next caller, so the protocol is 2.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer


class _Packing:
    """A mix-in for connections that pack commands in C.

    redis-py does so in its synchronous client only; in Python a message in a batch costs 2 µs
    more.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack one command."""
        packed: list[bytes] = _SERIALIZER.pack(*args)
        return packed


_SERIALIZER = HiredisRespSerializer()


def make_client(url: str, timeout: float) -> Redis:
    """Make a client that waits `timeout` seconds for an answer; nothing connects yet."""
    pool = ConnectionPool.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_read_size=256 * 1024,
    )
    kind = pool.connection_class
    pool.connection_class = type(f"Packing{kind.__name__}", (_Packing, kind), {})
    client: Redis = Redis.from_pool(pool)
    for command in ("XREAD", "XRANGE", "XREVRANGE"):
        client.set_response_callback(command, _as_is)
    return client


def _as_is(response: Any, **_options: Any) -> Any:
    return response
