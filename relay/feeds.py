"""Parse `[feed=]url` lists, and give each URL a short, stable name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from chassis.logs import Log
from chassis.settings import redact, url

from .feedfile import Endpoint, Feed, FeedFileError, load

DEFAULT_FEED = "default"

FILE = "FEEDS_FILE"
"""The setting that names the file of feeds."""


class Peer(NamedTuple):
    """A WebSocket peer of a feed: where it is, and its name in keys, logs and metrics."""

    feed: str
    name: str
    url: str

    def __repr__(self) -> str:
        return f"Peer({self.feed!r}, {self.name!r}, {redact(self.url)!r})"


def peers(*, repeatable: bool) -> Callable[[str], tuple[Peer, ...]]:
    """Make a parser of `[feed=]url` separated by spaces, with ws:// or wss:// URLs.

    A peer is named by its URL's host, port and path, so that the name says where it is, holds
    no secret, and stays the same over restarts; what would be equal gets `#2`, `#3`, … if
    `repeatable`, and is a mistake otherwise.
    """
    check = url("ws", "wss")

    def parse(value: str) -> tuple[Peer, ...]:
        found: list[Peer] = []
        for word in value.split():
            feed, address = DEFAULT_FEED, word
            match = re.match(r"([^=:/?#]*)=(.*)", word, re.DOTALL)
            if match:
                feed, address = match.groups()
                if not re.fullmatch(r"[\w.-]{1,64}", feed):
                    raise ValueError(
                        f"{feed!r} is not a feed's name (1 to 64 letters, digits, _ . -)"
                    )
            check(address)
            name = _name(address)
            taken = {peer.name for peer in found if peer.feed == feed}
            if name in taken and not repeatable:
                raise ValueError(f"{redact(address)!r} is named twice for the feed {feed!r}")
            serial = 2
            while name in taken:
                name = f"{_name(address)}#{serial}"
                serial += 1
            found.append(Peer(feed, name, address))
        if not found:
            raise ValueError("names no URL")
        return tuple(found)

    return parse


def line(words: Feed) -> Peer:
    """Make the peer of a feed from a file, named by its URL as it stands there."""
    source = words.url.source
    name = _name(source) if urlsplit(source).hostname else words.name
    return Peer(words.name, name, source)


def sink(feed: Feed, words: Endpoint) -> Peer:
    """Make the peer of an endpoint from a file, named as it is there."""
    return Peer(feed.name, words.name, words.url.source)


class Change(NamedTuple):
    """What a file that was read again says anew."""

    file: FeedsFile
    changed: list[str]
    """Feeds whose words are others, new ones too."""
    removed: list[str]


@dataclass(frozen=True, repr=False)
class FeedsFile:
    """A file of feeds, and what stood in it when it was read."""

    name: str
    """Empty: there is none."""
    words: Mapping[str, Feed]
    read: Callable[[], FeedsFile]
    """Reads it again, and the files of its secrets; raises FeedFileError."""

    def __repr__(self) -> str:
        return f"FeedsFile({self.name!r}, {list(self.words)})"

    def again(self, log: Log) -> Change | None:
        """Read it again; None if it has mistakes, of which each is logged: then nothing changes."""
        try:
            file = self.read()
        except FeedFileError as error:
            for mistake in error.mistakes:
                log.error("feeds not taken over", mistake=mistake)
            return None
        before, after = self.words, file.words
        changed = [name for name in after if after[name] != before.get(name)]
        removed = [name for name in before if name not in after]
        log.info("feeds taken over", changed=changed, removed=removed, feeds=len(after))
        return Change(file, changed, removed)


def feeds_file(
    *, feeds: bool = False, endpoints: bool = False
) -> Callable[[str, Mapping[str, str]], FeedsFile]:
    """Make a parser of a file's name for who connects to `feeds`, to `endpoints`, or to none."""

    def parse(name: str, environ: Mapping[str, str]) -> FeedsFile:
        words = load(name, environ, feeds=feeds, endpoints=endpoints) if name else {}
        if not endpoints:  # what is said of them is nothing that changes a feed here
            words = {feed: replace(each, endpoints=()) for feed, each in words.items()}
        return FeedsFile(name, words, partial(parse, name, environ))

    return parse


def _name(address: str) -> str:
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return re.sub(r"[^\w.:/\[\]-]", "_", f"{host}{port}{parts.path.rstrip('/')}")
