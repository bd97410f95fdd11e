"""Redis away, frozen, full, restarted and emptied, with the relay at work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

import pytest

from tests.support import streams
from tests.support.processes import Service
from tests.support.servers import Server, free_port
from tests.support.simulator import Simulator
from tests.support.stack import LEASE_TTL, Stack
from tests.support.streams import frames
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)
with_aof = pytest.mark.parametrize(
    "redis",
    [
        pytest.param(("redis-server", {"appendonly": "yes"}), marks=pytest.mark.redis_server),
        ("valkey", {"appendonly": "yes"}),
    ],
    indirect=True,
    ids=["redis-server", "valkey"],
)


def flowing_relay(start: Stack) -> tuple[Simulator, tuple[Service, ...]]:
    """Start a relay with a lively feed that ends by itself only after hours."""
    simulator = start.simulator(RATE=2000, REORDER=0.2, DEPTH=20)
    services = start.relay(
        simulator.feed_url,
        simulator.endpoint_url,
        ORDERER_FIRST_ID=1,
        ORDERER_GAP_TIMEOUT=30,
        PUBLISHER_RETAIN=10_000_000,
    )
    until(lambda: simulator.received > 500, "messages flow")
    return simulator, services


def position(redis: Server) -> str:
    return next(iter(streams.sinks(redis.client).values()), "")


def has_tried(service: Service, times: int) -> bool:
    return service.metric("redis_failures_total") >= times


def wait_ready(services: Iterable[Service], ready: bool = True) -> None:
    for service in services:
        service.wait_ready(ready)


def check_complete(redis: Server, simulator: Simulator) -> None:
    """Check that the endpoint and `ordered` miss nothing."""
    report = simulator.report()
    for fault in ("out_of_order", "missing", "corrupted", "unknown"):
        assert report[fault] == 0, report
    numbers = streams.ordered_ids(redis.client)
    assert numbers == list(range(1, len(numbers) + 1))
    assert streams.gaps(redis.client) == []


@one_server
def test_redis_may_come_later(redis: Server, start: Stack) -> None:
    """Services would have to be started in the right order, or would flood the log."""
    redis.stop()
    feed, endpoint = start.feed(frames([3, 1, 2])), start.endpoint()
    services = start.relay(feed.url, endpoint.url, ORDERER_FIRST_ID=1)
    for service in services:
        service.wait_for("waiting for Redis")
        until(partial(has_tried, service, 3), "it has tried several times")
        assert service.get("/readyz")[0] == 503
        assert service.get("/healthz")[0] == 200
        assert service.metric("redis_up") == 0
        assert len(service.events("waiting for Redis")) == 1
    redis.start()
    until(lambda: list(endpoint.messages) == frames([1, 2, 3]), "messages flow")
    wait_ready(services)
    for service in services:
        assert len(service.events("waiting for Redis")) == 1
        assert len(service.events("Redis answers again")) == 1


@with_aof
def test_redis_may_be_killed_and_started_again(redis: Server, start: Stack) -> None:
    """A restart of Redis would lose or double messages, or leave the services behind."""
    simulator, services = flowing_relay(start)
    redis.kill()
    wait_ready(services, False)
    redis.start()
    simulator.wait_for_more(2000, "messages flow again")
    wait_ready(services)
    check_complete(redis, simulator)


def test_redis_may_freeze(redis: Server, start: Stack) -> None:
    """A server that accepts and does not answer would hang the services for ever."""
    simulator, services = flowing_relay(start)
    redis.freeze()
    frozen = time.monotonic()
    wait_ready(services, False)
    # So long that every lease has run out when it wakes.
    until(lambda: time.monotonic() - frozen > 1.5 * LEASE_TTL, "the leases have run out")
    redis.thaw()
    simulator.wait_for_more(2000, "messages flow again")
    wait_ready(services)
    check_complete(redis, simulator)


def test_redis_may_be_full(redis: Server, start: Stack) -> None:
    """Out of memory, part of a write would be done, or a service would give up."""
    simulator, services = flowing_relay(start)
    ingestor = services[0]
    redis.configure("maxmemory-policy", "noeviction")
    redis.configure("maxmemory", "1mb")
    until(lambda: ingestor.metric("redis_failures_total", reason="memory") > 0, "it is full")
    ingestor.wait_ready(False)
    before = simulator.received
    redis.configure("maxmemory", "0")
    until(lambda: simulator.received >= before + 2000, "messages flow again")
    wait_ready(services)
    check_complete(redis, simulator)


@one_server
def test_redis_may_become_a_replica(redis: Server, start: Stack) -> None:
    """A change of roles, which ends waiting reads with an error, would end the services."""
    simulator, services = flowing_relay(start)
    redis.client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    wait_ready(services, False)
    redis.client.execute_command("REPLICAOF", "NO", "ONE")
    simulator.wait_for_more(2000, "messages flow again")
    wait_ready(services)
    check_complete(redis, simulator)


@one_server
def test_permissions_may_be_mended(redis: Server, start: Stack) -> None:
    """A mistake in the rules for users would end the services, which nobody then starts again."""
    simulator, services = flowing_relay(start)
    names = ("-xadd", "-xread", "-evalsha")
    redis.client.execute_command("ACL", "SETUSER", "default", *names)
    wait_ready(services, False)
    redis.client.execute_command("ACL", "SETUSER", "default", "+@all")
    simulator.wait_for_more(2000, "messages flow again")
    wait_ready(services)
    check_complete(redis, simulator)


@one_server
def test_permissions_of_one_feed_hold_up_no_other(redis: Server, start: Stack) -> None:
    """All feeds would wait until the rules for one feed's keys are mended."""
    first, other = start.feed(frames(range(1, 4))), start.feed(frames(range(1, 4)))
    redis.client.execute_command(
        "ACL", "SETUSER", "default", "resetkeys", "~*:{other}*", "~raw:*", "~order:*", "~next:*",
        "~feeds", "~lease:*", "~fence:*", "~replicas:*", "~gaps:*", "~rejected:*",
        "(~*:{first}*", "+@read)",
    )  # fmt: skip
    _, orderer = start.ingestor(f"first={first.url}", f"other={other.url}"), start.orderer()
    orderer.wait_for("Redis cannot serve this feed", feed="first")
    other.send(*frames(range(4, 7)))
    until(lambda: streams.ordered_ids(redis.client, "other") == list(range(1, 7)), "it flows")
    redis.client.execute_command("ACL", "SETUSER", "default", "allkeys", "+@all")
    until(lambda: streams.ordered_ids(redis.client, "first") == [1, 2, 3], "the first flows, too")


def test_lost_data_is_noticed_and_reported(redis: Server, start: Stack) -> None:
    """After a loss of all data the relay would stand still, or go on as if nothing had been."""
    simulator = start.simulator(RATE=2000, REORDER=0.2, DEPTH=20)
    services = start.relay(simulator.feed_url, simulator.endpoint_url)
    _, orderer, publisher = services
    until(lambda: simulator.received > 500, "messages flow")
    until(lambda: int(position(redis).partition("-")[0] or 0) > 1, "a position is saved")
    redis.client.flushall()
    orderer.wait_for("Redis has lost the numbering")
    publisher.wait_for("Redis has lost the numbering")
    assert orderer.metric("orderer_data_loss_total") == 1
    until(lambda: publisher.metric("publisher_data_loss_total") == 1, "counted")
    simulator.wait_for_more(2000, "messages flow again")
    wait_ready(services)
    assert simulator.report()["out_of_order"] == 0
    assert redis.client.hgetall("feeds") == {b"default": b"default"}
    numbers = streams.ordered_ids(redis.client)
    assert numbers == sorted(set(numbers))
    # What was in flight is gone, and its places stand in the new ledger.
    assert streams.given_up(redis.client) == streams.holes(numbers)
