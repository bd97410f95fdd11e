"""Any of the processes dies at any instant: nothing is lost, nothing is doubled.

The same checks are then turned on orderers that are broken on purpose, and must find it out.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from tests.support import streams
from tests.support.processes import Service
from tests.support.servers import Server
from tests.support.simulator import Simulator
from tests.support.stack import Stack
from tests.support.waiting import settled, until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

RATE = 4000
"""Messages per second."""

MESSAGES_PER_KILL = 2000
"""Messages between two kills, on average."""

REWIND = 10_000
"""Frames that a feed sends again after a reconnect: more than can be in flight."""

KILLS = int(os.environ.get("SERIATIM_KILLS", "60"))
"""Kills in the long run."""

SETTINGS = {
    "LEASE_TTL": 0.5,
    "ORDERER_FIRST_ID": 1,
    "ORDERER_GAP_TIMEOUT": 30,
    "PUBLISHER_RETAIN": 10_000_000,
}


@dataclass(frozen=True)
class Verdict:
    """What the checks have found: in `ordered`, and at the endpoint."""

    missing: list[int]
    """Ids that are not in `ordered`."""
    doubled: int
    """Ids that are in `ordered` again."""
    falling: int
    """Places in `ordered` at which an id is not above the one before it."""
    endpoint: dict[str, Any]
    """The simulator's own report."""


def judge(redis: Server, simulator: Simulator, messages: int) -> Verdict:
    """Check `ordered` and the endpoint for the ids 1 … `messages`."""
    numbers = [
        int(field)
        for _, values in streams.entries(redis.client, "ordered:{default}")
        for field in values[4::2]
    ]
    present = set(numbers)
    return Verdict(
        missing=[seq for seq in range(1, messages + 1) if seq not in present],
        doubled=len(numbers) - len(present),
        falling=sum(b <= a for a, b in pairwise(numbers)),
        endpoint=simulator.report(),
    )


def lively_feed(start: Stack, messages: int) -> Simulator:
    return start.simulator(
        MESSAGES=messages, RATE=RATE, REORDER=0.2, DEPTH=20, REPEATS=0.01, REWIND=REWIND
    )


def passed(simulator: Simulator, place: int) -> bool:
    """Tell whether the feed has passed a place."""
    feed = simulator.feed()
    sent: int = feed["sent"] + feed["lost"] + feed["held"]
    return sent >= place


def come_to_rest(redis: Server, simulator: Simulator) -> None:
    """Wait until the feed is finished and nothing moves any more."""
    until(lambda: simulator.feed()["finished"], "the feed is finished", 60)
    settled(
        lambda: (simulator.received, streams.order(redis.client).get("next")),
        "everything",
        still=1.5,
    )


def survive(redis: Server, start: Stack, kills: int, seed: int) -> Verdict:
    """Kill services at random, starting each again at once, until the feed is finished."""
    dice = random.Random(seed)
    messages = (kills + 1) * MESSAGES_PER_KILL
    simulator = lively_feed(start, messages)
    urls = {
        "ingestor": {"INGESTOR_URL": simulator.feed_url},
        "orderer": {},
        "publisher": {"PUBLISHER_URL": simulator.endpoint_url},
    }

    def launch(module: str) -> Service:
        own = {
            name: value
            for name, value in SETTINGS.items()
            if name.startswith((module.upper(), "LEASE"))
        }
        return start.service(module, **own, **urls[module])

    services = {module: launch(module) for module in urls}
    for place in sorted(dice.sample(range(500, messages - 500), kills)):
        until(partial(passed, simulator, place), f"the feed is at {place}", 60)
        victim = dice.choice(list(urls))
        services[victim].kill()
        services[victim] = launch(victim)
    until(lambda: simulator.feed()["finished"], "the feed is finished", 60)
    until(lambda: simulator.report().get("highest") == messages, "the last message has come", 60)
    come_to_rest(redis, simulator)
    return judge(redis, simulator, messages)


def check(redis: Server, verdict: Verdict) -> None:
    assert verdict.missing == []
    assert verdict.doubled == 0
    assert verdict.falling == 0
    assert streams.gaps(redis.client) == []
    # A new connection may begin with what was sent before: that is a replay, in order.
    for fault in ("out_of_order", "missing", "corrupted", "unknown"):
        assert verdict.endpoint[fault] == 0, verdict.endpoint


def test_processes_are_killed_under_load(redis: Server, start: Stack) -> None:
    """A crash would lose messages, double them, or disturb their order."""
    check(redis, survive(redis, start, 6, seed=1))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif("not config.getoption('markexpr')", reason="takes minutes: pytest -m slow")
@one_server
def test_processes_are_killed_many_times(redis: Server, start: Stack) -> None:
    """The same with SERIATIM_KILLS kills, for rare coincidences."""
    check(redis, survive(redis, start, KILLS, seed=2))


# Negative controls --------------------------------------------------------------------------


def relay(start: Stack, simulator: Simulator, **settings: object) -> tuple[Service, Service]:
    """Start an ingestor, a publisher, and an orderer that is broken."""
    start.ingestor(simulator.feed_url)
    publisher = start.publisher(simulator.endpoint_url, PUBLISHER_RETAIN=10_000_000)
    return start.service("tests.support.broken_orderer", **settings), publisher


@one_server
def test_the_checks_find_a_checkpoint_saved_too_early(redis: Server, start: Stack) -> None:
    """The test of kills could not tell an orderer that loses messages from one that does not."""
    simulator = lively_feed(start, 6000)
    broken, _ = relay(
        start, simulator, BROKEN="checkpoint-first", BROKEN_AT=100, ORDERER_FIRST_ID=1
    )
    assert broken.wait() == -9
    start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=30)
    come_to_rest(redis, simulator)
    verdict = judge(redis, simulator, 6000)
    assert verdict.missing
    assert verdict.endpoint["missing"] == len(verdict.missing)
    assert streams.gaps(redis.client) == []


@one_server
def test_the_checks_find_an_order_that_is_none(redis: Server, start: Stack) -> None:
    """The tests could not tell sorted output from unsorted."""
    simulator = lively_feed(start, 600)
    relay(start, simulator, BROKEN="eager", ORDERER_FIRST_ID=1)
    come_to_rest(redis, simulator)
    verdict = judge(redis, simulator, 600)
    assert verdict.falling  # the publisher lets no id go back on one connection


@one_server
def test_the_checks_find_messages_that_are_doubled(redis: Server, start: Stack) -> None:
    """The tests could not tell exactly once from at least once."""
    simulator = lively_feed(start, 6000)
    broken, _ = relay(start, simulator, BROKEN="forgetful")
    until(lambda: passed(simulator, 2000), "messages flow")
    broken.kill()
    start.service("tests.support.broken_orderer", BROKEN="forgetful")
    come_to_rest(redis, simulator)
    verdict = judge(redis, simulator, 6000)
    assert verdict.doubled
    assert verdict.endpoint["repeated"]
