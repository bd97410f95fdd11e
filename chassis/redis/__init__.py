"""Redis, as the services see it: a link that is patient with a server that is away."""

from .errors import ResponseError, Unavailable, transient
from .link import BLOCK_MS, Command, Entry, Link, Script, checked, pairs
from .subscriber import Published, Subscriber

__all__ = [
    "BLOCK_MS",
    "Command",
    "Entry",
    "Link",
    "Published",
    "ResponseError",
    "Script",
    "Subscriber",
    "Unavailable",
    "checked",
    "pairs",
    "transient",
]  # fmt: skip
