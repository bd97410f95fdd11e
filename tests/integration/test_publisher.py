"""The publisher alone: the test writes `ordered` itself; a stranger's endpoint receives."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest

from tests.support import streams
from tests.support.processes import Service
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, wait_for_messages
from tests.support.stranger import Endpoint
from tests.support.streams import frame, frames, write_run
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def position(redis: Server, feed: str = "default") -> str:
    """Read the position of a feed's only sink."""
    (only,) = streams.sinks(redis.client, feed).values() or ("",)
    return only


def all_stand_at(redis: Server, expected: str) -> bool:
    return set(streams.sinks(redis.client).values()) == {expected}


def wait_for_position(redis: Server, expected: str) -> None:
    until(lambda: position(redis) == expected, f"the sink's position is {expected}")


def test_messages_are_sent_in_order_and_unchanged(redis: Server, start: Stack) -> None:
    """The endpoint would get something else than what was ordered."""
    endpoint = start.endpoint()
    strange = [
        b'{"id":3, "text" : "\xd0\xbf\xd0\xbe\xd1\x80\xd1\x8f\xd0\xb4\xd0\xbe\xd0\xba"}',
        b' {"more":1e400,"id":4}\n',
        b'{"id":5,"big":123456789012345678901234567890}',
    ]
    write_run(redis.client, frames([1, 2]))
    write_run(redis.client, strange)
    publisher = start.publisher(endpoint.url)
    write_run(redis.client, frames(range(6, 1000)))
    wait_for_messages(endpoint, [*frames([1, 2]), *strange, *frames(range(6, 1000))])
    assert len(endpoint.connections) == 1
    assert endpoint.connections[0].binary == 0
    wait_for_position(redis, "1-999")
    (name,) = streams.sinks(redis.client)
    assert name == f"127.0.0.1:{endpoint.port}/ordered-messages/somebody"
    assert publisher.metric("publisher_messages_total") == 999
    assert publisher.metric("publisher_confirmed_total") == 999
    assert publisher.metric("publisher_relay_seconds_count") == 999
    assert publisher.ready


def test_sigterm_confirms_what_was_sent(redis: Server, start: Stack) -> None:
    """Every restart of the publisher would send messages again."""
    endpoint = start.endpoint()
    publisher = start.publisher(endpoint.url)
    until(lambda: endpoint.connected, "connected")
    write_run(redis.client, frames(range(1, 501)))
    until(lambda: endpoint.messages, "messages come")
    assert publisher.terminate() == 0
    assert position(redis) == "1-500"
    assert endpoint.connections[0].code in (1000, 1001)
    start.publisher(endpoint.url)
    write_run(redis.client, frames([501]))
    wait_for_messages(endpoint, frames(range(1, 502)))


@one_server
@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
def test_a_broken_connection_means_what_was_chosen(
    redis: Server, start: Stack, delivery: str
) -> None:
    """Unconfirmed messages would be lost at-least-once, or sent twice at-most-once."""
    endpoint = start.endpoint(reading=False)
    publisher = start.publisher(endpoint.url, PUBLISHER_DELIVERY=delivery)
    confirmed = send_unconfirmed(redis, endpoint, publisher)
    saved = f"1-{confirmed}" if confirmed else ""
    assert position(redis) == (saved if delivery == "at-least-once" else "1-20")
    endpoint.drop()
    endpoint.read(True)
    until(lambda: len(endpoint.connections) == 2, "connected anew")
    write_run(redis.client, frames([21]))
    until(lambda: frame(21) in endpoint.connections[1], "the last has come")
    again = range(confirmed + 1, 22) if delivery == "at-least-once" else range(21, 22)
    assert list(endpoint.connections[1]) == frames(again)
    assert publisher.metric("publisher_resent_total") == len(again) - 1


def send_unconfirmed(redis: Server, endpoint: Endpoint, publisher: Service) -> int:
    """Send ids 1 to 20 to an endpoint that turns deaf; returns the last that was confirmed."""
    write_run(redis.client, frames(range(1, 11)))
    until(lambda: endpoint.deaf, "the endpoint's library has stopped reading")
    write_run(redis.client, frames(range(11, 21)))
    until(lambda: publisher.metric("publisher_messages_total") == 20, "all are sent")
    # A ping that comes together with the first ten is still answered.
    confirmed = publisher.metric("publisher_confirmed_total")
    assert confirmed in (0, 10)
    return int(confirmed)


@one_server
def test_a_killed_publisher_sends_the_unconfirmed_tail_again(redis: Server, start: Stack) -> None:
    """A crash would lose messages, or send them out of order."""
    endpoint = start.endpoint(reading=False)
    publisher = start.publisher(endpoint.url)
    confirmed = send_unconfirmed(redis, endpoint, publisher)
    publisher.kill()
    endpoint.read(True)
    write_run(redis.client, frames([21]))
    start.publisher(endpoint.url)
    until(lambda: len(endpoint.connections) == 2, "connected anew")
    until(lambda: frame(21) in endpoint.connections[1], "the last has come")
    assert list(endpoint.connections[1]) == frames(range(confirmed + 1, 22))
    assert list(endpoint.connections[0]) == frames(range(1, len(endpoint.connections[0]) + 1))


@one_server
def test_a_stuck_endpoint_is_dropped_and_tried_again(redis: Server, start: Stack) -> None:
    """An endpoint that reads no more would hold its messages for ever."""
    endpoint = start.endpoint(reading=False)
    publisher = start.publisher(endpoint.url, PUBLISHER_STUCK_TIMEOUT=0.5)
    for at in range(1, 5001, 100):
        seqs = range(at, at + 100)
        write_run(redis.client, [b'{"id":%d,"x":"%s"}' % (seq, b"x" * 1000) for seq in seqs])
    until(lambda: publisher.metric("publisher_disconnects_total", ending="stuck"), "dropped")
    until(lambda: endpoint.attempts >= 2, "and tried again")
    assert publisher.memory < 150 * 1024 * 1024
    endpoint.read(True)
    wait_for_position(redis, "1-5000")
    for received in endpoint.connections:
        numbers = streams.ids(received)
        assert numbers == sorted(set(numbers))
    assert set(streams.ids(endpoint.messages)) == set(range(1, 5001))


@one_server
def test_a_slow_endpoint_is_waited_for(redis: Server, start: Stack) -> None:
    """An endpoint that is merely slow would be dropped over and over and never get on."""
    endpoint = start.endpoint(pause=0.002)
    messages = [b'{"id":%d,"x":"%s"}' % (seq, b"x" * 10_000) for seq in range(1, 1001)]
    for at in range(0, 1000, 10):
        write_run(redis.client, messages[at : at + 10])
    publisher = start.publisher(endpoint.url, PUBLISHER_STUCK_TIMEOUT=1.5)
    wait_for_messages(endpoint, messages)
    wait_for_position(redis, "1-1000")
    assert len(endpoint.connections) == 1
    assert publisher.metric("publisher_disconnects_total", ending="stuck") == 0


@one_server
def test_a_new_numbering_gets_a_new_connection(redis: Server, start: Stack) -> None:
    """On one connection ids would go back to the beginning."""
    endpoint = start.endpoint()
    publisher = start.publisher(endpoint.url)
    write_run(redis.client, frames(range(1, 51)))
    write_run(redis.client, frames(range(51, 101)))
    write_run(redis.client, frames(range(1, 31)), epoch=2)
    write_run(redis.client, frames(range(11)), epoch=3)
    wait_for_messages(endpoint, frames([*range(1, 101), *range(1, 31), *range(11)]))
    assert [len(received) for received in endpoint.connections] == [100, 30, 11]
    wait_for_position(redis, "1-141")
    assert publisher.metric("publisher_disconnects_total", ending="epoch") == 2


@one_server
def test_ordered_is_trimmed_behind_the_slowest_sink(redis: Server, start: Stack) -> None:
    """Redis would fill, or a sink that was away would find its messages gone."""
    here = start.endpoint()
    absent = free_port()
    publisher = start.publisher(
        here.url, f"ws://127.0.0.1:{absent}/late", f"other={here.url}", PUBLISHER_RETAIN=100
    )
    for at in range(1, 1001, 10):
        write_run(redis.client, frames(range(at, at + 10)))
    wait_for_messages(here, frames(range(1, 1001)))
    until(lambda: "1-1000" in streams.sinks(redis.client).values(), "the one is confirmed")
    name = f"127.0.0.1:{absent}/late"
    until(lambda: publisher.metric("publisher_lag_seconds", sink=name) > 1, "the other lags")
    assert streams.ordered_ids(redis.client) == list(range(1, 1001))

    late = start.endpoint(port=absent, path="/late")
    wait_for_messages(late, frames(range(1, 1001)))
    for at in range(1001, 1151, 10):
        write_run(redis.client, frames(range(at, at + 10)))
        until(partial(all_stand_at, redis, f"1-{at + 9}"), "both have confirmed")
    until(lambda: len(streams.ordered_ids(redis.client)) <= 120, "what both have is trimmed")
    kept = streams.ordered_ids(redis.client)
    assert kept == list(range(kept[0], 1151))
    assert len(kept) >= 100
    assert list(here.messages) == list(late.messages) == frames(range(1, 1151))


@one_server
def test_feeds_go_to_their_own_endpoints(redis: Server, start: Stack) -> None:
    """Messages of one feed would come to another's endpoint."""
    first, second = start.endpoint(), start.endpoint(refuse=2)
    start.publisher(first.url, f"second={second.url}")
    write_run(redis.client, frames([1, 2]))
    write_run(redis.client, frames([5, 6]), feed="second")
    wait_for_messages(first, frames([1, 2]))
    wait_for_messages(second, frames([5, 6]))
    assert second.attempts == 3


@one_server
def test_an_endpoint_that_hangs_up_is_sent_to_again(redis: Server, start: Stack) -> None:
    """After the endpoint's first restart nothing would be sent, or something in between lost."""
    endpoint = start.endpoint()
    start.publisher(endpoint.url)
    for at, code in enumerate((1000, 1001, 1011, 1012, 4000)):
        write_run(redis.client, frames(range(10 * at, 10 * at + 10)))
        wait_for_position(redis, f"1-{10 * at + 10}")
        endpoint.close(code)
    write_run(redis.client, frames(range(50, 60)))
    wait_for_messages(endpoint, frames(range(60)))
    assert all(
        one < other
        for received in endpoint.connections
        for one, other in pairwise(streams.ids(received))
    )


@one_server
def test_a_hole_that_nothing_explains(redis: Server, start: Stack) -> None:
    """Messages that are gone before they were sent would be missed by nobody."""
    port = free_port()
    publisher = start.publisher(f"ws://127.0.0.1:{port}/ordered-messages/x")
    first = Endpoint(port=port, path="/ordered-messages/x")
    write_run(redis.client, frames([1, 2]))
    wait_for_position(redis, "1-2")
    first.stop()
    for seq in range(3, 10):
        write_run(redis.client, frames([seq]))
    write_run(redis.client, frames([12]))
    redis.client.xtrim("ordered:{default}", minid="1-8", approximate=False)
    second = Endpoint(port=port, path="/ordered-messages/x")
    wait_for_messages(second, frames([8, 9, 12]))
    alarm = publisher.wait_for("messages are gone that were not sent")
    assert (alarm["messages"], alarm["before"]) == (5, 8)
    assert publisher.metric("publisher_data_loss_total") == 1
    second.stop()
