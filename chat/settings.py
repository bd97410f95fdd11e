"""The chat's settings."""

from __future__ import annotations

import dataclasses

from broadcast import settings as handshake
from broadcast.proxies import Network
from chassis.settings import WithRedis, integer, number, setting, text


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """Settings of the chat."""

    host: str = setting("CHAT_HOST", text, "0.0.0.0", "address to listen on")
    port: int = setting(
        "CHAT_PORT", integer(0, 65535), "4000", "port; 0 = any free port, which is logged"
    )
    log_file: str = setting(
        "CHAT_LOG_FILE", text, "messages.json", "where messages and events are written down"
    )
    log_bytes: int = setting(
        "CHAT_LOG_BYTES",
        integer(1_000_000, 10**15),
        "1000000000",
        "bytes at which it becomes messages.json.1, in place of the former one",
    )
    welcome: str = setting("CHAT_WELCOME", text, "Добро пожаловать в чат!", "the greeting")
    history: int = setting(
        "CHAT_HISTORY", integer(0, 10_000), "100", "messages that a newcomer gets"
    )
    rate: float = setting(
        "CHAT_RATE",
        number(0.1, 1e6),
        "20",
        "messages/s of one connection, twice that at once; what exceeds it is refused",
    )
    origins: tuple[str, ...] = handshake.origins("CHAT_ORIGINS")
    message_bytes: int = setting(
        "CHAT_MESSAGE_BYTES", integer(1, 32_768), "8192", "longest message, bytes of its JSON"
    )
    retain: int = setting(
        "CHAT_RETAIN",
        integer(1_000, 10_000_000),
        "100000",
        "records kept in Redis, for clients that come back and for the log",
    )
    connections: int = handshake.connections("CHAT_CONNECTIONS")
    per_address: int = handshake.per_address("CHAT_CONNECTIONS_PER_ADDRESS")
    proxies: tuple[Network | str, ...] = handshake.proxies("CHAT_PROXIES")
    idle_timeout: float = setting(
        "CHAT_IDLE_TIMEOUT",
        number(1, 3600),
        "60",
        "seconds without a sign of life, not even a pong, after which a connection is closed",
    )
