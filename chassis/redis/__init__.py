"""Redis, as the services see it: a link that is patient with a server that is away."""

from .address import Command, address
from .errors import ResponseError, Unavailable, transient
from .link import BLOCK_MS, Connection, Entry, Link, Script, checked, pairs
from .memory import Memory, memory
from .subscriber import Published, Subscriber

__all__ = [
    "BLOCK_MS",
    "Command",
    "Connection",
    "Entry",
    "Link",
    "Memory",
    "Published",
    "ResponseError",
    "Script",
    "Subscriber",
    "Unavailable",
    "address",
    "checked",
    "memory",
    "pairs",
    "transient",
]  # fmt: skip
