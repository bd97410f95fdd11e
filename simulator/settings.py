"""The simulator's settings: everything that the feed and the endpoint can be made to do."""

from __future__ import annotations

import dataclasses

from chassis import clock
from chassis.settings import Common, integer, number, setting, text
from chassis.websocket import EXTERNAL_CLOSE_CODES

_SHARE = number(0, 1)
_COUNT = integer(0, 10**12)


def _seed(value: str) -> int:
    """Accept a number, or `random`, which is another one each time."""
    return clock.Dice().getrandbits(62) if value == "random" else integer(0, 2**63 - 1)(value)


def _close_code(value: str) -> int:
    """Accept a code that a close frame may carry."""
    code = integer(1000, 4999)(value)
    if code not in EXTERNAL_CLOSE_CODES and code < 3000:
        raise ValueError(f"{value} is no code that may be sent")
    return code


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Settings(Common):
    """Settings of the feed, then of the endpoint. A place is one message's turn in the feed."""

    host: str = setting("SIMULATOR_HOST", text, "0.0.0.0", "address to listen on")
    port: int = setting(
        "SIMULATOR_PORT", integer(0, 65535), "9000", "port; 0 = any free port, which is logged"
    )

    # The feed

    messages: int = setting("SIMULATOR_MESSAGES", _COUNT, "0", "messages in all; 0 = endless")
    rate: float = setting(
        "SIMULATOR_RATE", number(0, 10**7), "1000", "messages/s; 0 = as fast as TCP allows"
    )
    first_id: int = setting("SIMULATOR_FIRST_ID", integer(0, 2**63 - 1), "1", "the first id")
    seed: int = setting(
        "SIMULATOR_SEED", _seed, "1", "equal seeds make equal feeds; random = another at each start"
    )
    reorder: float = setting(
        "SIMULATOR_REORDER", _SHARE, "0.1", "share of messages that come 1 to DEPTH places late"
    )
    depth: int = setting(
        "SIMULATOR_DEPTH", integer(1, 100_000), "5", "places that a reordered message is late"
    )
    delayed: float = setting(
        "SIMULATOR_DELAYED", _SHARE, "0.001", "share of messages that are held up for some time"
    )
    delay: float = setting(
        "SIMULATOR_DELAY",
        number(0, 3600),
        "0.05",
        "median seconds of that time; its tail is heavy (Pareto, alpha 1.5)",
    )
    delay_max: float = setting(
        "SIMULATOR_DELAY_MAX", number(0, 3600), "0.5", "seconds that it is at most"
    )
    repeats: float = setting("SIMULATOR_REPEATS", _SHARE, "0", "share of messages sent twice")
    losses: float = setting("SIMULATOR_LOSSES", _SHARE, "0", "share of messages never sent")
    garbage: float = setting(
        "SIMULATOR_GARBAGE", _SHARE, "0", "share of extra frames that are no messages"
    )
    disconnect_every: int = setting(
        "SIMULATOR_DISCONNECT_EVERY",
        _COUNT,
        "0",
        "places after which all the feed's connections are closed, in varying ways; 0 = never",
    )
    rewind: int = setting(
        "SIMULATOR_REWIND",
        integer(0, 1_000_000),
        "0",
        "frames sent again to whoever connects when nobody was connected",
    )
    restart_every: int = setting(
        "SIMULATOR_RESTART_EVERY",
        _COUNT,
        "0",
        "messages after which the ids begin at FIRST_ID again; 0 = never",
    )

    # The endpoint

    refuse: int = setting(
        "SIMULATOR_REFUSE", _COUNT, "0", "connection attempts answered with 503 at first"
    )
    answer_delay: float = setting(
        "SIMULATOR_ANSWER_DELAY", number(0, 600), "0", "seconds before a handshake is answered"
    )
    slow: float = setting(
        "SIMULATOR_SLOW", number(0, 600), "0", "seconds of pause after each received batch"
    )
    stall_after: int = setting(
        "SIMULATOR_STALL_AFTER",
        _COUNT,
        "0",
        "messages on a connection after which it is read no more; 0 = never",
    )
    close_after: int = setting(
        "SIMULATOR_CLOSE_AFTER",
        _COUNT,
        "0",
        "messages on a connection after which it is closed; 0 = never",
    )
    close_code: int = setting(
        "SIMULATOR_CLOSE_CODE", _close_code, "1011", "the code it is closed with"
    )
