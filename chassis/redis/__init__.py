"""Redis, as the services see it: a link that is patient with a server that is away."""

from .errors import Unavailable, transient
from .link import BLOCK_MS, Command, Entry, Link, Script, pairs

__all__ = [
    "BLOCK_MS", "Command", "Entry", "Link", "Script", "Unavailable", "pairs", "transient",
]  # fmt: skip
