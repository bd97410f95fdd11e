"""The ingestor with more feeds than get a lane of their own: what they share, and what not."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.support import streams
from tests.support.processes import Service
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.stranger import Feed
from tests.support.streams import frame, frames
from tests.support.waiting import settled, until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def named(feeds: Sequence[Feed]) -> list[str]:
    return [f"f{at}={feed.url}" for at, feed in enumerate(feeds)]


def kept(redis: Server, at: int) -> list[int]:
    """List the ids of a feed as they stand in its lane."""
    return streams.ids(streams.raw_frames(redis.client, f"f{at}"))


def lanes(redis: Server) -> dict[str, str]:
    return {feed.decode(): lane.decode() for feed, lane in redis.client.hgetall("feeds").items()}


def test_feeds_share_lanes(redis: Server, start: Stack) -> None:
    """A thousand feeds would cost a thousand of everything, or one feed's frames be another's."""
    feeds = [start.feed() for _ in range(40)]
    service = start.ingestor(*named(feeds), INGESTOR_OWN_LANES="2 f30")
    until(lambda: all(feed.connected for feed in feeds), "all are connected")
    for round in range(50):
        for feed in feeds:
            feed.send(frame(2 * round), frame(2 * round + 1))
    until(lambda: all(len(kept(redis, at)) == 100 for at in range(40)), "all is in raw")
    for at in range(40):
        assert kept(redis, at) == list(range(100))
    table = lanes(redis)
    assert {feed for feed, lane in table.items() if lane == feed} == {"f0", "f30"}
    shared = set(table.values()) - {"f0", "f30"}
    assert shared == {f"+{number}" for number in range(6)}
    for lane in shared:
        together = [
            {bytes(part[1]).decode() for part in streams.parts(values)}
            for _, values in streams.entries(redis.client, f"raw:{{{lane}}}")
        ]
        assert max(map(len, together)) > 1
        assert {table[feed] for feed in set().union(*together)} == {lane}
    roles = {key.decode() for key in redis.client.keys("lease:*")}
    assert roles == {f"lease:{{{lane}}}:lines:0" for lane in table.values()}
    assert service.metric("ingestor_frames_total") == 4000
    assert service.terminate() == 0
    assert [batch.event for batch in streams.raw(redis.client, "f7")][-1] == "disconnected"


@one_server
def test_nothing_is_lost_over_an_outage(redis: Server, start: Stack) -> None:
    """What gathers while Redis is away would be dropped, or come in another order."""
    redis.configure("appendonly", "yes")
    feeds = [start.feed(frames(range(20))) for _ in range(8)]
    service = start.ingestor(*named(feeds), INGESTOR_OWN_LANES=1)
    until(lambda: all(kept(redis, at) for at in range(8)), "it flows")
    for seq in range(20, 60):
        if seq == 30:
            redis.freeze()
        for feed in feeds:
            feed.send(frame(seq))
        if seq == 40:
            service.wait_for("waiting for Redis")
            redis.thaw()
    until(lambda: all(59 in kept(redis, at) for at in range(8)), "all is there")
    for at in range(8):
        # A lost reply may write twice, and the orderer drops repeats.
        assert list(dict.fromkeys(kept(redis, at))) == list(range(60))


@one_server
def test_what_could_not_be_written_is_told_of_each_feed(redis: Server, start: Stack) -> None:
    """An operator would be told of one feed's loss where all of the lane have lost something."""
    feeds = [start.feed(frames([1])) for _ in range(7)]
    service = start.ingestor(*named(feeds), INGESTOR_OWN_LANES=0)
    until(lambda: all(kept(redis, at) for at in range(7)), "the first are written")
    assert lanes(redis)["f0"] == lanes(redis)["f6"] == "+0"
    redis.stop()
    feeds[0].send(frame(2))
    feeds[6].send(*frames(range(2, 5)))
    service.wait_for("waiting for Redis")
    assert service.terminate() == 1
    (told,) = service.events("not drained")
    assert told["error"].count("frames of 127.0.0.1") == 2


@one_server
def test_two_replicas_share_the_lanes(redis: Server, start: Stack) -> None:
    """One of them would do all the work, or a feed be read twice or by nobody."""
    feeds = [start.feed(frames([1])) for _ in range(40)]
    urls = named(feeds)
    services = [start.ingestor(*urls, INGESTOR_OWN_LANES=4) for _ in range(2)]

    def read(service: Service) -> set[str]:
        return {name.partition("=")[0] for name in json.loads(service.get("/readyz")[1])["lines"]}

    def shared_out() -> bool:
        one, other = map(read, services)
        table = lanes(redis)
        counts = [
            sum(lane.startswith("+") == shared for lane in {table[feed] for feed in part})
            for part in (one, other)
            for shared in (True, False)
        ]
        return len(one | other) == 40 and not one & other and counts == [3, 2, 3, 2]

    until(shared_out, "each has half of the shared lanes, and half of the others")
    until(lambda: all(feed.connected == 1 for feed in feeds), "each feed is read once")
    services[0].kill()
    until(lambda: len(read(services[1])) == 40, "the other has all")
    until(lambda: all(feed.connected == 1 for feed in feeds), "each feed is read again")


@one_server
def test_redundant_lines_are_different_work(redis: Server, start: Stack) -> None:
    """Both lines of a feed would be read by one replica, and its death cost both."""
    feeds = [start.feed(frames([1, 2])) for _ in range(4)]
    urls = [f"f{at % 2}={feed.url}" for at, feed in enumerate(feeds)]
    services = [start.ingestor(*urls, INGESTOR_OWN_LANES="1") for _ in range(2)]
    until(lambda: all(feed.connected == 1 for feed in feeds), "all are read")
    leases = {key.decode() for key in redis.client.keys("lease:*")}
    assert leases == {f"lease:{{{lane}}}:lines:{at}" for lane in ("f0", "+0") for at in (0, 1)}
    until(lambda: all(len(kept(redis, at)) >= 4 for at in range(2)), "both lines have written")
    for at in range(2):
        batches = streams.raw(redis.client, f"f{at}")
        assert len({batch.line for batch in batches}) == 2
    assert all(service.running for service in services)


@one_server
def test_a_changed_file_in_a_shared_lane(redis: Server, start: Stack, tmp_path: Path) -> None:
    """A new feed would cost all others of its lane their connection."""
    feeds = [start.feed(frames([1])) for _ in range(28)]
    tables = [f'[feed.f{at}]\nurl = "{feed.url}"\n' for at, feed in enumerate(feeds)]
    file = tmp_path / "feeds.toml"
    file.write_text("".join(tables[:27]))
    service = start.service("ingestor", FEEDS_FILE=file, INGESTOR_OWN_LANES=0)
    until(lambda: all(feed.connected for feed in feeds[:27]), "all are connected")
    table = lanes(redis)
    assert table["f0"] == table["f12"] == table["f24"]
    # One of a lane gets a word more, another one goes, a third comes.
    tables[12] += "message_timeout = 600\n"
    file.write_text("".join([*tables[:24], *tables[25:28]]))
    os.kill(service.pid, signal.SIGHUP)
    until(lambda: feeds[27].connected, "the new one is read")
    until(lambda: feeds[12].attempts == 2 and feeds[12].connected == 1, "the changed one, anew")
    until(lambda: feeds[24].connected == 0, "the removed one no longer")
    assert [at for at, feed in enumerate(feeds) if feed.attempts != 1] == [12]
    assert streams.raw(redis.client, "f24")[-1].event == "disconnected"
    until(lambda: kept(redis, 27) == [1], "what it sends is kept")
    events = [batch.event for batch in streams.raw(redis.client, "f12") if batch.event]
    assert events == ["connected", "disconnected", "connected"]


class Endless:
    """Messages for ever, from id 1 on, each of some kilobytes."""

    def __iter__(self) -> Iterator[bytes]:
        for seq in itertools.count(1):
            yield b'{"id":%d,"padding":"%s"}' % (seq, b"x" * 4000)


@one_server
@pytest.mark.parametrize("bound", ["frames", "bytes"])
def test_who_is_held_back_holds_back_no_other(redis: Server, start: Stack, bound: str) -> None:
    """A flood of one feed, or its endpoint that is away, would stop all feeds of its lane."""
    if bound == "bytes":
        redis.configure("maxmemory", str(2**30))
    feeds = [start.feed(Endless() if at == 0 else ()) for at in range(13)]
    limit = 2000 if bound == "frames" else 1_000_000
    service = start.ingestor(*named(feeds), INGESTOR_OWN_LANES=0, INGESTOR_BACKLOG=limit)
    until(lambda: service.metric("ingestor_paused", feed="f0") == 1, "the flood is held back")
    assert lanes(redis)["f0"] == lanes(redis)["f12"]
    until(lambda: feeds[12].connected, "the other is connected")
    settled(lambda: feeds[0].sent, "the flood is stopped by TCP")

    def came(count: int) -> bool:
        return service.metric("ingestor_frames_total", feed="f12") == count

    for seq in range(20):
        feeds[12].send(frame(seq))
        until(partial(came, seq + 1), "the other flows")
    assert service.metric("ingestor_paused") == 1
    assert service.metric("ingestor_paused", feed="f12") == 0


@one_server
def test_a_silent_feed_costs_nothing(redis: Server, start: Stack) -> None:
    """A thousand feeds that are quiet would keep Redis and the orderer busy."""
    feeds = [start.feed(frames([1])) for _ in range(30)]
    start.ingestor(*named(feeds), INGESTOR_OWN_LANES=2)
    start.orderer(ORDERER_FIRST_ID=1)

    def written() -> list[bytes]:
        keys = redis.client.keys("raw:*")
        return [redis.client.xinfo_stream(key)["last-generated-id"] for key in sorted(keys)]

    until(lambda: len(written()) == 8, "all lanes are in use")
    settled(written, "silence", still=3.0)


@one_server
def test_a_gap_that_is_found_late_is_given_up(redis: Server, start: Stack) -> None:
    """With an orderer that was away, a gap of a feed that is silent now would stay for ever."""
    feeds = [start.feed() for _ in range(3)]
    start.ingestor(*named(feeds), INGESTOR_OWN_LANES=1)
    until(lambda: all(feed.connected for feed in feeds), "connected")
    for feed in feeds[:2]:
        feed.send(frame(1), frame(3))
    until(lambda: len(kept(redis, 1)) == 2, "written")
    beats = settled(lambda: len(streams.raw(redis.client, "f1", beats=True)), "silence", still=2.0)
    assert beats > 5
    start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3)
    began = time.monotonic()
    until(lambda: streams.given_up(redis.client, "f0") == [2], "2 is given up")
    assert time.monotonic() - began < 6


@one_server
def test_a_line_at_rest_learns_that_its_feed_waits(redis: Server, start: Stack) -> None:
    """What a line that is gone has left missing would stay so, though another one listens."""
    feeds = [start.feed() for _ in range(2)]
    for _ in range(2):
        start.ingestor(*(feed.url for feed in feeds), INGESTOR_OWN_LANES=0)
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=1)

    def holders() -> set[bytes]:
        return set(redis.client.mget("lease:{+0}:lines:0", "lease:{+0}:lines:1")) - {None}

    # Before that, a line may be handed over while something is sent to it.
    until(lambda: len(holders()) == 2, "each has one")
    until(lambda: len({one.partition(b":")[2] for one in holders()}) == 2, "they are two")
    until(lambda: all(feed.connected == 1 for feed in feeds), "each reads one")
    orderer.wait_for("ordering")
    feeds[0].send(frame(1), frame(3))
    until(lambda: streams.raw_frames(redis.client) or redis.client.exists("next:{+0}"), "written")
    feeds[0].stop()
    until(lambda: redis.client.xlen("gaps:{+0}:default"), "2 is given up", 30)
