"""A feed is forgotten that shares a lane: its neighbours go on, exactly."""

from __future__ import annotations

import itertools
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import streams
from tests.support.forgetting import (
    Writer,
    fields_of,
    forgotten,
    go_on,
    hold,
    named,
    numbered,
    out,
    refused,
    settle,
    shuffled,
)
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

NEIGHBOURS = ("b", "c")

PIECE = 201
"""Messages that a neighbour sends at once: an odd number, so that one is held back every time."""


@one_server
def test_what_is_left_in_the_input_revives_nobody(redis: Server, start: Stack) -> None:
    """What the feed held would be read again, go out once more, or pin the lane for ever."""
    write = Writer(redis, "+0", "abc")
    orderer = hold(redis, start, write)
    assert "1 message waits (1 held back)" in refused(redis, "a")
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
def test_keys_of_a_feed_go_with_it(redis: Server, start: Stack, tmp_path: Path) -> None:
    """With each symbol something would be left, or a neighbour's symbol of that name be gone."""
    file = tmp_path / "feeds.toml"
    table = "[feed.%s]\nurl = 'ws://x/'\nid = 'id'\nkey = 'k'\nfirst_id = 1\ngap_timeout = 3600\n"
    file.write_text(table % "a" + table % "b")
    write = Writer(redis, "+0", "ab")
    orderer = start.orderer(FEEDS_FILE=file)
    messages = [
        b'{"id":%d,"k":"%s"}' % (seq, key) for seq in (1, 3) for key in (b"a", b"b", b"a:b")
    ]
    write(a=messages, b=messages)
    until(lambda: redis.client.hget("order:{+0}", "waiting") == b"a b", "both hold back")
    until(lambda: "3 held back" in refused(redis, "a"), "three of it are told")
    before = {kind: redis.client.hgetall(f"{kind}:{{+0}}") for kind in ("next", "order")}
    orderer.kill()
    forgotten(redis, "a", "--force")
    assert fields_of(redis.client, "+0", "a") >= {b"forgotten:a"}
    left = {kind: redis.client.hgetall(f"{kind}:{{+0}}") for kind in ("next", "order")}
    kept = {b"b:a", b"b:b", b"b:a:b"}
    assert left["next"] == {name: before["next"][name] for name in kept}
    gone = before["order"].keys() - left["order"].keys()
    assert gone == {name for name in before["order"] if name.split(b":")[1:2] == [b"a"]}
    start.orderer(FEEDS_FILE=file)
    write(b=[message.replace(b'"id":3', b'"id":2') for message in messages[3:]])
    until(lambda: len(out(redis.client, "+0", "b")) == 9, "all of the other's are out")
    assert len(out(redis.client, "+0", "a")) == 3


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
        # What a feed has left is not waited for.
        self.publisher = start.service("publisher", PUBLISHER_DRAIN_TIMEOUT=0, **settings)
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
