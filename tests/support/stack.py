"""Everything that one test has running, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .processes import Service
from .servers import Server
from .simulator import Simulator
from .stranger import Endpoint, Feed, Message
from .waiting import until

LEASE_TTL = 1
"""Seconds, so that takeovers are quick; Redis then has 0.3 s to answer."""


class Stack:
    """Start services, feeds and endpoints around one Redis server; `close()` ends them all."""

    def __init__(self, redis: Server) -> None:
        self.redis = redis
        self.services: list[Service] = []
        self._closers: list[Callable[[], None]] = []

    def service(self, module: str, **settings: object) -> Service:
        """Start `python -m module` with these settings and the Redis server's URL."""
        settings = {"LEASE_TTL": LEASE_TTL, "REDIS_URL": self.redis.url, **settings}
        service = Service(module, **settings)
        self.services.append(service)
        return service

    def ingestor(self, *urls: str, **settings: object) -> Service:
        """Start an ingestor on these feeds."""
        return self.service("ingestor", INGESTOR_URL=" ".join(urls), **settings)

    def orderer(self, **settings: object) -> Service:
        """Start an orderer."""
        return self.service("orderer", **settings)

    def publisher(self, *urls: str, **settings: object) -> Service:
        """Start a publisher to these endpoints."""
        return self.service("publisher", PUBLISHER_URL=" ".join(urls), **settings)

    def relay(self, feed: str, endpoint: str, **settings: object) -> tuple[Service, ...]:
        """Start a publisher, an orderer and an ingestor; each takes the settings that are its."""
        urls = {"INGESTOR_URL": feed, "PUBLISHER_URL": endpoint}
        every = ("ingestor", "orderer", "publisher")

        def own(module: str) -> dict[str, object]:
            others = tuple(f"{other.upper()}_" for other in every if other != module)
            chosen = {**urls, **settings}
            return {name: value for name, value in chosen.items() if not name.startswith(others)}

        return tuple(self.service(module, **own(module)) for module in every)

    def simulator(self, **settings: object) -> Simulator:
        """Start a simulator; settings are named without their prefix."""
        simulator = Simulator(**settings)
        self.services.append(simulator)
        return simulator

    def feed(self, messages: Iterable[Message] = (), **options: Any) -> Feed:
        """Start a stranger's feed."""
        feed = Feed(messages, **options)
        self._closers.append(feed.stop)
        return feed

    def endpoint(self, **options: Any) -> Endpoint:
        """Start a stranger's endpoint."""
        endpoint = Endpoint(**options)
        self._closers.append(endpoint.stop)
        return endpoint

    def close(self) -> None:
        """End everything; fails when a service had ended by itself or its log tells of a bug."""
        complaints = []
        for service in self.services:
            if not service.ended and not service.running:
                complaints.append(f"{service.module} has ended by itself")
            complaints += [f"{service.module}: {line}" for line in service.complaints]
            if service.running:
                service.kill()
        for close in reversed(self._closers):
            close()
        assert not complaints, "\n".join(complaints)


def wait_for_messages(endpoint: Endpoint, expected: Sequence[bytes]) -> None:
    """Wait until so many messages have come, and check that they are the ones expected."""
    until(lambda: len(endpoint.messages) >= len(expected), f"{len(expected)} messages have come")
    assert list(endpoint.messages) == list(expected)
