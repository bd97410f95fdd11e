"""Endpoints that are removed from the file: they get what is theirs, and are then let go."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_ingestor_feeds import one_server
from tests.support import streams
from tests.support.processes import Service
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, wait_for_messages
from tests.support.stranger import Endpoint
from tests.support.streams import frames, write_event, write_raw, write_run
from tests.support.waiting import settled, until

Write = Callable[..., Path]

HOLDING = "first_id = 1\ngap_timeout = 3600\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of feeds: each with its words and its endpoints' URLs, `other` besides."""

    def write(**feeds: dict[str, str] | None) -> Path:
        file = tmp_path / "feeds.toml"
        text = ["[feed.other]\nurl = 'ws://other/'\n"]
        for feed, endpoints in feeds.items():
            endpoints = dict(endpoints or {})
            url, words = endpoints.pop("feed", "ws://f/"), endpoints.pop("words", "")
            text.append(f"[feed.{feed}]\nurl = '{url}'\n{words}")
            text += [
                f"[feed.{feed}.endpoint.{name}]\nurl = '{there}'\n"
                for name, there in endpoints.items()
            ]
        file.write_text("\n".join(text))
        return file

    return write


def tell(*services: Service) -> None:
    """Have services read the file again."""
    for service in services:
        before = len(service.events("feeds taken over"))
        os.kill(service.pid, signal.SIGHUP)
        until(lambda: len(service.events("feeds taken over")) > before, "it is taken over")  # noqa: B023


def publish(redis: Server, *ids: int) -> None:
    """Write what an orderer would have put out."""
    write_run(redis.client, frames(ids), feed="gone")


def let_go(endpoint: Endpoint) -> bool:
    return endpoint.connections[-1].code is not None


def away() -> tuple[int, str]:
    """Choose where an endpoint will be that is not there yet."""
    port = free_port()
    return port, f"ws://127.0.0.1:{port}/ordered-messages/somebody"


@one_server
def test_a_removed_feed_is_sent_to_its_end(redis: Server, start: Stack, write: Write) -> None:
    """What waits for an endpoint that is away would stay in Redis, and nobody would send it."""
    port, url = away()
    publisher = start.service("publisher", FEEDS_FILE=write(gone={"shop": url}))
    publish(redis, 1, 2, 3)
    until(lambda: publisher.events("no connection"), "it is away")
    write()
    tell(publisher)
    publish(redis, 4)
    endpoint = start.endpoint(port=port)
    wait_for_messages(endpoint, frames([1, 2, 3, 4]))
    publisher.wait_for("drained", feed="gone", sink="shop")
    until(lambda: let_go(endpoint), "it is let go then")
    assert streams.sinks(redis.client, "gone") == {"shop": "1-4"}
    assert publisher.metric("publisher_undelivered_total") == 0


@one_server
def test_what_is_held_back_is_waited_for(redis: Server, start: Stack, write: Write) -> None:
    """What comes out a moment after the file was read would not be sent to anybody."""
    endpoint = start.endpoint()
    file = write(gone={"words": HOLDING, "shop": endpoint.url})
    publisher = start.service("publisher", FEEDS_FILE=file)
    orderer = start.orderer(FEEDS_FILE=file)
    write_raw(redis.client, frames([1, 3]), feed="gone")
    last = write_event(redis.client, "disconnected", feed="gone")
    wait_for_messages(endpoint, frames([1]))
    until(lambda: redis.client.hget("order:{gone}", "seen") == last, "the orderer has read all")
    write()
    tell(publisher, orderer)
    assert not settled(lambda: let_go(endpoint), "what is held back keeps it", still=2.5)
    write_raw(redis.client, frames([2]), feed="gone")
    write_event(redis.client, "disconnected", feed="gone")
    wait_for_messages(endpoint, frames([1, 2, 3]))
    until(lambda: let_go(endpoint), "it is let go then")
    assert len(endpoint.connections) == 1


@one_server
def test_the_input_is_waited_for(redis: Server, start: Stack, write: Write) -> None:
    """What an orderer has yet to read would not be sent to anybody."""
    endpoint = start.endpoint()
    file = write(gone={"words": HOLDING, "shop": endpoint.url})
    publisher = start.service("publisher", FEEDS_FILE=file)
    orderer = start.orderer(FEEDS_FILE=file)
    write_raw(redis.client, frames([1]), feed="gone")
    last = write_event(redis.client, "disconnected", feed="gone")
    wait_for_messages(endpoint, frames([1]))
    until(lambda: redis.client.hget("order:{gone}", "seen") == last, "the orderer has read all")
    orderer.kill()
    write_raw(redis.client, frames([2]), feed="gone")
    write_event(redis.client, "disconnected", feed="gone")
    write()
    tell(publisher)
    assert not settled(lambda: let_go(endpoint), "what is unread keeps it", still=2.5)
    start.orderer(FEEDS_FILE=file)
    wait_for_messages(endpoint, frames([1, 2]))
    until(lambda: let_go(endpoint), "it is let go then")
    assert len(endpoint.connections) == 1


@one_server
@pytest.mark.parametrize("own", [16, 0])
def test_the_whole_relay_drains(redis: Server, start: Stack, write: Write, own: int) -> None:
    """A feed could not be removed without losing what is on its way through the services."""
    endpoint, feed = start.endpoint(), start.feed(frames([1, 2, 4, 5]))
    words = "first_id = 1\ngap_timeout = 2\n"
    file = write(gone={"feed": feed.url, "words": words, "shop": endpoint.url})
    ingestor = start.service("ingestor", FEEDS_FILE=file, INGESTOR_OWN_LANES=own)
    until(lambda: redis.client.hget("feeds", "gone"), "it has a lane")  # or it is connected twice
    orderer, publisher = (start.service(one, FEEDS_FILE=file) for one in ("orderer", "publisher"))
    wait_for_messages(endpoint, frames([1, 2]))
    write()
    tell(publisher, orderer, ingestor)
    wait_for_messages(endpoint, frames([1, 2, 4, 5]))
    publisher.wait_for("drained", feed="gone")
    until(lambda: let_go(endpoint), "it is let go then")
    assert len(endpoint.connections) == 1
    ledger = (
        "gaps:{gone}" if own else f"gaps:{{{redis.client.hget('feeds', 'gone').decode()}}}:gone"
    )
    assert redis.client.xlen(ledger) == 1
    assert not feed.connected


@one_server
def test_an_endpoint_that_is_gone_for_good(redis: Server, start: Stack, write: Write) -> None:
    """It would be called for ever, or nobody be told what it has not got."""
    endpoint, (_, url) = start.endpoint(), away()
    file = write(gone={"away": url, "here": endpoint.url})
    publisher = start.service("publisher", FEEDS_FILE=file, PUBLISHER_DRAIN_TIMEOUT=1.5)
    publish(redis, 1, 2, 3)
    wait_for_messages(endpoint, frames([1, 2, 3]))
    until(lambda: publisher.events("no connection"), "the other is away")
    write(gone={"here": endpoint.url}, new={"new": url})
    tell(publisher)
    publish(redis, 4)
    wait_for_messages(endpoint, frames([1, 2, 3, 4]))
    event = publisher.wait_for("let go undrained", feed="gone", sink="away")
    assert event["messages"] in (3, 4)
    assert publisher.metric("publisher_undelivered_total") == event["messages"]
    publish(redis, 5)
    wait_for_messages(endpoint, frames([1, 2, 3, 4, 5]))
    begun = publisher.wait_for("handing over", feed="gone")
    assert begun["time"] > event["time"]  # before, nothing has changed for the others
    until(lambda: len(endpoint.connections) == 2, "then all go on")
    until(lambda: b'"gone=here":"connected"' in publisher.get("/readyz")[1], "as they were")
    assert b"gone=away" not in publisher.get("/readyz")[1]
    assert len(publisher.events("let go undrained")) == 1


@one_server
def test_an_endpoint_of_a_feed_that_stays(redis: Server, start: Stack, write: Write) -> None:
    """It would lose what had come out for it, or get all that the feed ever sends."""
    here, (port, url) = start.endpoint(), away()
    publisher = start.service("publisher", FEEDS_FILE=write(gone={"here": here.url, "away": url}))
    publish(redis, 1, 2)
    wait_for_messages(here, frames([1, 2]))
    until(lambda: publisher.events("no connection"), "the other is away")
    write(gone={"here": here.url})
    tell(publisher)
    back = start.endpoint(port=port)
    publisher.wait_for("drained", feed="gone", sink="away")
    until(lambda: let_go(back), "it is let go")
    publish(redis, 3)
    wait_for_messages(here, frames([1, 2, 3]))
    wait_for_messages(back, frames([1, 2]))


@one_server
def test_another_url_takes_the_place(redis: Server, start: Stack, write: Write) -> None:
    """What the old address had not confirmed would be lost, or all be sent again to the new one."""
    first, second, (_, nowhere) = start.endpoint(), start.endpoint(), away()
    publisher = start.service("publisher", FEEDS_FILE=write(gone={"shop": first.url}))
    publish(redis, 1, 2)
    wait_for_messages(first, frames([1, 2]))
    until(lambda: streams.sinks(redis.client, "gone") == {"shop": "1-2"}, "both are confirmed")
    write(gone={"shop": nowhere})
    tell(publisher)
    until(lambda: let_go(first), "the old one is left at once")
    publish(redis, 3)
    write(gone={"shop": second.url})
    tell(publisher)
    wait_for_messages(second, frames([3]))
    assert not publisher.events("draining")


@one_server
def test_another_name_is_another_endpoint(redis: Server, start: Stack, write: Write) -> None:
    """What the old name was owed would be lost."""
    (port, url) = away()
    publisher = start.service("publisher", FEEDS_FILE=write(gone={"shop": url}))
    publish(redis, 1, 2)
    until(lambda: publisher.events("no connection"), "it is away")
    write(gone={"store": url})
    tell(publisher)
    endpoint = start.endpoint(port=port)
    publisher.wait_for("drained", sink="shop")
    until(lambda: len(endpoint.connections) >= 2, "both have been there")
    until(lambda: streams.sinks(redis.client, "gone") == dict.fromkeys(("shop", "store"), "1-2"),
          "and have all")  # fmt: skip


@one_server
def test_a_feed_that_comes_back(redis: Server, start: Stack, write: Write) -> None:
    """Who corrects a mistake would break a connection, or have the feed end after all."""
    endpoint = start.endpoint()
    there = {"shop": endpoint.url}
    publisher = start.service("publisher", FEEDS_FILE=write(gone=there))
    publish(redis, 1)
    wait_for_messages(endpoint, frames([1]))
    redis.client.hset("order:{gone}", "waiting", "gone")
    write()
    tell(publisher)
    publisher.wait_for("draining", feed="gone")
    write(gone=there)
    tell(publisher)
    redis.client.hset("order:{gone}", "waiting", "")
    write(gone=there, new={})
    tell(publisher)
    publish(redis, 2)
    wait_for_messages(endpoint, frames([1, 2]))
    assert not publisher.events("drained")
    assert len(endpoint.connections) == 1


@one_server
@pytest.mark.parametrize("told", [1, 2])
def test_replicas(redis: Server, start: Stack, write: Write, told: int) -> None:
    """What is left would depend on which replica supplied it, and end with that."""
    port, url = away()
    file = write(gone={"shop": url})
    replicas = [start.service("publisher", FEEDS_FILE=file) for _ in range(2)]
    for replica in replicas:
        replica.wait_ready()
    publish(redis, 1, 2)

    def at_work() -> list[Service]:
        return [one for one in replicas if b'"gone=shop"' in one.get("/readyz")[1]]

    until(at_work, "one supplies it")
    [active] = at_work()
    [other] = [one for one in replicas if one is not active]
    write()
    tell(*((other,) if told == 1 else replicas))
    if told == 2:
        active.kill()
        replicas.remove(active)
    endpoint = start.endpoint(port=port)
    wait_for_messages(endpoint, frames([1, 2]))
    other.wait_for("drained", feed="gone")
    if told == 1:
        assert not let_go(endpoint)
        tell(active)
        active.wait_for("drained", feed="gone")
    until(lambda: let_go(endpoint), "it is let go")


@one_server
def test_nobody_is_waited_for_if_so_told(redis: Server, start: Stack, write: Write) -> None:
    """Who wants an endpoint to be left at once could not say so."""
    publisher = start.service(
        "publisher", FEEDS_FILE=write(gone={"shop": away()[1]}), PUBLISHER_DRAIN_TIMEOUT=0
    )
    publish(redis, 1)
    publisher.wait_for("no connection")
    redis.client.hset("order:{gone}", "waiting", "gone")
    write()
    tell(publisher)
    publisher.wait_for("let go undrained", messages=1)
