"""What an operator does every day, watched by a real Prometheus: nothing of it alarms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.queries import GATEWAY, Prometheus, exporter, missing, telling
from tests.support import chat, servers
from tests.support.processes import Service
from tests.support.servers import Server, free_port
from tests.support.stack import Stack
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SAMPLES = 120
"""Scrapes in all, at least: those of ten minutes in Compose. Each second here stands for five."""

CALM = 15
"""Scrapes between two things that are done."""

NAMES = ("ingestor", "orderer", "publisher", "chat", "viewer", "simulator")
"""What runs. Wisdom is left out on purpose, and has never been there."""


class Compose:
    """The stack as Compose would have it: by name, scaled, restarted, down, and up again."""

    def __init__(self, redis: Server, directory: Path) -> None:
        self.stack = Stack(redis)
        self._directory = directory
        self._running: dict[str, list[Service]] = {name: [] for name in NAMES}
        self._ports = {"SIMULATOR_PORT": free_port(), "VIEWER_PORT": free_port()}

    def up(self, name: str) -> None:
        """Start another replica."""
        self._running[name].append(self._start(name))

    def down(self, name: str, replicas: int = 0) -> None:
        """Stop replicas until so many are left."""
        for service in self._running[name][replicas:]:
            assert service.terminate() == 0, service.log()
        del self._running[name][replicas:]

    def targets(self, name: str) -> list[str]:
        """Tell where a service's replicas answer Prometheus."""
        found = [each.wait_for("ops endpoint listens") for each in self._running[name]]
        return [f"127.0.0.1:{entry['port']}" for entry in found]

    def _start(self, name: str) -> Service:
        port = self._ports["SIMULATOR_PORT"]
        match name:
            case "simulator":
                # What was lost while nobody was connected comes again, so nothing is lost.
                return self.stack.simulator(
                    PORT=port, RATE=300, REORDER=0.1, SEED="random", REWIND=5000
                )
            case "ingestor":
                return self.stack.ingestor(f"ws://127.0.0.1:{port}/raw-messages")
            case "publisher":
                return self.stack.publisher(f"ws://127.0.0.1:{port}/ordered-messages/somebody")
            case "orderer":
                return self.stack.orderer(ORDERER_GAP_TIMEOUT=10)
            case "chat":
                return chat.replica(self.stack, self._directory)
        return self.stack.service(name, VIEWER_PORT=self._ports["VIEWER_PORT"])


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    programs = missing()
    if programs:
        reason = f"not installed: {', '.join(programs)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    config = {"maxmemory": "256mb", "appendonly": "yes"}
    with servers.running("valkey", tmp_path, config) as redis:
        compose = Compose(redis, tmp_path)
        yield compose
        compose.stack.close()


def test_nothing_that_is_done_every_day_alarms(compose: Compose, tmp_path: Path) -> None:
    """Alarms that mean nothing would come with each upgrade, until nobody looked at any."""
    with ExitStack() as ends:
        fixed = {
            "redis-exporter": [ends.enter_context(exporter(compose.stack.redis))],
            "gateway": [ends.enter_context(telling(GATEWAY))],
            "wisdom": [],
        }
        prometheus = Prometheus(tmp_path, {**fixed, **{name: [] for name in NAMES}})
        ends.callback(lambda: prometheus.close())

        def watch() -> None:
            for name in NAMES:
                prometheus.watch(name, compose.targets(name))

        def calm(scrapes: int = CALM) -> None:
            began = scraped()
            until(
                lambda: scraped() >= began + scrapes,
                f"{scrapes} scrapes",
                deadline=4 * scrapes + 60,
            )

        def scraped() -> float:
            found = prometheus.query('count_over_time(up{job="prometheus"}[10m])')
            return sum(count for _, count in found)

        # Up.
        for name in reversed(NAMES):
            compose.up(name)
        watch()
        flows = "sum(rate(simulator_endpoint_received_total[5s])) > 100"
        until(lambda: prometheus.query(flows), "messages flow")
        calm()
        # A rolling restart: each replica ends, and another comes at another address.
        for name in NAMES[:-1]:
            compose.down(name)
            watch()
            compose.up(name)
            watch()
        compose.stack.redis.restart()
        calm()
        # Scaled to three, and back to one.
        for name in ("orderer", "chat"):
            compose.up(name)
            compose.up(name)
        watch()
        calm()
        for name in ("orderer", "chat"):
            compose.down(name, 1)
        watch()
        calm()
        # Down, Prometheus too, which does not learn how the others ended; and up again.
        for name in NAMES[:-1]:
            compose.down(name)
        prometheus.stop()
        compose.down("simulator")
        compose.stack.redis.stop()
        compose.stack.redis.start()
        for name in reversed(NAMES):
            compose.up(name)
        watch()
        prometheus.start()
        until(lambda: prometheus.query(flows), "messages flow again")
        calm(SAMPLES // 2)

        fired = prometheus.query('count_over_time(ALERTS{alertstate="firing"}[10m])')
        assert [labels["alertname"] for labels, _ in fired] == []
        assert scraped() >= SAMPLES
        # And all of it was something that an alert waits to see pass.
        assert prometheus.query('count_over_time(ALERTS{alertstate="pending"}[10m])')
