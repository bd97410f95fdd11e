"""The Redis keys and field names that the relay's services share, spelled once.

Braces make the feed's name a hash tag: all keys of one feed share a slot, so one script may
touch them together on Redis Cluster.
"""

from __future__ import annotations

FEEDS = "feeds"
"""Set of feed names; the ingestor adds to it, orderers and publishers find their work in it."""


def raw(feed: str) -> str:
    """Name the stream of frames as received; an entry is a batch."""
    return f"raw:{{{feed}}}"


def ordered(feed: str) -> str:
    """Name the stream of frames in order; an entry is a run, its id `<epoch>-<last id>`."""
    return f"ordered:{{{feed}}}"


def order(feed: str) -> str:
    """Name the hash that holds the orderer's checkpoint (the `ORDER_*` fields)."""
    return f"order:{{{feed}}}"


def gaps(feed: str) -> str:
    """Name the gap ledger, a stream with one entry for each hole (the `GAP_*` fields)."""
    return f"gaps:{{{feed}}}"


def rejected(feed: str) -> str:
    """Name the capped stream of frames that were not accepted (the `REJECTED_*` fields)."""
    return f"rejected:{{{feed}}}"


def sink(feed: str, name: str) -> str:
    """Name the hash that holds a sink's confirmed position (the `SINK_*` fields)."""
    return f"sink:{{{feed}}}:{name}"


def slowest(feed: str) -> str:
    """Name the string that holds the position of the feed's slowest sink."""
    return f"slowest:{{{feed}}}"


# Fields of an entry in `raw` (see `relay.raw`): a batch carries the first four, then `0`, `1`, …
# for its frames; a change of the line's connection carries EVENT instead of frames.
T = b"t"
"""Receive time, µs since 1970 (UTC). In `ordered`: see `relay.ordered`."""
LINE = b"line"
CONN = b"conn"
UP = b"up"
"""For how long the connection has been listened to, ms; pauses are left out."""
EVENT = b"event"
CONNECTED = b"connected"
DISCONNECTED = b"disconnected"
PAUSED = b"paused"
RESUMED = b"resumed"
"""The line stays connected, but is not read for a while because too much waits in Redis."""
ALIVE = b"alive"
"""The line has nothing else to say: it is listened to, and nothing comes."""

# Fields of the hash `order`.
ORDER_EPOCH = b"epoch"
ORDER_NEXT = b"next"
ORDER_RAW = b"raw"
"""Checkpoint: the last entry of `raw` that is settled together with all before it."""
ORDER_SEEN = b"seen"
"""The last entry of `raw` whose frames have been counted."""
ORDER_LINES = b"lines"
"""The lines that were connected at `seen`, separated by spaces."""
ORDER_FIRST = b"first"
"""First id of the epoch; empty while it is looked for."""
ORDER_BEGUN = b"begun"
"""The epoch's origin: which frames of `raw` belong to it (see `orderer.store`); empty when no entry
that may be read again is older than it."""
ORDER_COMMIT = b"commit"
"""Name of the last commit, by which a repeated one is recognised."""
ORDER_STATUS = b"status"
"""What the orderer holds in memory, as JSON, for `python -m orderer status`."""
ORDER_INCARNATION = b"incarnation"
"""Random identity of the numbering; a new one tells that Redis lost the old."""

# Fields of an entry in `gaps`.
GAP_EPOCH = b"epoch"
GAP_FIRST = b"first"
GAP_LAST = b"last"
GAP_OPENED = b"opened"
GAP_CLOSED = b"closed"
GAP_CAUSE = b"cause"
GAP_LATE = b"late"

# Fields of an entry in `rejected`.
REJECTED_REASON = b"reason"
REJECTED_LINE = b"line"
REJECTED_FRAME = b"frame"
REJECTED_SIZE = b"size"

# Fields of the hash `sink`.
SINK_POSITION = b"position"
SINK_INCARNATION = b"incarnation"
