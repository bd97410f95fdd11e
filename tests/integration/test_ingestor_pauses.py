"""The ingestor when it must wait, for room or for a peer, and when it was frozen itself."""

from __future__ import annotations

import socket
import time
from itertools import pairwise

import pytest

from tests.support import streams
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import frame, frames
from tests.support.waiting import settled, until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


@pytest.mark.parametrize("behind", ["the orderer", "the sinks"])
def test_a_pause_ends_when_redis_loses_its_data(redis: Server, start: Stack, behind: str) -> None:
    """A paused feed would wait for ever for messages that are not there any more."""
    if behind == "the sinks":
        streams.write_run(redis.client, frames([1]))
        redis.client.hset("order:{default}", "serial", 999_999)
    feed = start.feed(frames(range(1, 50_001)))
    ingestor = start.ingestor(feed.url, INGESTOR_BACKLOG=1000)
    until(lambda: ingestor.metric("ingestor_paused") == 1, "paused")
    if behind == "the sinks":
        redis.client.hset("order:{default}", "seen", streams.raw(redis.client)[-1].entry)
        until(lambda: ingestor.metric("ingestor_backlog") == 999_999, "only the sinks are behind")
    assert ingestor.metric("ingestor_paused") == 1
    redis.client.flushall()
    until(lambda: streams.raw_frames(redis.client), "the feed goes on")


def test_what_waits_is_measured_not_guessed(redis: Server, start: Stack) -> None:
    """A feed would be held back for good because the oldest messages are larger than the rest."""
    redis.configure("maxmemory", str(32 * 2**20))
    for seq in range(1, 406):
        size = 250_000 if seq <= 5 else 10_000
        streams.write_run(redis.client, [b'{"id":%d,"text":"%s"}' % (seq, b"x" * size)])
    feed = start.feed([b'{"id":%d,"text":"%s"}' % (seq, b"x" * 10_000) for seq in range(406, 3000)])
    start.ingestor(feed.url).wait_for("feed paused")
    assert redis.client.xlen("raw:{default}") > 0
    assert len(streams.raw_frames(redis.client)) > 400


def test_sigterm_does_not_wait_for_a_handshake(redis: Server, start: Stack) -> None:
    """A feed's server that hangs would hold up every stop of the ingestor, until it is killed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ingestor = start.ingestor(f"ws://127.0.0.1:{silent.getsockname()[1]}/raw-messages")
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(65536).startswith(b"GET ")
            began = time.monotonic()
            assert ingestor.terminate() == 0
            assert time.monotonic() - began < 5
    assert not ingestor.events("no connection")


def test_a_line_that_was_frozen_goes_on(redis: Server, start: Stack) -> None:
    """Time in which an ingestor was frozen would count, or it would never count again."""
    feed = start.feed()
    ingestor = start.ingestor(feed.url)
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=1)
    orderer.wait_ready()  # time that goes by before it reads counts
    until(lambda: feed.connected, "connected")
    feed.send(frame(3), frame(1))
    until(lambda: streams.ordered_ids(redis.client) == [1], "2 is awaited")
    ingestor.freeze()
    until(lambda: orderer.metric("orderer_lines_connected") == 0, "the line is no longer shown")
    assert streams.ordered_ids(redis.client) == [1]
    ingestor.thaw()
    until(lambda: streams.ordered_ids(redis.client) == [1, 3], "2 is given up")
    assert feed.attempts == 1


def test_older_epochs_count_in_the_backlog(redis: Server, start: Stack) -> None:
    """A feed that numbers anew all the time would fill Redis while an endpoint is stuck."""
    simulator = start.simulator(RATE=0, RESTART_EVERY=3000)
    endpoint = start.endpoint(reading=False)
    ingestor, *_ = start.relay(
        simulator.feed_url,
        endpoint.url,
        INGESTOR_BACKLOG=5000,
        ORDERER_FIRST_ID=1,
        PUBLISHER_STUCK_TIMEOUT=3600,
    )
    until(lambda: int(streams.order(redis.client).get("epoch", 0)) > 1, "it numbers anew")
    received = settled(lambda: ingestor.metric("ingestor_frames_total"), "the feed")
    assert ingestor.metric("ingestor_paused") == 1
    # The backlog, what the inbox holds besides, and what the endpoint's buffers have taken.
    assert len(streams.ordered_frames(redis.client)) < 5000 + 8192 + 12_000
    endpoint.read(True)
    until(lambda: ingestor.metric("ingestor_frames_total") > received + 20_000, "it goes on")


def test_silence_is_told(redis: Server, start: Stack) -> None:
    """The orderer would not know that the feed is listened to although nothing comes."""
    feed = start.feed()
    ingestor = start.ingestor(feed.url)
    until(lambda: feed.connected, "connected")
    feed.send(frame(1))

    def told() -> list[streams.Batch]:
        return streams.raw(redis.client, beats=True)

    until(lambda: len(told()) >= 12, "it has been silent for a while")
    connected, first, *silence = told()
    assert (connected.event, first.frames) == ("connected", [frame(1)])
    assert {batch.event for batch in silence} == {"alive"}
    counts = [batch.listened for batch in [connected, first, *silence]]
    assert counts == sorted(set(counts)) or counts[0] == counts[1]
    times = [batch.time for batch in [first, *silence]]
    steps = [(after - before) / 1e6 for before, after in pairwise(times)]
    assert max(steps) < 2
    passed = (silence[-1].time - connected.time) / 1e6
    assert 0.7 * passed < silence[-1].listened / 1000 <= passed + 0.002
    feed.close()
    until(lambda: told()[-1].event == "disconnected" or feed.attempts > 1, "disconnected")
    ingestor.terminate()
    ends = [batch.event for batch in told() if batch.event]
    assert "alive" not in ends[ends.index("disconnected") :][:1]


def test_a_frozen_ingestor_has_not_listened(redis: Server, start: Stack) -> None:
    """What waits in a frozen ingestor's socket would come after its gap was given up."""
    feed = start.feed()
    ingestor = start.ingestor(feed.url)
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=2.5)
    orderer.wait_ready()  # time that goes by before it reads counts
    until(lambda: feed.connected, "connected")
    feed.send(frame(3), frame(1))
    until(lambda: streams.ordered_ids(redis.client) == [1], "2 is awaited")
    before = streams.raw(redis.client, beats=True)[-1].listened
    ingestor.freeze()
    time.sleep(4)
    feed.send(frame(2))
    ingestor.thaw()
    until(lambda: streams.ordered_ids(redis.client) == [1, 2, 3], "2 has come in time")
    assert streams.gaps(redis.client) == []
    feed.send(frame(5))  # which keeps what is written from now on
    entries = until(lambda: streams.raw(redis.client, beats=True), "5 is held")
    assert entries[-1].listened - before < 2500
    assert orderer.running


def test_nobody_reads_the_silence(redis: Server, start: Stack) -> None:
    """A silent feed would fill Redis where no orderer runs."""
    redis.client.hset("order:{default}", "waiting", "default")  # as an orderer left it
    feed = start.feed()
    ingestor = start.service("tests.support.hasty_ingestor", INGESTOR_URL=feed.url, LEASE_TTL=1)
    until(lambda: feed.connected, "connected")

    def beats() -> int:
        return sum(batch.event == "alive" for batch in streams.raw(redis.client, beats=True))

    assert settled(beats, "the signs of life", still=1.0) == 20
    redis.client.hset("order:{default}", "seen", streams.raw(redis.client, beats=True)[-1].entry)
    until(lambda: beats() > 20, "it goes on when somebody has read")
    assert ingestor.running
