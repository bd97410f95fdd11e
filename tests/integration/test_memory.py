"""Redis near or at its memory's limit: nothing is lost, and all goes on by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from redis.exceptions import ResponseError

from tests.support import streams
from tests.support.processes import Service
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, wait_for_messages
from tests.support.stranger import Endpoint
from tests.support.waiting import until

MIB = 2**20
LIMIT = 32 * MIB
SIZE = 12 * 1024
ENOUGH = 2 * LIMIT // SIZE
"""Messages of `SIZE` bytes that fill Redis twice."""

pytestmark = pytest.mark.parametrize(
    "redis",
    [
        (kind, {"maxmemory": str(LIMIT), "maxmemory-policy": "noeviction", "appendonly": "yes"})
        for kind in ("valkey",)
    ],
    indirect=True,
    ids=["valkey"],
)


def large(last: int) -> list[bytes]:
    """Make messages of `SIZE` bytes with the ids 1 to `last`."""
    return [b'{"id":%d,"text":"%s"}' % (seq, b"x" * SIZE) for seq in range(1, last + 1)]


def used(redis: Server) -> int:
    """Tell how many bytes count towards the limit."""
    info = redis.client.info("memory")
    return int(info["used_memory"] - info.get("mem_not_counted_for_evict", 0))


def fill(redis: Server) -> None:
    """Write what is nobody's until Redis refuses it."""
    with contextlib.suppress(ResponseError):
        for at in range(LIMIT):
            redis.client.set(f"another's:{at}", b"x" * 64 * 1024)
    with contextlib.suppress(ResponseError):
        for at in range(LIMIT):
            redis.client.set(f"another's:small:{at}", b"x" * 100)


def relay(start: Stack, feed: str, endpoint: str) -> tuple[Service, ...]:
    return start.relay(feed, endpoint, ORDERER_FIRST_ID=1)


@pytest.fixture
def endpoint_later(start: Stack) -> Iterator[tuple[int, list[Endpoint]]]:
    """Keep a port for an endpoint that is not there yet."""
    made: list[Endpoint] = []
    yield free_port(), made
    for endpoint in made:
        endpoint.stop()


def test_messages_may_be_large(redis: Server, start: Stack) -> None:
    """What is delivered and kept would fill Redis: nothing would ever move again."""
    messages = large(ENOUGH)
    endpoint = start.endpoint()
    relay(start, start.feed(messages).url, endpoint.url)
    wait_for_messages(endpoint, messages)
    assert used(redis) < 0.85 * LIMIT


def test_an_endpoint_may_be_away(
    redis: Server, start: Stack, endpoint_later: tuple[int, list[Endpoint]]
) -> None:
    """What waits for it would fill Redis, and with it stop every other feed."""
    port, made = endpoint_later
    messages = large(ENOUGH)
    ingestor, *_ = relay(
        start, start.feed(messages).url, f"ws://127.0.0.1:{port}/ordered-messages/x"
    )
    ingestor.wait_for("feed paused")
    assert used(redis) < 0.85 * LIMIT
    made.append(Endpoint(port=port, path="/ordered-messages/x"))
    wait_for_messages(made[0], messages)
    assert ingestor.events("feed resumed")


def test_an_endpoint_of_a_shared_lane_may_be_away(
    redis: Server, start: Stack, endpoint_later: tuple[int, list[Endpoint]]
) -> None:
    """All feeds of its lane would be held back, for good."""
    port, made = endpoint_later
    few, many = large(200), large(1500)
    feeds = [start.feed(few), *(start.feed() for _ in range(5)), start.feed(many)]
    others = [start.endpoint() for _ in feeds[1:]]
    urls = [f"ws://127.0.0.1:{port}/ordered-messages/x", *(other.url for other in others)]
    settings = {"INGESTOR_OWN_LANES": 0, "ORDERER_FIRST_ID": 1}
    start.orderer(**settings)
    publisher = start.publisher(*(f"f{at}={url}" for at, url in enumerate(urls)))
    ingestor = start.ingestor(*(f"f{at}={feed.url}" for at, feed in enumerate(feeds)), **settings)
    wait_for_messages(others[-1], many)
    lanes = redis.client.hgetall("feeds")
    assert lanes[b"f0"] == lanes[b"f6"] == b"+0"
    assert used(redis) < 0.85 * LIMIT
    aside = f"aside:{{+0}}:f0:127.0.0.1:{port}/ordered-messages/x"
    assert redis.client.exists(aside)
    assert {told["feed"] for told in ingestor.events("feed paused")} >= {"f0"}
    publisher.kill()
    start.publisher(*(f"f{at}={url}" for at, url in enumerate(urls)))
    made.append(Endpoint(port=port, path="/ordered-messages/x"))
    wait_for_messages(made[0], few)
    until(lambda: not redis.client.keys("aside:*"), "nothing is set aside any more")


def test_a_message_may_be_missing(redis: Server, start: Stack) -> None:
    """What waits for it would hold the feed back, which then could never bring it."""
    messages = large(ENOUGH)
    endpoint = start.endpoint()
    feed = start.feed(messages[1:])
    start.relay(feed.url, endpoint.url, ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    wait_for_messages(endpoint, messages[1:])
    assert [gap.cause for gap in streams.gaps(redis.client)] == ["capacity"]


def test_another_may_fill_it_while_all_are_restarted(redis: Server, start: Stack) -> None:
    """Nobody could take a lease any more: only an operator could have mended it."""
    first = large(10)
    endpoint = start.endpoint()
    feed = start.feed(first)
    services = relay(start, feed.url, endpoint.url)
    wait_for_messages(endpoint, first)
    fill(redis)
    for service in services:
        service.terminate()
    again = start.endpoint()
    relay(start, start.feed(large(20)).url, again.url)
    until(lambda: again.connected, "the publisher has its lease, and is connected")
    redis.client.delete(*redis.client.scan_iter("another's:*", count=10_000))
    until(lambda: len(again.messages) >= 20, "all goes on")


@pytest.mark.parametrize("former", [False, True])
def test_it_may_be_full_before_anything_was_ordered(
    redis: Server, start: Stack, former: bool
) -> None:
    """An orderer that cannot begin could make no room, and nothing would ever move."""
    streams.write_raw(redis.client, streams.frames([2, 1, 3]))
    if former:  # as an earlier version leaves it that had just begun
        was = {"incarnation": "0123456789abcdef", "epoch": 1, "next": ""}
        redis.client.hset("order:{default}", mapping=was)
    fill(redis)
    start.orderer(ORDERER_FIRST_ID=1)
    until(lambda: streams.ordered_ids(redis.client) == [1, 2, 3], "it begins")


@pytest.mark.parametrize("where", ["ordered", "raw"])
def test_it_may_be_full_of_what_waits_while_all_are_restarted(
    redis: Server, start: Stack, endpoint_later: tuple[int, list[Endpoint]], where: str
) -> None:
    """Ordering and delivering would need memory that only they can free."""
    port, made = endpoint_later
    url = f"ws://127.0.0.1:{port}/ordered-messages/x"
    messages = large(ENOUGH)
    feed = start.feed(messages)
    services = relay(start, feed.url, url)
    if where == "raw":
        services[1].freeze()
    services[0].wait_for("feed paused")
    fill(redis)
    for service in services:
        service.kill()
    made.append(Endpoint(port=port, path="/ordered-messages/x"))
    relay(start, feed.url, url)
    # While it is full, what is in order goes out; and that makes room for the rest.
    wait_for_messages(made[0], messages)


def test_what_is_said_of_a_server_that_evicts(redis: Server, start: Stack) -> None:
    """Messages would vanish without a word, though everything else is right."""
    redis.configure("maxmemory-policy", "allkeys-lru")
    ingestor, _, publisher = relay(start, start.feed().url, start.endpoint().url)
    for service in (ingestor, publisher):
        service.wait_for("Redis throws away what it holds when it is full; set noeviction")
