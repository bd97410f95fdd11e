"""The Redis keys and field names that the relay's services share, spelled once.

A *lane* is a pair of streams that carries one feed or many; see `relay.lanes`. Braces make its name
a hash tag: all keys of one lane share a slot, so one script may touch them together on Redis
Cluster. What belongs to a feed has the lane's name, too, if that is a lane of the feed's own, which
has its name; and else the feed's behind it.
"""

from __future__ import annotations

from collections.abc import Mapping

FEEDS = "feeds"
"""Hash: feed → the lane that carries it; a set of feeds in earlier versions."""


def raw(lane: str) -> str:
    """Name the stream of frames as received; an entry holds a batch of each of some lines."""
    return f"raw:{{{lane}}}"


def ordered(lane: str) -> str:
    """Name the stream of frames in order; an entry is a run, its id `<generation>-<serial>`."""
    return f"ordered:{{{lane}}}"


def order(lane: str) -> str:
    """Name the hash that holds the orderer's checkpoint (the `ORDER_*` fields)."""
    return f"order:{{{lane}}}"


def next(lane: str) -> str:
    """Name the hash that holds where outputs end: feed, or feed:key → `<epoch>:<next>:<serial>`."""
    return f"next:{{{lane}}}"


def status(lane: str) -> str:
    """Name the hash of what the orderer holds in memory: feed → JSON.

    It is for `python -m orderer status` and the viewer, with the settings that the orderer decides
    by, for the verbs that decide, too. A feed of which nothing has changed is not told of anew; the
    field `STATUS_TIME` says when the orderer last did so, µs.
    """
    return f"status:{{{lane}}}"


STATUS_TIME = b":time"


def gaps(lane: str, feed: str) -> str:
    """Name the gap ledger, a stream with one entry for each hole (the `GAP_*` fields)."""
    return f"gaps:{{{lane}}}{within(lane, feed)}"


def prints(lane: str, feed: str) -> str:
    """Name the stream of fingerprints of what was put in order (see `relay.prints`)."""
    return f"prints:{{{lane}}}{within(lane, feed)}"


def rejected(lane: str, feed: str) -> str:
    """Name the capped stream of frames that were not accepted (the `REJECTED_*` fields)."""
    return f"rejected:{{{lane}}}{within(lane, feed)}"


def sink(lane: str, feed: str, name: str) -> str:
    """Name the hash that holds a sink's confirmed position (the `SINK_*` fields)."""
    return f"sink:{{{lane}}}{within(lane, feed)}:{name}"


def aside(lane: str, feed: str, name: str) -> str:
    """Name the stream of entries of `ordered` that a shared lane need not keep for a sink."""
    return f"aside:{{{lane}}}{within(lane, feed)}:{name}"


def confirmed(lane: str) -> str:
    """Name the hash: feed → how many of its messages its slowest sink has confirmed.

    It is to be compared with the feed's `ORDER_SERIAL`. The field `ASIDE` tells how many bytes are
    set aside, and for which feeds, in a lane that is shared: `<bytes> <feed> …`.
    """
    return f"confirmed:{{{lane}}}"


def of_lane(lane: str) -> str:
    """Make the pattern of those keys of a lane of which no list has the names."""
    return f"*{{{lane}}}:*"


def within(lane: str, feed: str, key: str = "") -> str:
    """Tell a feed, or a key of it, from others of its lane; empty for a lane's own feed.

    A feed's name has no colon, and nothing else follows a key.
    """
    return ("" if feed == lane else f":{feed}") + (f":{key}" if key else "")


# Roles of the leases on a lane (see `chassis.lease`).
ORDERER = "orderer"
PUBLISHER = "publisher"


LINES = "lines:"
"""Begins the roles of those who read lines."""


def lines_role(number: int) -> str:
    """Name the lease of who reads the first line of each feed of a lane (0), the second, …."""
    return f"{LINES}{number}"


# Fields of an entry in `raw` (see `relay.raw`): a batch carries the first four, then `0`, `1`, …
# for its frames; a change of the line's connection carries EVENT instead of frames.
FEED = b"feed"
"""Whose batch it is, before all else; left out in a feed's own lane."""
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

# Fields of an entry in `ordered`, beside `T`, and in `prints`.
SEQ = b"seq"
PRINTS_C = b"c"
PRINTS_TO = b"to"
PRINTS_KEY = b"key"

# Fields of the hash `order`. The first are the lane's.
ORDER_INCARNATION = b"incarnation"
"""Random identity of the numbering; a new one tells that Redis lost the old."""
ORDER_GENERATION = b"generation"
"""First half of the ids of entries in `ordered`: no two orderers use the same."""
ORDER_SERIAL = b"serial"
"""How many messages came out, of the lane and of each feed."""
ORDER_FLOOR = b"floor"
"""First epoch of a sequence that is new; above what is known of a numbering that was lost."""
ORDER_RAW = b"raw"
"""Checkpoint: the last entry of `raw` that is settled together with all before it."""
ORDER_SEEN = b"seen"
"""The last entry of `raw` whose frames have been counted."""
ORDER_WAITING = b"waiting"
"""The feeds that hold frames back as of `seen`, separated by spaces: time matters to them."""
ORDER_COMMIT = b"commit"
"""Name of the last commit, by which a repeated one is recognised."""
# These are each feed's, or each key's; its name follows (see `within`).
ORDER_LINES = b"lines"
"""The lines of a feed that were connected at `seen`, separated by spaces."""
ORDER_WORDS = b"words"
"""What a file of feeds says of a feed's order, as of the last commit (see `relay.feedfile.left`);
empty, or left out, if none names it."""
ORDER_FIRST = b"first"
"""First id of the epoch; empty while it is looked for."""
ORDER_BEGUN = b"begun"
"""The epoch's origin: which frames of `raw` belong to it (see `orderer.commit`); empty when no
entry that may be read again is older than it."""
ORDER_FORGOTTEN = b"forgotten"
"""What is left of a feed that was forgotten in a shared lane (see `relay.forgotten`)."""
# These, and `status`, an earlier version kept here, too: see `next`.
ORDER_EPOCH = b"epoch"
ORDER_NEXT = b"next"


def words(lane: str, fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """List the `ORDER_WORDS` of all feeds of a lane that have any, from its hash `order`."""
    found = {}
    for name, value in fields.items():
        field, _, feed = name.partition(b":")
        if field == ORDER_WORDS and value:
            found[feed.decode() or lane] = value.decode()
    return found


def of(lane: str, feed: str, field: bytes, key: str = "") -> bytes:
    """Name a field of a feed, or of a key of it, in the hash `order`."""
    return field + within(lane, feed, key).encode()


# Fields of an entry in `gaps`.
GAP_EPOCH = b"epoch"
GAP_FIRST = b"first"
GAP_LAST = b"last"
GAP_OPENED = b"opened"
GAP_CLOSED = b"closed"
GAP_CAUSE = b"cause"
GAP_LATE = b"late"
GAP_KEY = b"key"
"""Left out where a feed has one order for all."""

# Fields of an entry in `rejected`.
REJECTED_REASON = b"reason"
REJECTED_LINE = b"line"
REJECTED_FRAME = b"frame"
REJECTED_SIZE = b"size"

# Fields of the hash `sink`.
SINK_POSITION = b"position"
SINK_SERIAL = b"serial"
"""Serial of the last message of its feed that it has confirmed."""
SINK_INCARNATION = b"incarnation"
SINK_ASIDE = b"aside"
"""Up to this entry, what it has not confirmed is set aside; left out if nothing is."""

ASIDE = ":aside"
"""A field of the hash `confirmed`; no feed's name has a colon."""
