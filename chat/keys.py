"""The chat's Redis keys and field names, spelled once.

The room's name is the hash tag, so one script may touch all that belongs to a room.
"""

from __future__ import annotations


def channel(room: str) -> str:
    """Name the channel on which a room's records are published."""
    return f"chat:{{{room}}}"


def log(room: str) -> str:
    """Name the capped stream of a room's messages and events, entry id `<epoch>-<seq>`."""
    return f"chat:{{{room}}}:log"


def probe(room: str, instance: str) -> str:
    """Name the channel on which an instance hears itself, and so knows that it hears at all."""
    return f"chat:{{{room}}}:canary:{instance}"


def writer(room: str, instance: str) -> str:
    """Name the string that holds an instance's last batch and its outcome; expires."""
    return f"chat:{{{room}}}:writer:{instance}"


def key(room: str, digest: str) -> str:
    """Name the string that tells which record a client's idempotency key became; expires."""
    return f"chat:{{{room}}}:key:{digest}"


def size(room: str) -> str:
    """Name the string that holds how many bytes the room's log takes, roughly."""
    return f"chat:{{{room}}}:size"


def written(room: str) -> str:
    """Name the string that holds the position up to which the room's log was written down."""
    return f"chat:{{{room}}}:written"


def presence(room: str) -> str:
    """Name the hash from instance to who is connected to it."""
    return f"chat:{{{room}}}:presence"


def cut(room: str, client: str) -> str:
    """Name the string that remembers that a client was cut because it read too slowly; expires."""
    return f"chat:{{{room}}}:cut:{client}"


def clients(room: str) -> str:
    """Name the counter from which clients get their numbers."""
    return f"chat:{{{room}}}:clients"


def secret(room: str) -> str:
    """Name the string with which clients' tokens are signed."""
    return f"chat:{{{room}}}:secret"


def hello(room: str) -> str:
    """Name the counter of the playground's regular greetings."""
    return f"chat:{{{room}}}:hello"


# The first field of an entry in a room's log, which holds the record's bytes.
MESSAGE = b"m"
EVENT = b"e"
"""What happened, for the log only: clients do not get it."""
EPOCH = b"epoch"
"""Begins an epoch: its entry has the sequence number 0 and is no record."""
