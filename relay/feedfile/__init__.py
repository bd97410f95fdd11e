"""A file of feeds: what `FEEDS_FILE` names, read into typed words. Pure but for reading files.

`words` has the words and what each means, `values` reads them, `secrets` looks up `${NAME}`,
`check` finds what contradicts itself, and `read` puts it together. Every mistake is one line with
its place, and all are told at once.
"""

from .place import FeedFileError
from .read import load, parse
from .words import ANY, AUTO, CONNECTION, NEVER, Connection, Endpoint, Feed, Reply, Resume

__all__ = [
    "ANY",
    "AUTO",
    "CONNECTION",
    "NEVER",
    "Connection",
    "Endpoint",
    "Feed",
    "FeedFileError",
    "Reply",
    "Resume",
    "load",
    "parse",
]
