"""The verb `try`: connect to an endpoint for ten seconds, and say what it says.

It sends no message: what opens the connection, replies and pings as they come due, and one
WebSocket ping, since pongs are what confirms unless the endpoint has an `ack`. It needs no Redis
and writes nothing anywhere. An endpoint that allows one connection only is taken away from a
publisher at work.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from chassis import clock
from chassis.websocket import BatchingClient, ConnectionClosed
from relay import trying
from relay.feedfile import Endpoint, FeedFileError, load
from relay.talking import Talk
from relay.trying import pick

from .trial import Trial

NAMES = {
    "feed": "name of the feed; may be left out if one has endpoints",
    "endpoint": "name of its endpoint; may be left out if one",
}

PING = b"try"
"""The payload of the ping."""


def main(arguments: Sequence[str]) -> int:
    """Try an endpoint; returns the exit status.

    0: it stayed connected, and has answered a ping if pongs are to confirm; 1: not so; 2: misuse.
    """
    return trying.main("publisher", __doc__, NAMES, arguments, _choose)


def _choose(file: str, feed: str, endpoint: str) -> Trying:
    feeds = load(file, os.environ, feeds=False)
    if feed in feeds and not feeds[feed].endpoints:
        raise FeedFileError([f"{file}: the feed {feed} has no endpoint"])
    sending = {name: words for name, words in feeds.items() if words.endpoints}
    if not sending:
        raise FeedFileError([f"{file} has no endpoint"])
    words = pick(feed, sending, f"which feed? {file} has endpoints of:")
    named = {each.name: each for each in words.endpoints}
    return Trying(pick(endpoint, named, f"which endpoint? the feed {words.name} has:"))


class Trying(trying.Trying):
    """One connection to an endpoint, for a person to look at."""

    def __init__(self, words: Endpoint) -> None:
        talk = Talk(words)
        self._judge = Trial(words, talk.conversation)
        # The library would send pings of its own.
        super().__init__(talk, self._judge, ping_interval=None)

    def _connected(self, connection: BatchingClient) -> None:
        asked: float | None = clock.monotonic()

        def pong(payload: bytes) -> None:
            nonlocal asked
            if payload == PING and asked is not None:
                self.tell([self._judge.ponged(clock.monotonic() - asked)])
                asked = None

        connection.on_pong = pong
        with contextlib.suppress(ConnectionClosed):  # what it has said before is still to be heard
            connection.write((), PING)
            self.tell(["> a ping"])
