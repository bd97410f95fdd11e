"""The publisher where something is slow, goes back or starts again."""

from __future__ import annotations

import socket
from functools import partial
from itertools import pairwise

import pytest

from tests.support import streams
from tests.support.servers import Server
from tests.support.stack import Stack, wait_for_messages
from tests.support.streams import frames, write_run
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def stands_at(redis: Server, expected: str) -> bool:
    return set(streams.sinks(redis.client).values()) == {expected}


@one_server
def test_an_endpoint_slower_than_a_whole_entry_is_waited_for(redis: Server, start: Stack) -> None:
    """It would be dropped and sent the same messages again, for ever."""
    endpoint = start.endpoint(pause=0.002)
    write_run(redis.client, frames(range(1, 1501)))
    publisher = start.publisher(endpoint.url, PUBLISHER_STUCK_TIMEOUT=2)
    wait_for_messages(endpoint, frames(range(1, 1501)))
    until(partial(stands_at, redis, "1-1500"), "all is confirmed")
    assert len(endpoint.connections) == 1
    assert publisher.metric("publisher_messages_total") == 1500
    assert publisher.metric("publisher_disconnects_total", ending="stuck") == 0


@one_server
def test_runs_cut_anew_get_a_new_connection(redis: Server, start: Stack) -> None:
    """Ids would go back on one connection when Redis has lost its last moments."""
    endpoint = start.endpoint()
    publisher = start.publisher(endpoint.url)
    write_run(redis.client, frames(range(1, 51)))
    write_run(redis.client, frames(range(51, 101)))
    wait_for_messages(endpoint, frames(range(1, 101)))
    write_run(redis.client, frames(range(51, 131)))
    write_run(redis.client, frames(range(131, 151)))
    wait_for_messages(endpoint, frames([*range(1, 101), *range(51, 151)]))
    for received in endpoint.connections:
        assert all(one < other for one, other in pairwise(streams.ids(received)))
    assert len(publisher.events("Redis went back")) == 1
    assert publisher.metric("publisher_disconnects_total", ending="epoch") == 1


@one_server
def test_a_publisher_that_is_restarted_often_trims(redis: Server, start: Stack) -> None:
    """What is kept behind the sinks would grow by what was sent since each start, for ever."""
    endpoint = start.endpoint()
    sent = 0
    for _ in range(4):
        publisher = start.publisher(endpoint.url, PUBLISHER_RETAIN=200)
        for _ in range(9):
            write_run(redis.client, frames(range(sent + 1, sent + 21)))
            sent += 20
        until(partial(stands_at, redis, f"1-{sent}"), "all is confirmed")
        assert publisher.terminate() == 0
    start.publisher(endpoint.url, PUBLISHER_RETAIN=200)
    until(lambda: len(streams.ordered_ids(redis.client)) < 300, "what is too much is trimmed")
    kept = streams.ordered_ids(redis.client)
    assert len(kept) >= 200
    assert kept == list(range(kept[0], sent + 1))


@one_server
def test_what_could_be_saved_too_late_only_is_sent_once(redis: Server, start: Stack) -> None:
    """At-most-once, two publishers would send the same when one had lost its lease meanwhile."""
    endpoint = start.endpoint()
    publisher = start.publisher(endpoint.url, PUBLISHER_DELIVERY="at-most-once")
    until(lambda: endpoint.connected, "connected")
    pipeline = redis.client.pipeline(transaction=True)
    write_run(pipeline, frames(range(1, 11)), serial=10)
    pipeline.execute_command("CLIENT", "PAUSE", 1600, "WRITE")  # longer than the lease
    pipeline.execute()
    until(partial(stands_at, redis, "1-10"), "the position is saved")
    until(lambda: publisher.events("lease had run out"), "the lease is another one")
    write_run(redis.client, frames(range(11, 21)), serial=20)
    # Not saved under the lease that had run out, they were not sent then; but they are now.
    wait_for_messages(endpoint, frames(range(1, 21)))


@one_server
def test_sigterm_ends_a_handshake(redis: Server, start: Stack) -> None:
    """A stop would take longer than a container engine waits, when an endpoint is silent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publisher = start.publisher(f"ws://127.0.0.1:{silent.getsockname()[1]}/silent")
        peer, _ = silent.accept()
        with peer:
            assert peer.recv(1 << 16).startswith(b"GET /silent ")
            assert publisher.terminate() == 0
    assert not publisher.events("draining took too long")
