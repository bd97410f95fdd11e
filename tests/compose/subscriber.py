"""Clients of the wisdom service that go on listening while a test does something else."""

from __future__ import annotations

import json
import threading
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.waiting import DEADLINE

PING = 5.0
"""Seconds between two signs of life."""


class Subscriber:
    """A client that listens until the end of its `with` block, or until its connection breaks.

    `quotes` are what it has heard, each with the time at which it came.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self.quotes: list[tuple[float, str]] = []
        self.lost = False

    def __enter__(self) -> Subscriber:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._leaving.set()
        self._thread.join()

    @property
    def texts(self) -> list[str]:
        """What it has heard, without the times."""
        return [text for _, text in self.quotes]

    def since(self, then: float) -> list[tuple[float, str]]:
        """List what it has heard since `then`."""
        return [(at, quote) for at, quote in self.quotes if at >= then]

    def following(self, quote: str, number: int) -> list[str]:
        """List `quote` and what came after it, so many in all; fewer if they have not come."""
        texts = self.texts
        return texts[texts.index(quote) :][:number] if quote in texts else []

    def _listen(self) -> None:
        with connect(self._url) as connection:
            greeting = json.loads(connection.recv(timeout=DEADLINE))
            try:
                self._hear(connection, greeting["payload"]["id"])
            except ConnectionClosed:
                self.lost = True

    def _hear(self, connection: ClientConnection, own: str) -> None:
        def say(event: str) -> None:
            connection.send(json.dumps({"type": event, "payload": {"id": own}}))

        say("connect")
        say("subscribe")
        due = 0.0
        while not self._leaving.is_set():
            if time.monotonic() >= due:
                say("ping")
                due = time.monotonic() + PING
            try:
                message = json.loads(connection.recv(timeout=0.1))
            except TimeoutError:
                continue
            assert message["type"] != "error", message
            if message["type"] == "wisdom_distribution":
                self.quotes.append((time.monotonic(), message["payload"]["message"]))
