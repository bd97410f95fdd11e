"""`python -m orderer forget`: a feed goes out of Redis, and nothing else does."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from pathlib import Path

import pytest

from chassis import logs
from chassis.lease import Lease
from chassis.redis import Link
from orderer.store import Store, Superseded
from relay import keys
from relay.messages import Reject
from tests.support import streams
from tests.support.forgetting import (
    STAYS,
    Writer,
    fields_of,
    forgotten,
    go_on,
    hold,
    keys_of,
    refused,
    settle,
)
from tests.support.processes import command
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import frame, frames
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


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
    assert done.returncode == 0, done.stderr
    assert set(redis.client.keys("*")) == {b"fence:{a}:orderer", b"lease:{a}:orderer"}
    done = command("orderer", "forget", REDIS_URL=redis.url)
    assert done.returncode == 2


@one_server
def test_an_orderer_that_wakes_up_late(redis: Server, start: Stack) -> None:
    """It would tell of the feed again, or of a loss that was none."""
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    streams.write_raw(redis.client, frames([1, 3]), feed="a")
    until(lambda: redis.client.hget("status:{a}", "a"), "it has told")
    told = redis.client.hget("status:{a}", ":time")
    until(lambda: redis.client.hget("status:{a}", ":time") != told, "it tells every second")
    orderer.freeze()
    assert "forgotten" in forgotten(redis, "a", "--force")
    streams.append(redis.client, "b", "test", {"event": "connected"})
    orderer.thaw()
    until(lambda: orderer.events("ordering", feed="b"), "it is at work again")
    until(lambda: json.loads(orderer.get("/readyz")[1])["feeds"] == ["b"], "and has left the feed")
    assert keys_of(redis.client, "a") <= STAYS
    assert orderer.metric("orderer_data_loss_total") == 0
    assert not orderer.events("Redis has lost the numbering")


@one_server
def test_who_was_superseded_writes_nothing(redis: Server) -> None:
    """An orderer that has not noticed would bring keys back of a feed that was forgotten."""

    async def late() -> None:
        link = Link(redis.url, logs.get("orderer"), timeout=5.0, stop=asyncio.Event())
        try:
            lease = Lease(link, "a", keys.ORDERER, "late", 30.0)
            await lease.seize()
            store = Store(link)
            await store.load("a", lease.key, lease.value, 100)
            await store.tell({"a": (lease.value, {"a": {"held": 1}})})
            await store.park("a", lease.value, "a", [Reject("json", b"x", b"{")])
            assert keys_of(redis.client, "a") > {b"status:{a}", b"rejected:{a}", b"order:{a}"}
            redis.client.hset("feeds", "a", "a")
            await asyncio.to_thread(forgotten, redis, "a")
            await store.tell({"a": (lease.value, {"a": {"held": 1}})})
            await store.park("a", lease.value, "a", [Reject("json", b"x", b"{")])
            with pytest.raises(Superseded):
                await store.load("a", lease.key, lease.value, 100)
        finally:
            await link.close()

    asyncio.run(late())
    assert keys_of(redis.client, "a") <= STAYS


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
