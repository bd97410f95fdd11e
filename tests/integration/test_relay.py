"""All three services together, from a feed to an endpoint."""

from __future__ import annotations

import json
import random

import pytest

from tests.support import streams
from tests.support.servers import Server
from tests.support.simulator import Simulator
from tests.support.stack import Stack, wait_for_messages
from tests.support.streams import frames
from tests.support.waiting import settled, until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def odd_frames(first: int, count: int) -> list[bytes]:
    """Make frames that no serialiser would write like this."""
    shapes = (
        b'{"id":%d,"text":1}',
        b' { "text" : 1.50e+3 ,\r\n\t"id" : %d } ',
        b'{"price":123456789012345678901234567890.10,"id":%d,"big":18446744073709551616}',
        '{"id":%d,"text":"Добро пожаловать \U0001f43a","é":null}'.encode(),
        b'{"text":"\\u0434\\/\\n\\u0000","id":%d,"nested":{"id":[true,{"id":-1}]}}',
        b'{"id":0,"text":"the last id counts","id":%d}',
        b'{"id":%d,"long":"' + b"\xe2\x82\xac" * 2000 + b'"}',
    )
    return [shapes[seq % len(shapes)] % seq for seq in range(first, first + count)]


def shuffled(messages: list[bytes], depth: int) -> list[bytes]:
    """Put messages out of order, none by more than `depth` places."""
    dice = random.Random(7)
    places = [(at + dice.random() * depth, message) for at, message in enumerate(messages)]
    return [message for _, message in sorted(places)]


@pytest.mark.parametrize(
    ("redis", "first"),
    [
        pytest.param("redis-server", 1, marks=pytest.mark.redis_server),
        ("valkey", 0),
        ("valkey", 1),
        ("valkey", 10**12),
    ],
    indirect=["redis"],
)
def test_a_strangers_messages_come_in_order_and_unchanged(
    redis: Server, start: Stack, first: int
) -> None:
    """Somebody else's feed and endpoint would not work with ours in between."""
    messages = odd_frames(first, 700)
    arrivals = shuffled(messages, 20)
    feed = start.feed([*arrivals, *arrivals[100:200], *arrivals[650:]])
    endpoint = start.endpoint()
    services = start.relay(feed.url, endpoint.url)
    wait_for_messages(endpoint, messages)
    assert len(endpoint.connections) == 1
    assert endpoint.connections[0].binary == 0
    assert streams.gaps(redis.client) == []
    for service in services:
        service.wait_ready()
    for service in services:
        service.ask_to_stop()
    assert [service.wait() for service in services] == [0, 0, 0]
    assert list(endpoint.messages) == messages


@one_server
def test_each_feed_has_an_order_of_its_own(redis: Server, start: Stack) -> None:
    """Feeds would be mixed up on their way through."""
    feeds = [start.feed(frames([2, 1, 3])), start.feed(frames([12, 13, 11]))]
    endpoints = [start.endpoint(), start.endpoint()]
    start.relay(
        f"one={feeds[0].url} two={feeds[1].url}",
        f"one={endpoints[0].url} two={endpoints[1].url}",
    )
    for endpoint, expected in zip(endpoints, ([1, 2, 3], [11, 12, 13]), strict=True):
        wait_for_messages(endpoint, frames(expected))


@one_server
def test_a_second_line_fills_what_the_first_one_lost(redis: Server, start: Stack) -> None:
    """Redundant lines would be worth nothing, or every message would come twice."""
    numbers = range(1, 2001)
    one = start.feed(frames(seq for seq in numbers if seq % 10))
    other = start.feed(frames(seq for seq in numbers if seq % 7))
    endpoint = start.endpoint()
    start.relay(f"{one.url} {other.url}", endpoint.url, ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=1)
    # Ids that neither line has are the only holes.
    expected = [seq for seq in numbers if seq % 10 or seq % 7]
    wait_for_messages(endpoint, frames(expected))


@one_server
def test_a_slow_endpoint_slows_the_feed(redis: Server, start: Stack) -> None:
    """One slow reader would fill Redis, since nothing else stands between it and the feed."""
    simulator = start.simulator(RATE=0)
    endpoint = start.endpoint(reading=False)
    services = start.relay(
        simulator.feed_url, endpoint.url, INGESTOR_BACKLOG=5000, PUBLISHER_STUCK_TIMEOUT=3600
    )
    publisher = services[2]
    until(lambda: publisher.metric("publisher_paused") == 1, "the publisher waits")
    assert publisher.metric("publisher_unconfirmed") < 200_000
    assert publisher.memory < 150 * 1024 * 1024


# A feed that makes all the trouble there is --------------------------------------------------


def hostile_feed(start: Stack, messages: int, rate: int) -> tuple[Simulator, float]:
    """Relay a hostile feed to its end; returns the simulator and the frames that were rejected."""
    simulator = start.simulator(
        MESSAGES=messages,
        RATE=rate,
        REPEATS=0.05,
        LOSSES=0.01,
        DEPTH=500,
        REORDER=1,
        DELAYED=0.001,
        DISCONNECT_EVERY=20_000,
        GARBAGE=0.01,
    )
    _, orderer, _ = start.relay(
        simulator.feed_url,
        simulator.endpoint_url,
        ORDERER_FIRST_ID=1,
        ORDERER_GAP_TIMEOUT=0.3,
        PUBLISHER_RETAIN=10 * messages,
    )
    until(lambda: simulator.feed()["finished"], "the feed is finished", 250)
    redis = start.redis.client
    until(lambda: streams.ordered(redis)[-1].last >= messages - 500, "nearly all is ordered")
    count = settled(lambda: len(streams.ordered_ids(redis)), "ordered", still=1.5)
    until(lambda: simulator.received >= count, "all has been sent")
    return simulator, orderer.metric("orderer_frames_total", fate="rejected")


def check_hostile(redis: Server, simulator: Simulator, rejected: float, messages: int) -> None:
    """Check order, completeness and the ledger, each against the simulator's own books."""
    feed, report = simulator.feed(), simulator.report()
    numbers = streams.ordered_ids(redis.client)
    assert numbers == sorted(set(numbers))
    for fault in ("out_of_order", "repeated", "corrupted", "unknown"):
        assert report[fault] == 0, report
    assert report["received"] == len(numbers)
    assert feed["disconnections"] == (messages - 1) // 20_000
    assert rejected == feed["garbage"] > 0

    ledger = streams.gaps(redis.client)
    missing = streams.holes(numbers, 1)
    assert streams.given_up(redis.client) == missing
    assert {gap.cause for gap in ledger} == {"timeout"}
    assert all(gap.epoch == 1 and 0 < gap.opened < gap.closed for gap in ledger)
    # Each hole was lost by the feed, or came late: then the ledger counts it.
    unseen = messages - numbers[-1]
    assert len(missing) + unseen == feed["lost"] + feed["sent"] - len(numbers)
    assert report["missing"] <= sum(gap.late for gap in ledger)


def test_a_hostile_feed_comes_out_sorted_and_every_hole_is_known(
    redis: Server, start: Stack
) -> None:
    """Some mixture of disorder, repeats, losses, delays, garbage and cuts would break the order."""
    simulator, rejected = hostile_feed(start, 60_000, rate=25_000)
    check_hostile(redis, simulator, rejected, 60_000)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif("not config.getoption('markexpr')", reason="takes minutes: pytest -m slow")
@one_server
def test_a_hostile_feed_of_300_000(redis: Server, start: Stack) -> None:
    """The same, long enough for rare coincidences."""
    simulator, rejected = hostile_feed(start, 300_000, rate=10_000)
    check_hostile(redis, simulator, rejected, 300_000)


def test_a_feed_that_numbers_anew_goes_on(redis: Server, start: Stack) -> None:
    """After each restart of the numbering, messages would be held back or lost."""
    simulator = start.simulator(MESSAGES=5000, RATE=5000, REORDER=0.2, RESTART_EVERY=1500)
    start.relay(simulator.feed_url, simulator.endpoint_url, ORDERER_FIRST_ID=1)
    until(lambda: simulator.received >= 5000, "all generations have come")
    report = simulator.report()
    for fault in ("out_of_order", "repeated", "missing", "corrupted", "unknown"):
        assert report[fault] == 0, json.dumps(report)
    assert report["generation"] == 3
    assert report["connections"] == 4
    assert sorted({run.epoch for run in streams.ordered(redis.client)}) == [1, 2, 3, 4]
