"""What is around the orderer's buffer: lines, operators, trimming, and strange entries."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from chassis import logs
from chassis.lease import Lease, instance_name
from chassis.redis import Command, Link
from chassis.settings import load
from orderer.operator import catch_up
from orderer.settings import Settings
from orderer.store import Store, Verdict
from relay import keys
from tests.simulation.controls import CONTIGUITY, FENCE, STANDING, without
from tests.support import streams
from tests.support.processes import command
from tests.support.servers import Server
from tests.support.stack import Stack
from tests.support.streams import Heartbeat, append, frame, frames, ordered_ids, write_raw
from tests.support.waiting import until

pytestmark = pytest.mark.parametrize("redis", ["valkey"], indirect=True)

FULL = {"ORDERER_GAP_TIMEOUT": "never", "ORDERER_CAPACITY": 50, "ORDERER_FIRST_ID": 1}


def wait_for_ids(redis: Server, expected: list[int]) -> None:
    until(lambda: ordered_ids(redis.client) == expected, f"{len(expected)} ids are ordered")


def position(entry: bytes | str) -> tuple[int, ...]:
    """Turn a stream entry's id into something that compares."""
    return tuple(map(int, (entry if isinstance(entry, str) else entry.decode()).split("-")))


# Lines --------------------------------------------------------------------------------------


def test_an_older_connection_hides_no_newer_one(redis: Server, start: Stack) -> None:
    """The late end of an ingestor that was replaced would hide that its successor listens."""
    orderer = start.orderer(ORDERER_GAP_TIMEOUT=0.3, ORDERER_FIRST_ID=1)
    for connection, values in (
        ("old", {"event": "connected"}),
        ("old", {"0": frame(1)}),
        ("new", {"event": "connected"}),
        ("old", {"0": frame(3)}),
        ("old", {"event": "disconnected"}),
    ):
        append(redis.client, "default", "test", values, connection)
    with Heartbeat(redis.url, connection="new"):
        wait_for_ids(redis, [1, 3])
        until(lambda: orderer.metric("orderer_lines_connected") == 1, "the line is connected")
        assert streams.order(redis.client)["lines"] == "test"


def test_the_hosts_clocks_do_not_count(redis: Server, start: Stack) -> None:
    """A clock that is set back would hold up every gap for as long."""
    start.orderer(ORDERER_GAP_TIMEOUT=0.3, ORDERER_FIRST_ID=1)
    # As if Redis' clock had been an hour ahead when it wrote this.
    ahead = int(time.time() * 1000) + 3_600_000
    fields = {"t": ahead * 1000, "line": "test", "conn": "c0ffee", "up": 0, "0": frame(1)}
    redis.client.hset("feeds", "default", "default")
    redis.client.xadd("raw:{default}", fields, id=f"{ahead}-0")
    write_raw(redis.client, [frame(3)])
    with Heartbeat(redis.url):
        until(lambda: ordered_ids(redis.client) == [1, 3], "2 is given up", 5)


# Operators ----------------------------------------------------------------------------------


def test_skip_publishes_what_it_found_in_the_input(redis: Server, start: Stack) -> None:
    """An orderer that is full would stay so for ever when the missing frame comes behind."""
    orderer = start.orderer(**FULL)
    ids = [1, 2, *range(4, 204), 3]
    for seq in ids:
        write_raw(redis.client, [frame(seq)])
    until(lambda: orderer.metric("orderer_paused") == 1, "it is full")
    done = command("orderer", "skip", REDIS_URL=redis.url, **FULL)
    assert (done.returncode, "no gap is open; next is 204" in done.stdout) == (1, True)
    wait_for_ids(redis, list(range(1, 204)))
    assert streams.gaps(redis.client) == []
    until(lambda: orderer.metric("orderer_paused") == 0, "it reads again")


def test_skip_reads_no_farther_than_the_orderer_could(redis: Server) -> None:
    """Each skip would let the ingestor bring in as much again as may wait in Redis."""
    for _ in range(2):  # twice, so that something is published on the way
        write_raw(redis.client, frames(range(1, 100)))
    entries = {seq: write_raw(redis.client, [frame(seq)]) for seq in range(101, 1000) if seq % 100}
    for hole in (100, 200):
        done = command("orderer", "skip", REDIS_URL=redis.url, **FULL)
        assert f"skipped; next was {hole}, is {hole + 52}" in done.stdout
        seen = position(streams.order(redis.client)["seen"])
        assert position(entries[hole + 51]) == seen
    assert [(gap.first, gap.last) for gap in streams.gaps(redis.client)] == [(100, 100), (200, 200)]
    assert streams.holes(ordered_ids(redis.client)) == [100, 200]


def test_what_an_operator_reads_first_is_parked_as_well(redis: Server) -> None:
    """Bad frames that came just before a skip would vanish without a trace."""
    write_raw(redis.client, [*frames([1, 2, 4]), b"rubbish", b'{"id":-1}'])
    settings = {"ORDERER_FIRST_ID": 1, "ORDERER_GAP_TIMEOUT": 100}
    done = command("orderer", "skip", REDIS_URL=redis.url, **settings)
    assert "next was 3, is 5" in done.stdout
    assert [reject.reason for reject in streams.rejected(redis.client)] == ["json", "range"]


LEAVE_IT_OUT = "leave it out to decide as the orderer does"


def test_a_verb_reads_the_ids_as_the_orderer_does(redis: Server, start: Stack) -> None:
    """All that is held would be destroyed by a verb that is not told where the ids are."""
    messages = {seq: b'{"seq":%d}' % seq for seq in range(1, 52)}
    del messages[2]
    orderer = start.orderer(ORDERER_ID_FIELD="seq", ORDERER_GAP_TIMEOUT=3600, ORDERER_FIRST_ID=1)
    write_raw(redis.client, list(messages.values()))
    until(lambda: orderer.metric("orderer_held") == 49, "the rest is held")
    done = command("orderer", "skip", REDIS_URL=redis.url, ORDERER_ID_FIELD="id")
    assert done.returncode == 2
    assert f"ORDERER_ID_FIELD is id here, and seq there: {LEAVE_IT_OUT}" in done.stderr
    done = command("orderer", "skip", REDIS_URL=redis.url)
    assert (done.returncode, "next was 2, is 52" in done.stdout) == (0, True)
    until(lambda: streams.ordered_frames(redis.client) == list(messages.values()), "all come out")
    assert [(gap.first, gap.last) for gap in streams.gaps(redis.client)] == [(2, 2)]


def test_a_verb_waits_as_the_orderer_does(redis: Server, start: Stack) -> None:
    """With the default capacity, a verb would give up more than the gap it is asked to."""
    orderer = start.orderer(ORDERER_GAP_TIMEOUT="never", ORDERER_CAPACITY=10**6, ORDERER_FIRST_ID=1)
    ids = [seq for seq in range(1, 110_003) if seq not in (2, 90_000)]
    for at in range(0, len(ids), 2000):
        write_raw(redis.client, frames(ids[at : at + 2000]))
    until(lambda: orderer.metric("orderer_held") == len(ids) - 1, "all is held", 30)
    orderer.freeze()
    write_raw(redis.client, frames([110_003]))  # the orderer at work has decided about all others
    done = command("orderer", "skip", REDIS_URL=redis.url)
    assert (done.returncode, "next was 2, is 90000" in done.stdout) == (0, True)
    orderer.thaw()
    assert [(gap.first, gap.cause) for gap in streams.gaps(redis.client)] == [(2, "operator")]
    assert ordered_ids(redis.client) == [1, *range(3, 90_000)]


def test_a_verb_without_any_settings_is_refused(redis: Server) -> None:
    """A verb would decide by the defaults before an orderer has told what it is to do."""
    write_raw(redis.client, frames([1, 3]))
    done = command("orderer", "reset", REDIS_URL=redis.url)
    assert done.returncode == 2
    assert "no orderer has told its settings yet" in done.stderr
    assert streams.order(redis.client) == {}


# Crashes ------------------------------------------------------------------------------------


def test_a_redis_that_came_back_older_loses_nothing_that_it_has(
    redis: Server, start: Stack
) -> None:
    """Frames that survived a crash of Redis only in the input would be trimmed, or never sent."""
    # So long a lease outlives the crash, and the orderer goes on as it was.
    orderer = start.orderer(LEASE_TTL=20, ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    for seq in range(1, 51):
        write_raw(redis.client, [frame(seq)])
    wait_for_ids(redis, list(range(1, 51)))
    orderer.freeze()
    for seq in range(51, 101):
        write_raw(redis.client, [frame(seq)])
    redis.client.save()
    orderer.thaw()
    wait_for_ids(redis, list(range(1, 101)))
    until(lambda: not streams.raw(redis.client), "all is dropped")

    redis.kill()
    redis.start()
    wait_for_ids(redis, list(range(1, 101)))
    until(lambda: orderer.metric("orderer_data_loss_total") == 1, "counted as loss of data")
    write_raw(redis.client, frames([101]))
    wait_for_ids(redis, list(range(1, 102)))


class Killed(Exception):
    """Stands for SIGKILL."""


async def order(
    redis: Server, *, steps: int | None = None, meanwhile: Callable[[], object] = lambda: None
) -> Verdict:
    """Order what there is, and die after so many `steps` of the commit.

    `meanwhile` happens between reading and the commit.
    """
    link = Link(redis.url, logs.get("orderer"), timeout=5.0, stop=asyncio.Event())
    lease = Lease(link, "default", keys.ORDERER, instance_name(), 30.0)
    settings = {"ORDERER_FIRST_ID": "1", "ORDERER_CAPACITY": "1000", "REDIS_URL": redis.url}
    decided = load(Settings, "orderer", settings)
    send_all, made = link.send_all, count()

    async def dying(commands: Sequence[Command]) -> list[Any]:
        if next(made) == steps:
            raise Killed
        return await send_all(commands)

    try:
        await lease.seize()
        store = Store(link)
        lane = await catch_up(store, "default", "default", lease, decided)
        commit = lane.commit()
        assert commit is not None
        meanwhile()
        link.send_all = dying  # type: ignore[method-assign] # to die in between
        return (await store.commit([(commit, lease.value)]))["default"]
    finally:
        await link.close()


def test_a_death_between_the_steps_of_a_commit_begins_no_numbering(redis: Server) -> None:
    """What was published just before a crash, and trimmed since, would be sent once more."""
    messages = frames(range(1, 12001))
    for first in range(0, 12000, 2000):
        write_raw(redis.client, messages[first : first + 2000])
    with pytest.raises(Killed):
        asyncio.run(order(redis, steps=1))
    published = ordered_ids(redis.client)[-1]
    assert 2000 < published < 12000
    redis.client.xtrim("ordered:{default}", minid=f"1-{published}", approximate=False)
    asyncio.run(order(redis))
    assert streams.order(redis.client)["epoch"] == "1"
    assert ordered_ids(redis.client)[-12000 + published :] == list(range(published + 1, 12001))


def test_an_input_that_went_back(redis: Server) -> None:
    """What came to a Redis that went back, as did its clock, would be dropped unread."""
    write_raw(redis.client, frames(range(1, 11)))

    def go_back() -> None:
        redis.client.delete("raw:{default}")
        fields = {"t": f"{time.time_ns() // 1000}", "line": "x", "conn": "y", "up": "1"}
        for at, messages in enumerate((range(11, 16), range(16, 21)), 1):
            values = {str(seq): frame(seq) for seq in messages}
            redis.client.xadd("raw:{default}", {**fields, **values}, id=f"{at}-0")

    assert asyncio.run(order(redis, meanwhile=go_back)) is Verdict.LOST
    assert ordered_ids(redis.client) == list(range(1, 11))
    assert asyncio.run(order(redis)) is Verdict.DONE
    assert ordered_ids(redis.client) == list(range(1, 21))


CHECKS: dict[str, tuple[str, Callable[[Any], object], Verdict]] = {
    "fence": (FENCE, lambda redis: redis.set("lease:{default}:orderer", "9:x"), Verdict.FENCED),
    "commit": (
        CONTIGUITY,
        lambda redis: redis.hset("order:{default}", "commit", "x"),
        Verdict.LOST,
    ),
    "end": (STANDING, lambda redis: redis.hset("next:{default}", "default", "1:3:2"), Verdict.LOST),
}
"""What the script that commits looks at before: the check, what it is to see, and what it says."""


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "without the check"])
@pytest.mark.parametrize("name", CHECKS)
def test_each_check_of_a_commit(redis: Server, name: str, broken: bool) -> None:
    """What somebody else has put out, or an older Redis has forgotten, would be gone on with."""
    check, change, verdict = CHECKS[name]
    write_raw(redis.client, frames(range(1, 6)))
    assert asyncio.run(order(redis)) is Verdict.DONE
    write_raw(redis.client, frames(range(6, 11)))
    with without(check)() if broken else contextlib.nullcontext():
        said = asyncio.run(order(redis, meanwhile=lambda: change(redis.client)))
    assert said is (Verdict.DONE if broken else verdict)
    assert ordered_ids(redis.client) == list(range(1, 11 if broken else 6))


# What an operator is told -------------------------------------------------------------------


def status(redis: Server) -> str:
    return command("orderer", "status", REDIS_URL=redis.url).stdout


def test_a_feed_of_which_all_is_rejected(redis: Server, start: Stack) -> None:
    """Where all ids are strings, nobody would hear why nothing comes out."""
    orderer = start.orderer()
    for seq in range(20):
        write_raw(redis.client, [b'{"id":"%d"}' % seq, b"\x1b[31m"])
    until(lambda: orderer.metric("orderer_frames_total", fate="rejected") == 40, "all are counted")
    line = orderer.wait_for("frames rejected")
    assert line["level"] == "warning"
    assert line["frame"] == '{"id":"0"}'
    until(lambda: "rejected   20 json, 20 type" in status(redis), "status tells the reasons")
    assert len(orderer.events("frames rejected")) == 1


def test_what_is_no_message_is_shown(redis: Server, start: Stack) -> None:
    """An operator would have to read Redis to see what a feed sends besides its messages."""
    start.orderer(ORDERER_FIRST_ID=1)
    write_raw(redis.client, [frame(1), b'{"beat":1}', b"\x1b[2J\npong" + b"x" * 200])
    write_raw(redis.client, [b'{"beat":2}', b'{"id":"2","text":4}', b'{"beat":3}', frame(2)])
    write_raw(redis.client, [b'{"at":%d,"n%d":{}}' % (at, at) for at in range(20)])
    wait_for_ids(redis, [1, 2])
    until(lambda: "rejected   1 json, 23 missing, 1 type" in status(redis), "status counts them")
    told = status(redis).splitlines()
    at = told.index("  rejected   1 json, 23 missing, 1 type")
    assert told[at + 1 : at + 11] == [
        '    3 missing at `id`: {"beat":1}',
        "    1 json: ·[2J·pong" + "x" * 70 + "…",
        '    1 type at `id`: {"id":"2","text":4}',
        *[f'    1 missing at `id`: {{"at":{n},"n{n}":{{}}}}' for n in range(5)],
        "    15 of other shapes",
        "  open gaps  0",
    ]
    assert len(redis.client.hget(keys.status("default"), "default")) < 4000


def test_a_feed_of_which_all_is_repeated(redis: Server, start: Stack) -> None:
    """Where all is taken for a duplicate, nobody would hear why nothing comes out."""
    start.orderer(ORDERER_FIRST_ID=0)
    write_raw(redis.client, frames(range(100)))
    for _ in range(5):
        write_raw(redis.client, frames(range(10)))
    until(lambda: "50 duplicates, 0 late since 2" in status(redis), "status counts them")
    write_raw(redis.client, [b'{"id":3,"odd":true}'])
    until(lambda: "probation  1 of the held, for 0" in status(redis), "status shows who waits")


# Strangers ----------------------------------------------------------------------------------


def test_an_entry_that_no_ingestor_wrote_is_rejected(redis: Server, start: Stack) -> None:
    """One entry written by hand would end the orderer at every start."""
    redis.client.hset("feeds", "default", "default")
    for fields in (
        {"t": "abc", "line": "x", "conn": "y", "0": frame(1)},
        {"t": "1", "line": b"\xff", "conn": "y", "event": "connected"},
        {"t": "9" * 5000, "line": b"\xff", "conn": b"\xfe", "0": frame(2)},
        {"event": "connected", "line": b"\xfe"},
    ):
        redis.client.xadd("raw:{default}", fields)
    write_raw(redis.client, frames([3]))
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    wait_for_ids(redis, [1, 2, 3])
    until(lambda: len(streams.rejected(redis.client)) == 2, "what is no entry is parked")
    assert orderer.metric("orderer_frames_total", fate="rejected") == 2


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [("order:{bad}", "serial", "x"), ("next:{bad}", "bad", b"\xff"), ("gaps:{bad}", "epoch", "1")],
    ids=["serial", "next", "gaps"],
)
def test_one_feed_that_cannot_be_read_stops_no_other(
    redis: Server, start: Stack, key: str, field: str, value: str | bytes
) -> None:
    """One field written by hand would end the orderer of all feeds at every start."""
    write_raw(redis.client, frames([1]), feed="bad")
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    until(lambda: ordered_ids(redis.client, "bad") == [1], "it is ordered")
    orderer.kill()
    if key == "gaps:{bad}":
        redis.client.xadd(key, {field: value})
    else:
        redis.client.hset(key, field, value)
    write_raw(redis.client, frames([1, 2]), feed="good")
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    until(lambda: ordered_ids(redis.client, "good") == [1, 2], "the other is ordered")
    assert "cannot be read" in orderer.wait_for("Redis cannot serve this feed", feed="bad")["error"]
    assert orderer.running
