"""The capped stream of frames that were not accepted, kept for inspection."""

from __future__ import annotations

from collections.abc import Iterable

from chassis.redis import Command, Link, checked

from . import keys
from .messages import Reject

LENGTH = 1000
"""Entries in the stream."""

BYTES = 4096
"""Bytes of a rejected frame that are kept."""


async def park(link: Link, lane: str, feed: str, rejects: Iterable[Reject]) -> None:
    """Keep rejected frames; raises what the link raises. Doing it again keeps them twice."""
    checked(await link.send_all(commands(lane, feed, rejects)))


def commands(lane: str, feed: str, rejects: Iterable[Reject]) -> list[Command]:
    """Make the commands that do so."""
    return [
        (
            "XADD", keys.rejected(lane, feed), "MAXLEN", LENGTH, "*",
            keys.REJECTED_REASON, reject.reason,
            keys.REJECTED_LINE, reject.line,
            keys.REJECTED_SIZE, len(reject.frame),
            keys.REJECTED_FRAME, reject.frame[:BYTES],
        )
        for reject in rejects
    ]  # fmt: skip
