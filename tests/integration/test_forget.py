"""`python -m orderer forget`: a feed goes out of Redis, and nothing else does."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import streams
from tests.support.processes import Service, command
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import Client, frame, frames
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

STAYS = {b"fence:{a}:orderer", b"fence:{a}:publisher"}
"""What stays of a lane of the feed's own: a lease's value must never come again."""

NEIGHBOURS = ("b", "c")

PIECE = 201
"""Messages that a neighbour sends at once: an odd number, so that one is held back every time."""


def forget(redis: Server, feed: str, *options: str) -> subprocess.CompletedProcess[str]:
    return command("orderer", "forget", feed, *options, REDIS_URL=redis.url)


def forgotten(redis: Server, feed: str, *options: str) -> str:
    """Forget a feed; tells what the verb said."""
    done = forget(redis, feed, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(redis: Server, feed: str, *options: str) -> str:
    """Try to; tells why it was refused."""
    done = forget(redis, feed, *options)
    assert done.returncode == 1, done.stdout
    return done.stderr


def settle(redis: Server, feed: str) -> None:
    """Forget a feed as soon as all that it has brought is settled."""
    until(lambda: forget(redis, feed).returncode == 0, f"{feed} can be forgotten")


def keys_of(client: Client, lane: str) -> set[bytes]:
    """List a lane's keys, but for leases, which run out by themselves."""
    return {key for key in client.keys(f"*{{{lane}}}*") if not key.startswith(b"lease:")}


def fields_of(client: Client, lane: str, feed: str) -> set[bytes]:
    """List what a lane's hashes have of a feed."""
    found = set()
    for kind in ("order", "next", "status", "confirmed"):
        for field, value in client.hgetall(f"{kind}:{{{lane}}}").items():
            if feed.encode() in field.split(b":") or (
                field in (b"waiting", b":aside") and feed.encode() in value.split()
            ):
                found.add(field)
    return found


class Writer:
    """Writes a shared lane's input as an ingestor does."""

    def __init__(self, redis: Server, lane: str, feeds: Iterable[str]) -> None:
        self._client = redis.connect()
        self._stream = f"raw:{{{lane}}}"
        self._began = time.monotonic() - 10.0
        for feed in feeds:
            self._client.hset("feeds", feed, lane)

    def __call__(self, **parts: Sequence[bytes] | str) -> bytes:
        """Write an entry: frames, or an event, of each of some feeds."""
        values: list[bytes | int | str] = []
        up = int((time.monotonic() - self._began) * 1000)
        for feed, part in parts.items():
            values += ["feed", feed, "t", time.time_ns() // 1000]
            values += ["line", f"line-{feed}", "conn", f"conn-{feed}", "up", up]
            if isinstance(part, str):
                values += ["event", part]
            else:
                values += (word for at, one in enumerate(part) for word in (str(at), one))
        entry: bytes = self._client.execute_command("XADD", self._stream, "*", *values)
        return entry


def out(client: Client, lane: str, feed: str) -> list[bytes]:
    """Read what came out of a feed that shares a lane."""
    found = []
    for _, values in streams.entries(client, f"ordered:{{{lane}}}"):
        if values[4].startswith(feed.encode() + b":"):
            found += values[5::2]
    return found


def named(client: Client, lane: str, feed: str) -> list[str]:
    """List what came out of it as `<epoch>-<id>`."""
    found = []
    for _, values in streams.entries(client, f"ordered:{{{lane}}}"):
        epoch = values[3].partition(b":")[0].decode()
        ids = [field.decode().split(":") for field in values[4::2]]
        found += [f"{epoch}-{id}" for whose, id in ids if whose == feed]
    return found


# Of its own lane ------------------------------------------------------------------------------


def test_all_of_a_lane_of_its_own_goes(redis: Server, start: Stack) -> None:
    """A feed that is long gone would stand in the status, alarm, and take memory for ever."""
    feed, endpoint = start.feed(frames(range(1, 50))), start.endpoint()
    ingestor, orderer, publisher = start.relay(f"a={feed.url}", f"a={endpoint.url}")
    until(lambda: len(endpoint.messages) == 49, "all has gone out")
    feed.send(b"rubbish", frame(51), frame(50))
    until(lambda: len(endpoint.messages) == 51, "these, too")
    until(lambda: streams.rejected(redis.client, "a"), "one is kept for inspection")
    why = refused(redis, "a")
    assert "lines:0" in why
    assert "publisher" in why
    assert ingestor.terminate() == 0
    assert "publisher" in refused(redis, "a", "--force")
    assert publisher.terminate() == 0
    settle(redis, "a")
    assert redis.client.hgetall("feeds") == {}
    assert "no feed has been connected" in command("orderer", "status", REDIS_URL=redis.url).stdout
    until(lambda: "a" not in json.loads(orderer.get("/readyz")[1])["feeds"], "it is left")
    until(lambda: not redis.client.keys("lease:*"), "nobody has a lease")
    assert keys_of(redis.client, "a") == STAYS
    # It was no loss, and nobody is to be told of one.
    assert orderer.metric("orderer_data_loss_total") == 0
    assert not orderer.events("Redis has lost the numbering")
    assert "no such feed" in refused(redis, "a")


def test_it_comes_back_as_a_new_one(redis: Server, start: Stack) -> None:
    """Ids that came before would be taken for repeats, or an endpoint go on in the middle."""
    first, endpoint = start.feed(frames(range(1, 20))), start.endpoint()
    ingestor, _, publisher = start.relay(f"a={first.url}", f"a={endpoint.url}")
    until(lambda: len(endpoint.messages) == 19, "all has gone out")
    assert (ingestor.terminate(), publisher.terminate()) == (0, 0)
    settle(redis, "a")
    second, other = start.feed(frames(range(1, 30))), start.endpoint()
    start.ingestor(f"a={second.url}")
    start.publisher(f"a={other.url}")
    until(lambda: list(other.messages) == frames(range(1, 30)), "all comes anew")
    assert streams.order(redis.client, "a")["epoch"] == "1"
    assert streams.gaps(redis.client, "a") == []


@one_server
def test_what_waits_is_not_lost_in_silence(redis: Server, start: Stack) -> None:
    """A word at a prompt would destroy what was accepted, and nobody would know how much."""
    streams.write_raw(redis.client, frames([1, 2, 4, 5]), feed="a")
    assert "4 messages wait (4 not read by an orderer)" in refused(redis, "a")
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    until(lambda: orderer.metric("orderer_held") == 2, "two are held")
    until(lambda: "2 messages wait (2 held back)" in refused(redis, "a"), "it says so")
    endpoint = start.endpoint()
    publisher = start.publisher(f"a={endpoint.url}")
    until(lambda: len(endpoint.messages) == 2, "what is in order has gone out")
    assert publisher.terminate() == 0
    assert "2 held back" in refused(redis, "a")
    streams.write_raw(redis.client, frames([3]), feed="a")
    until(lambda: "3 not confirmed by 127.0.0.1" in refused(redis, "a"), "three wait for it")
    assert "a: forgotten; 3 messages lost" in forgotten(redis, "a", "--force")
    until(lambda: not redis.client.keys("lease:*"), "nobody has a lease")
    assert keys_of(redis.client, "a") == STAYS
    assert redis.client.hgetall("feeds") == {}


@one_server
def test_a_feed_in_the_file_is_not_forgotten(redis: Server, tmp_path: Path) -> None:
    """A slip of the tongue would begin a feed anew that is at work."""
    streams.write_event(redis.client, "connected", feed="a")
    file = tmp_path / "feeds.toml"
    file.write_text('[feed.a]\nurl = "ws://a/"\n')
    done = command("orderer", "forget", "a", "--force", REDIS_URL=redis.url, FEEDS_FILE=file)
    assert (done.returncode, "FEEDS_FILE still has it" in done.stderr) == (1, True)
    file.write_text('[feed.b]\nurl = "ws://b/"\n')
    done = command("orderer", "forget", "a", REDIS_URL=redis.url, FEEDS_FILE=file)
    assert (done.returncode, redis.client.keys("*")) == (
        0,
        [b"fence:{a}:orderer", b"lease:{a}:orderer"],
    )
    done = command("orderer", "forget", REDIS_URL=redis.url)
    assert done.returncode == 2


# Of a lane that feeds share -------------------------------------------------------------------


def numbered(feed: str, seq: int) -> bytes:
    return b'{"id":%d,"of":"%s"}' % (seq, feed.encode())


def shuffled(feed: str) -> Iterator[bytes]:
    """Make messages without end, each two in the wrong order."""
    for seq in itertools.count(1, 2):
        yield numbered(feed, seq + 1)
        yield numbered(feed, seq)


def hold(redis: Server, start: Stack, write: Writer) -> Service:
    """Have feed `a` hold something back, and `b` something that is older than that."""
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    write(a="connected", b="connected", c="connected")
    write(b=[numbered("b", 1), numbered("b", 3)], a=[numbered("a", 1)])
    write(a=[numbered("a", 2), numbered("a", 4), b"rubbish"], c=[numbered("c", 1)])
    write(a="disconnected")
    until(lambda: len(out(redis.client, "+0", "a")) == 2, "some of it is out")
    until(lambda: redis.client.hget("order:{+0}", "waiting") == b"a b", "both hold back")
    until(lambda: not redis.client.hget("order:{+0}", "lines:a"), "nobody is connected")
    return orderer


def go_on(redis: Server, write: Writer) -> None:
    """Bring what the neighbours need, and see that all of theirs is exact."""
    write(b=[numbered("b", 2)], c=[numbered("c", 2)])
    for feed, last in (("b", 3), ("c", 2)):
        expected = [numbered(feed, seq) for seq in range(1, last + 1)]
        until(lambda: out(redis.client, "+0", feed) == expected, f"{feed} is exact")  # noqa: B023
    until(lambda: redis.client.xlen("raw:{+0}") == 0, "nothing keeps the input")


@one_server
def test_what_is_left_in_the_input_revives_nobody(redis: Server, start: Stack) -> None:
    """What the feed held would be read again, go out once more, or pin the lane for ever."""
    write = Writer(redis, "+0", "abc")
    orderer = hold(redis, start, write)
    assert "1 message wait (1 held back)" in refused(redis, "a")
    assert "1 message lost" in forgotten(redis, "a", "--force")
    until(lambda: len(orderer.events("ordering", feed="+0")) == 2, "the lane begins anew")
    orderer.kill()
    start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    go_on(redis, write)
    assert len(out(redis.client, "+0", "a")) == 2
    assert fields_of(redis.client, "+0", "a") == {b"forgotten:a"}
    assert not redis.client.keys("*{+0}:a*")
    assert set(redis.client.hgetall("feeds")) == {b"b", b"c"}


@one_server
def test_the_control_finds_a_feed_that_comes_back(redis: Server, start: Stack) -> None:
    """The test above would not see that a feed is read again."""
    write = Writer(redis, "+0", "abc")
    hold(redis, start, write).kill()
    forgotten(redis, "a", "--force")
    start.service("tests.support.broken_orderer", BROKEN="reviving", ORDERER_FIRST_ID=1,
                  ORDERER_GAP_TIMEOUT=3600)  # fmt: skip
    until(lambda: b"a" in fields_of(redis.client, "+0", "a"), "it is alive again")
    assert len(out(redis.client, "+0", "a")) > 2


@one_server
def test_a_namesake_does_not_go_on_where_it_was(redis: Server, start: Stack) -> None:
    """Ids would be named as ones that are still there, or an endpoint get another feed's."""
    write = Writer(redis, "+0", "abc")
    hold(redis, start, write)
    old = out(redis.client, "+0", "a")
    forgotten(redis, "a", "--force")
    write = Writer(redis, "+0", "a")
    write(a="connected")
    anew = [b'{"id":%d,"anew":1}' % seq for seq in range(1, 5)]
    write(a=anew[::-1], c=[numbered("c", 2)])
    until(lambda: out(redis.client, "+0", "a") == [*old, *anew], "it begins anew")
    assert named(redis.client, "+0", "a") == ["1-1", "1-2", "2-1", "2-2", "2-3", "2-4"]
    endpoint = start.endpoint()
    publisher = start.publisher(f"a={endpoint.url}")
    until(lambda: list(endpoint.messages) == anew, "the endpoint gets the new one's only")
    until(lambda: redis.client.hget("confirmed:{+0}", "a") == b"4", "all of it is confirmed")
    assert publisher.metric("publisher_data_loss_total") == 0
    # Once more: what is named must be new again.
    assert publisher.terminate() == 0
    write(a="disconnected")
    settle(redis, "a")
    Writer(redis, "+0", "a")(a=anew)
    until(lambda: named(redis.client, "+0", "a")[-1] == "3-4", "it begins anew, and again")


@one_server
def test_a_line_that_is_connected(redis: Server, start: Stack) -> None:
    """A feed that is at work would lose what comes just now."""
    write = Writer(redis, "+0", "ab")
    start.orderer(ORDERER_FIRST_ID=1)
    write(a="connected", b="connected")
    until(lambda: redis.client.hget("order:{+0}", "lines:a") == b"line-a", "it is connected")
    redis.client.set("lease:{+0}:lines:0", "1:x")
    assert "it is connected: line-a" in refused(redis, "a")
    write(a="disconnected")
    assert "a: forgotten\n" in forgotten(redis, "a")
    # Its ingestor was killed, and said nothing.
    assert "--force" in refused(redis, "b")
    redis.client.delete("lease:{+0}:lines:0")
    assert "b: forgotten\n" in forgotten(redis, "b")
    assert redis.client.xlen("raw:{+0}") == redis.client.xlen("ordered:{+0}") == 0


@one_server
def test_nothing_is_kept_of_it_once_nothing_is_left(redis: Server, start: Stack) -> None:
    """With each feed that comes and goes a lane's checkpoint would grow."""
    write = Writer(redis, "+0", "ab")
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    write(a=[numbered("a", 1)], b=[numbered("b", 1)])
    until(lambda: redis.client.xlen("ordered:{+0}") == 2, "both are out")
    settle(redis, "a")
    left = redis.client.hget("order:{+0}", "forgotten:a").split()
    write(b=[numbered("b", 2)])
    until(lambda: redis.client.xlen("ordered:{+0}") == 3, "the other goes on")

    def restart() -> None:
        nonlocal orderer
        orderer.kill()
        redis.client.delete("lease:{+0}:orderer")
        orderer = start.orderer(ORDERER_FIRST_ID=1)
        orderer.wait_for("ordering")

    redis.client.xtrim("ordered:{+0}", maxlen=1, approximate=False)
    restart()
    assert redis.client.hexists("order:{+0}", "forgotten:a"), "somebody may still be at work"
    redis.client.hset("order:{+0}", "forgotten:a", b" ".join([*left[:3], b"1"]))
    restart()
    assert not redis.client.hexists("order:{+0}", "forgotten:a")
    write(b=[numbered("b", 3)])
    until(lambda: redis.client.xlen("ordered:{+0}") == 2, "the other goes on")


class Neighbours:
    """A lane that feeds share, at work: real feeds, services and endpoints."""

    def __init__(self, start: Stack, tmp_path: Path) -> None:
        self.file = tmp_path / "feeds.toml"
        self.feeds = {name: start.feed() for name in ("a", *NEIGHBOURS)}
        self.endpoints = {name: start.endpoint() for name in ("a", *NEIGHBOURS)}
        self.write("abc")
        settings = {"FEEDS_FILE": self.file}
        self.ingestor = start.service("ingestor", INGESTOR_OWN_LANES=0, **settings)
        self.orderer = start.orderer(**settings)
        self.publisher = start.service("publisher", **settings)
        until(lambda: all(feed.connected for feed in self.feeds.values()), "all are connected")

    def write(self, names: str) -> None:
        """Write the file of feeds."""
        tables = [
            f"[feed.{name}]\nurl = '{self.feeds[name].url}'\nid = 'id'\nfirst_id = 1\n"
            f"gap_timeout = 3600\n[feed.{name}.endpoint.shop]\nurl = '{self.endpoints[name].url}'\n"
            for name in names
        ]
        self.file.write_text("\n".join(tables))

    def take_over(self, names: str) -> None:
        """Have all services go by another file."""
        self.write(names)
        services = (self.ingestor, self.orderer, self.publisher)
        before = [len(one.events("feeds taken over")) for one in services]
        for one in services:
            os.kill(one.pid, signal.SIGHUP)
        for one, count in zip(services, before, strict=True):
            until(lambda: len(one.events("feeds taken over")) > count, "it is taken over")  # noqa: B023


@pytest.fixture
def shared_lane(redis: Server, start: Stack, tmp_path: Path) -> Neighbours:
    """Put all feeds into one lane, and start them."""
    for name in ("a", *NEIGHBOURS):
        redis.client.hset("feeds", name, "+0")
    return Neighbours(start, tmp_path)


@one_server
def test_neighbours_at_work_notice_nothing(redis: Server, shared_lane: Neighbours) -> None:
    """What others of the lane hold, send or confirm just now would be lost, doubled or mixed up."""
    feeds, endpoints = shared_lane.feeds, shared_lane.endpoints
    coming = {name: shuffled(name) for name in NEIGHBOURS}
    sent = 0

    def go_on() -> None:
        nonlocal sent
        for name in NEIGHBOURS:
            feeds[name].send(*itertools.islice(coming[name], PIECE))
            most = sent - 20 * PIECE
            until(lambda: len(endpoints[name].messages) >= most, "it flows")  # noqa: B023
        sent += PIECE

    feeds["a"].send(*itertools.islice(shuffled("a"), 500), numbered("a", 502))  # 501 never comes
    go_on()
    until(lambda: len(endpoints["a"].messages) == 500, "the feed is at work")
    assert "it is connected" in refused(redis, "a")
    shared_lane.take_over("bc")
    until(lambda: endpoints["a"].connected == 0 and feeds["a"].connected == 0, "it is left")
    until(lambda: redis.client.hget("order:{+0}", "lines:a") == b"", "it is said that it is")
    shared_lane.publisher.wait_for("handing over")
    until(lambda: len(shared_lane.publisher.events("connected")) == 5, "all others are back")
    attempts = {name: endpoints[name].attempts for name in NEIGHBOURS}
    verb = Background(redis, "a", "--force")
    while verb.running:
        go_on()
    assert "a: forgotten; 1 message lost" in verb.output
    for _ in range(10 + (sent // PIECE) % 2):
        go_on()
    expected = {name: [numbered(name, seq) for seq in range(1, sent + 1)] for name in NEIGHBOURS}
    for name in NEIGHBOURS:
        until(lambda: len(endpoints[name].messages) >= sent, f"all of {name} is there")  # noqa: B023
        assert list(endpoints[name].messages) == expected[name]
        assert endpoints[name].attempts == attempts[name]
        assert streams.rejected(redis.client, "+0") == []
    assert len(shared_lane.orderer.events("ordering", feed="+0")) >= 2
    assert shared_lane.orderer.metric("orderer_data_loss_total") == 0
    until(lambda: fields_of(redis.client, "+0", "a") == {b"forgotten:a"}, "nothing else is left")
    assert not redis.client.keys("*{+0}:a*")
    # And it comes back: to the same endpoint, which gets nothing of before.
    feeds["a"].drop()
    shared_lane.take_over("abc")
    until(lambda: feeds["a"].connected, "it is connected again")
    anew = [b'{"id":%d,"anew":1}' % seq for seq in range(1, 101)]
    feeds["a"].send(*anew)
    until(lambda: list(endpoints["a"].messages)[500:] == anew, "it begins anew")
    assert streams.gaps(redis.client, "+0") == []


class Background:
    """The verb, while something else goes on."""

    def __init__(self, redis: Server, *words: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._done = self._thread.submit(forgotten, redis, *words)

    @property
    def running(self) -> bool:
        return not self._done.done()

    @property
    def output(self) -> str:
        return self._done.result()


# Crashes --------------------------------------------------------------------------------------


@one_server
@pytest.mark.parametrize("lane", ["a", "+0"])
def test_a_death_at_any_point(redis: Server, start: Stack, lane: str) -> None:
    """Half of a feed would be left, or half of its neighbour be gone, and nobody could mend it."""
    reached = 0
    for dies_at in itertools.count():
        redis.client.flushall()
        write = Writer(redis, "+0", "abc")
        if lane == "a":
            redis.client.hset("feeds", "a", "a")
            orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
            streams.write_raw(redis.client, frames([1, 2, 4]), feed="a")
            until(lambda: streams.order(redis.client, "a").get("waiting") == "a", "it holds back")
            orderer.kill()
            redis.client.hset("sink:{a}:shop", mapping={"position": "0-0", "serial": ""})
        else:
            hold(redis, start, write).kill()
            redis.client.hset("sink:{+0}:a:shop", mapping={"position": "0-0", "serial": ""})
        ended = command(
            "tests.support.dying_verb", "forget", "a", "--force", REDIS_URL=redis.url,
            DIES_AT=dies_at,
        )  # fmt: skip
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        reached += 1
        if redis.client.hexists("feeds", "a"):
            assert "a: forgotten" in forgotten(redis, "a", "--force")
        redis.client.delete(*redis.client.keys("lease:*"), "none")
        if lane == "a":
            assert keys_of(redis.client, "a") <= STAYS
        else:
            orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
            go_on(redis, write)
            assert fields_of(redis.client, "+0", "a") == {b"forgotten:a"}
            assert not redis.client.keys("*{+0}:a*")
            orderer.kill()
    assert reached >= 8
