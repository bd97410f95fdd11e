"""The capped stream of frames that were not accepted, kept for inspection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from chassis.redis import Link

from . import keys

LENGTH = 1000
"""Entries in the stream."""

BYTES = 4096
"""Bytes of a rejected frame that are kept."""


class Reject(NamedTuple):
    """A frame that was not accepted."""

    reason: str
    """One of `relay.messages.REASONS`."""
    line: bytes | str
    frame: bytes


async def park(link: Link, feed: str, rejects: Iterable[Reject]) -> None:
    """Keep rejected frames; raises what the link raises. Doing it again keeps them twice."""
    replies = await link.send_all(
        [
            (
                "XADD", keys.rejected(feed), "MAXLEN", LENGTH, "*",
                keys.REJECTED_REASON, reject.reason,
                keys.REJECTED_LINE, reject.line,
                keys.REJECTED_SIZE, len(reject.frame),
                keys.REJECTED_FRAME, reject.frame[:BYTES],
            )
            for reject in rejects
        ]
    )  # fmt: skip
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
