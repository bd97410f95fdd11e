"""Wisdom's Redis keys and field names, spelled once.

Its name is the hash tag, so the script that publishes may look at the lease.
"""

from __future__ import annotations

WISDOM = "wisdom"
"""The channel on which quotes are published; as a feed, what the lease of the tick is for."""


def quotes() -> str:
    """Name the capped stream of the latest quotes; an entry's id is when it was published."""
    return f"quotes:{{{WISDOM}}}"


def probe(instance: str) -> str:
    """Name the channel on which an instance hears itself, and so knows that it hears at all."""
    return f"wisdom:canary:{instance}"


def presence() -> str:
    """Name the hash from instance to how many are subscribed there."""
    return f"wisdom:{{{WISDOM}}}:presence"


QUOTE = b"quote"
"""The one field of an entry in `quotes`."""
