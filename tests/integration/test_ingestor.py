"""The ingestor alone: a stranger's feed on one side, the test reading Redis on the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support import streams
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.stranger import Binary, Feed, Fragments
from tests.support.streams import frame, frames
from tests.support.waiting import settled, until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

MIB = 1024 * 1024


class Endless:
    """Messages for ever, from id 1 on, each of about a kilobyte."""

    def __iter__(self) -> Iterator[bytes]:
        padding = b"x" * 1000
        seq = 0
        while True:
            seq += 1
            yield b'{"id":%d,"padding":"%s"}' % (seq, padding)


def events(redis: Server, feed: str = "default") -> list[str]:
    return [batch.event for batch in streams.raw(redis.client, feed) if batch.event]


def test_frames_are_kept_as_received(redis: Server, start: Stack) -> None:
    """Something would be lost, changed or moved between the socket and Redis."""
    strange: list[bytes] = [
        b"",
        b"no json at all",
        b'{ "id" : 1e0,\t"text":"\xd0\x94\xd0\xbe\xd0\xb1\xd1\x80\xd0\xbe" }',
        b'{"broken": "\xff\xfe\xc0"}',
        b"\x00\x01\x02",
        b"[" * 5000,
    ]
    messages = [frame(1), *strange, *map(Binary, strange), *frames(range(2, 500))]
    feed = start.feed([*messages, Fragments([b'{"id":', b"", b'500,"te', b'xt":1}'])])
    began = time.time_ns() // 1000
    ingestor = start.ingestor(feed.url)
    expected = [*map(bytes, messages), b'{"id":500,"text":1}']
    until(lambda: len(streams.raw_frames(redis.client)) >= len(expected), "all is in raw")
    assert streams.raw_frames(redis.client) == expected

    batches = streams.raw(redis.client)
    assert batches[0].event == "connected"
    assert all(batch.event == "" and batch.frames for batch in batches[1:])
    assert {batch.line for batch in batches} == {f"127.0.0.1:{feed.port}/raw-messages"}
    assert len({batch.connection for batch in batches}) == 1
    times = [batch.time for batch in batches]
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= time.time_ns() // 1000
    assert redis.client.hgetall("feeds") == {b"default": b"default"}
    assert ingestor.metric("ingestor_frames_total") == len(expected)
    assert ingestor.ready

    assert ingestor.terminate() == 0
    assert events(redis) == ["connected", "disconnected"]
    assert streams.raw(redis.client)[-1].event == "disconnected"


@one_server
def test_what_could_not_be_written_at_the_end_is_counted(redis: Server, start: Stack) -> None:
    """An operator would be told that one frame is lost where hundreds are."""
    feed = start.feed([frame(1)])
    ingestor = start.ingestor(feed.url)
    until(lambda: streams.raw_frames(redis.client), "the first is written")
    redis.stop()
    feed.send(frame(2))
    ingestor.wait_for("waiting for Redis")
    feed.send(*frames(range(3, 502)))
    assert ingestor.terminate() == 1
    (told,) = ingestor.events("not drained")
    assert "up to 500 frames" in told["error"]


def test_sigterm_keeps_all_that_was_received(redis: Server, start: Stack) -> None:
    """Frames that had left the feed would be lost by every restart of the ingestor."""
    feed = start.feed(Endless())
    ingestor = start.ingestor(feed.url)
    until(lambda: redis.client.xlen("raw:{default}") >= 20, "frames flow")
    assert ingestor.terminate() == 0
    kept = streams.ids(streams.raw_frames(redis.client))
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= feed.sent
    assert streams.raw(redis.client)[-1].event == "disconnected"


def is_connected(feed: Feed, times: int) -> bool:
    return feed.accepted == times and feed.connected == 1


@one_server
def test_a_broken_line_is_connected_anew(redis: Server, start: Stack) -> None:
    """After the feed's first disconnection, nothing would come any more."""
    feed = start.feed(frames([1]), refuse=2)
    ingestor = start.ingestor(feed.url)
    until(lambda: feed.connected, "connected after two refusals")
    ends: list[Callable[[], None]] = [
        partial(feed.close, 1000),
        partial(feed.close, 1012),
        feed.drop,
    ]
    for count, end in enumerate(ends, 1):
        until(partial(is_connected, feed, count), "connected anew")
        end()
    until(lambda: len(streams.raw_frames(redis.client)) == 4, "a frame of each connection")
    noted = [(batch.connection, batch.event) for batch in streams.raw(redis.client)]
    names = list(dict.fromkeys(connection for connection, _ in noted))
    assert len(names) == 4
    for name in names[:3]:
        assert [event for other, event in noted if other == name] == [
            "connected",
            "",
            "disconnected",
        ]
    assert ingestor.metric("ingestor_disconnects_total", ending="refused") == 2
    assert ingestor.metric("ingestor_disconnects_total", ending="closed") == 1
    assert ingestor.metric("ingestor_disconnects_total", ending="dropped") == 2


@one_server
def test_a_feed_that_hangs_up_is_not_hammered(redis: Server, start: Stack) -> None:
    """A feed in trouble would get a thousand connections a second from us."""
    feed = start.feed(frames([1]), hang_up=True)
    start.ingestor(feed.url)
    until(lambda: feed.attempts >= 1, "a first connection")
    began = time.monotonic()
    until(lambda: feed.attempts >= 6, "five more")
    # At the least half of 0.1, 0.2, 0.4, 0.8 and 1.6 s.
    assert time.monotonic() - began > 1.4


@one_server
def test_oversized_frames_are_parked(redis: Server, start: Stack) -> None:
    """A huge frame would end the connection, or fill Redis, or vanish without a trace."""
    large = b'{"id":2,"text":"' + b"y" * MIB + b'"}'
    feed = start.feed([frame(1), large, frame(3)])
    ingestor = start.ingestor(feed.url)
    until(lambda: streams.rejected(redis.client), "the large frame is rejected")
    until(lambda: streams.raw_frames(redis.client) == frames([1, 3]), "the others pass")
    (reject,) = streams.rejected(redis.client)
    assert (reject.reason, reject.size) == ("oversized", len(large))
    assert reject.frame == large[:4096]
    assert reject.line == streams.raw(redis.client)[0].line
    assert ingestor.metric("ingestor_rejected_total", reason="oversized") == 1
    assert feed.attempts == 1


@one_server
def test_a_gigantic_frame_ends_the_connection(redis: Server, start: Stack) -> None:
    """A single frame could fill the ingestor's memory."""
    feed = start.feed([frame(1), b"z" * (16 * MIB + 1), frame(2)])
    ingestor = start.ingestor(feed.url)
    until(lambda: feed.attempts >= 2, "connected anew")
    until(lambda: ingestor.metric("ingestor_disconnects_total", ending="dropped"), "counted")
    assert set(streams.raw_frames(redis.client)) == {frame(1)}
    assert ingestor.memory < 200 * MIB


def test_a_full_backlog_holds_the_feed_back(redis: Server, start: Stack) -> None:
    """With no orderer, raw would grow until Redis is full, or frames would be thrown away."""
    feed = start.feed(Endless())
    ingestor = start.ingestor(feed.url, INGESTOR_BACKLOG=3000)
    until(lambda: ingestor.metric("ingestor_paused") == 1, "paused")
    before = settled(lambda: feed.sent, "the feed is stopped by TCP")
    waiting = len(streams.raw_frames(redis.client))
    assert 3000 <= waiting <= 3000 + 8192 + 2000
    assert ingestor.memory < 150 * MIB
    assert ingestor.ready

    def read_all() -> bool:
        """Say what an orderer says when it has read everything."""
        last = streams.raw(redis.client)[-1].entry
        redis.client.hset("order:{default}", "seen", last)
        return feed.sent > before + 10_000

    until(read_all, "the feed goes on")
    read = streams.ids(streams.raw_frames(redis.client))
    assert read == list(range(1, len(read) + 1))


@one_server
def test_endless_garbage_is_taken_in_as_it_comes(redis: Server, start: Stack) -> None:
    """A feed gone mad would crash the ingestor, which judges no frame but by its size."""

    class Garbage:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"\xff garbage \x00" * 10
                yield Binary(b"\x00" * 100)

    feed = start.feed(Garbage())
    ingestor = start.ingestor(feed.url, INGESTOR_BACKLOG=20_000)
    until(lambda: ingestor.metric("ingestor_frames_total") >= 20_000, "garbage flows")
    assert feed.attempts == 1
    assert ingestor.ready
    assert ingestor.terminate() == 0


@one_server
def test_lines_and_feeds_are_kept_apart(redis: Server, start: Stack) -> None:
    """Redundant lines would be taken for one, or feeds would be mixed."""
    one = start.feed(frames([1, 2]))
    other = start.feed(frames([7, 8]))
    start.ingestor(one.url, one.url, f"second={other.url}")
    until(lambda: len(streams.raw_frames(redis.client)) == 4, "both lines of the one feed")
    until(lambda: len(streams.raw_frames(redis.client, "second")) == 2, "the other feed")
    name = f"127.0.0.1:{one.port}/raw-messages"
    assert {batch.line for batch in streams.raw(redis.client)} == {name, f"{name}#2"}
    assert streams.raw_frames(redis.client, "second") == frames([7, 8])
    assert set(redis.client.hgetall("feeds")) == {b"default", b"second"}


@one_server
def test_a_silent_line_is_connected_anew(redis: Server, start: Stack) -> None:
    """A connection that is dead without a sign would stay for ever."""
    feed = start.feed(frames([1]))
    ingestor = start.ingestor(feed.url, INGESTOR_IDLE_TIMEOUT=1)
    until(lambda: feed.accepted >= 2, "connected anew")
    assert ingestor.metric("ingestor_disconnects_total", ending="idle") >= 1


@one_server
def test_a_standby_takes_the_line_over(redis: Server, start: Stack) -> None:
    """A line would be received twice, or by nobody after its ingestor's death."""
    feed = start.feed(frames([1]))
    first = start.ingestor(feed.url)
    until(lambda: feed.connected == 1, "the first is connected")
    second = start.ingestor(feed.url)
    until(lambda: second.ready, "the second stands by")
    until(lambda: redis.client.zcard("replicas:ingestor") == 2, "they know of each other")
    assert feed.attempts == 1
    first.kill()
    until(lambda: feed.connected == 1 and feed.attempts == 2, "the second is connected", 5)
