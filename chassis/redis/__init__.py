"""Redis, as the services see it: a link that is patient with a server that is away."""

from .errors import Unavailable, transient
from .link import BLOCK_MS, Link

__all__ = ["BLOCK_MS", "Link", "Unavailable", "transient"]
