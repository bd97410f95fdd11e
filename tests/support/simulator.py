"""The simulator as a process: a feed that makes trouble, and an endpoint that checks all."""

from __future__ import annotations

from typing import Any

from . import http
from .processes import Service
from .waiting import until

SURNAME = "somebody"


class Simulator(Service):
    """A running simulator; settings are named without their prefix."""

    def __init__(self, **settings: object) -> None:
        tame = {"REORDER": 0, "DELAYED": 0, "HOST": "127.0.0.1", "PORT": 0}
        chosen = {f"SIMULATOR_{name}": value for name, value in {**tame, **settings}.items()}
        super().__init__("simulator", **chosen)
        self.port: int = self.wait_for("simulator listens")["port"]
        self.feed_url = f"ws://127.0.0.1:{self.port}/raw-messages"
        self.endpoint_url = f"ws://127.0.0.1:{self.port}/ordered-messages/{SURNAME}"

    def feed(self) -> dict[str, Any]:
        """Tell how far the feed is."""
        feed: dict[str, Any] = self.page("/feed").json()
        return feed

    def report(self, surname: str = SURNAME) -> dict[str, Any]:
        """Tell what the endpoint has found out about what it received."""
        report: dict[str, Any] = self.page("/report").json().get(surname, {})
        return report

    @property
    def received(self) -> int:
        """Messages that the endpoint has received."""
        count: int = self.report().get("received", 0)
        return count

    def wait_for_more(self, messages: int, what: str) -> None:
        """Wait until the endpoint has received so many more than now."""
        goal = self.received + messages
        until(lambda: self.received >= goal, what)

    def page(self, path: str) -> http.Answer:
        """GET what is not the ops endpoint's."""
        return http.get(self.port, path)
