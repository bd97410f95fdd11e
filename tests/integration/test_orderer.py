"""The orderer alone: the test writes `raw` itself and reads `ordered` and the ledger."""

from __future__ import annotations

import random
from functools import partial

import pytest

from tests.support import streams
from tests.support.processes import command
from tests.support.servers import Server
from tests.support.stack import LEASE_TTL, Stack
from tests.support.streams import (
    Heartbeat,
    append,
    frame,
    frames,
    ordered_ids,
    write_event,
    write_raw,
)
from tests.support.waiting import until

one_server = pytest.mark.parametrize("redis", ["valkey"], indirect=True)


def verb(redis: Server, *arguments: str) -> str:
    """Run an operator's verb and return what it prints."""
    done = command("orderer", *arguments, REDIS_URL=redis.url)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def position(entry: bytes) -> tuple[int, ...]:
    """Turn a stream entry's id into something that compares."""
    return tuple(map(int, entry.split(b"-")))


def wait_for_ids(redis: Server, expected: list[int], feed: str = "default") -> None:
    until(
        lambda: ordered_ids(redis.client, feed) == expected,
        f"{len(expected)} ids are ordered: {expected[:3]} … {expected[-3:]}",
        10,
    )


def test_frames_come_out_in_order_and_once(redis: Server, start: Stack) -> None:
    """The one thing that the orderer is for would not work."""
    dice = random.Random(1)
    arrivals = [seq for at in range(1, 3001, 50) for seq in dice.sample(range(at, at + 50), 50)]
    arrivals += dice.sample(arrivals, 300)
    messages = frames(arrivals)
    orderer = start.orderer()
    while messages:
        size = dice.choice((1, 2, 30, 200))
        write_raw(redis.client, messages[:size])
        messages = messages[size:]
    wait_for_ids(redis, list(range(1, 3001)))
    assert streams.ordered_frames(redis.client) == frames(range(1, 3001))
    assert {run.epoch for run in streams.ordered(redis.client)} == {1}
    assert streams.gaps(redis.client) == []
    # A repeated frame counts as one only when enough others have shown that no numbering begins.
    write_raw(redis.client, frames(range(3001, 4101)))
    until(
        lambda: orderer.metric("orderer_frames_total", fate="duplicate") == 300,
        "each repeat is counted",
    )
    assert orderer.metric("orderer_frames_total", fate="released") == 4100
    assert ordered_ids(redis.client) == list(range(1, 4101))
    assert orderer.metric("lease_active", feed="default") == 1
    assert orderer.terminate() == 0


def test_bad_frames_are_parked_with_their_reason(redis: Server, start: Stack) -> None:
    """A bad frame would stop the feed, or vanish without a trace."""
    reasons = {
        b"garbage": "json",
        b'{"id":5,"text":"\xff"}': "json",
        b'{"id":5} {"id":6}': "json",
        b"": "json",
        b"[5]": "object",
        b"5": "object",
        b'"id"': "object",
        b"null": "object",
        b'{"text":5}': "missing",
        b'{"ID":5}': "missing",
        b'{"id":true}': "type",
        b'{"id":5.0}': "type",
        b'{"id":"5"}': "type",
        b'{"id":null}': "type",
        b'{"id":18446744073709551616}': "type",
        b'{"id":-1}': "range",
        b'{"id":9223372036854775808}': "range",
        b'{"id":"' + b"5" * 10_000 + b'"}': "type",
    }
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    write_raw(redis.client, [frame(1), *reasons, frame(2)], line="some line")
    wait_for_ids(redis, [1, 2])
    until(lambda: len(streams.rejected(redis.client)) == len(reasons), "all are parked")
    for reject, (bad, reason) in zip(streams.rejected(redis.client), reasons.items(), strict=True):
        assert (reject.reason, reject.line, reject.size) == (reason, "some line", len(bad))
        assert reject.frame == bad[:4096]
    assert orderer.metric("orderer_rejected_total", reason="range") == 2
    assert orderer.metric("orderer_frames_total", fate="rejected") == len(reasons)


@one_server
def test_a_gap_is_given_up_in_silence_and_late_frames_are_counted(
    redis: Server, start: Stack
) -> None:
    """The end of a feed would never come out, or a late frame would break the order."""
    orderer = start.orderer(ORDERER_GAP_TIMEOUT=0.3, ORDERER_FIRST_ID=1)
    write_raw(redis.client, frames([1, 2, 5, 6]))
    with Heartbeat(redis.url):
        wait_for_ids(redis, [1, 2, 5, 6])
    (gap,) = streams.gaps(redis.client)
    assert (gap.epoch, gap.first, gap.last, gap.cause, gap.late) == (1, 3, 4, "timeout", 0)
    assert 300_000 <= gap.closed - gap.opened < 3_000_000
    write_raw(redis.client, frames([3, 3, 7]))
    wait_for_ids(redis, [1, 2, 5, 6, 7])
    until(lambda: streams.gaps(redis.client)[0].late >= 1, "the ledger counts the late frame")
    (amended,) = streams.gaps(redis.client)
    assert (amended.first, amended.last, amended.cause) == (3, 4, "timeout")
    assert (amended.opened, amended.closed) == (gap.opened, gap.closed)
    until(lambda: orderer.metric("orderer_frames_total", fate="late") >= 1, "counted as late")
    assert orderer.metric("orderer_missing_total", cause="timeout") == 2


@one_server
def test_never_waits_for_an_operator(redis: Server, start: Stack) -> None:
    """`never` would lose frames or fill memory, or an operator could not free the feed."""
    orderer = start.orderer(ORDERER_GAP_TIMEOUT="never", ORDERER_CAPACITY=50, ORDERER_FIRST_ID=1)
    write_raw(redis.client, frames([1, 2]))
    for seq in range(4, 204):
        write_raw(redis.client, [frame(seq)])
    until(lambda: orderer.metric("orderer_paused") == 1, "reading pauses at capacity")
    assert orderer.metric("orderer_held") < 200
    assert len(streams.raw_frames(redis.client)) >= 200
    wait_for_ids(redis, [1, 2])
    assert streams.gaps(redis.client) == []
    until(lambda: "FULL" in verb(redis, "status"), "status tells that it waits")

    assert "next was 3, is " in verb(redis, "skip")
    wait_for_ids(redis, [1, 2, *range(4, 204)])
    (gap,) = streams.gaps(redis.client)
    assert (gap.first, gap.last, gap.cause) == (3, 3, "operator")
    until(lambda: orderer.metric("orderer_paused") == 0, "it reads again")


@one_server
def test_capacity_gives_the_oldest_gap_up(redis: Server, start: Stack) -> None:
    """Memory would fill while one frame is missing, or more than that one would be given up."""
    start.orderer(ORDERER_GAP_TIMEOUT=3600, ORDERER_CAPACITY=20, ORDERER_FIRST_ID=1)
    write_raw(redis.client, frames([1, *range(3, 13), *range(14, 24)]))
    wait_for_ids(redis, [1])
    assert streams.gaps(redis.client) == []
    write_raw(redis.client, frames([24]))
    wait_for_ids(redis, [1, *range(3, 13)])
    (gap,) = streams.gaps(redis.client)
    assert (gap.first, gap.last, gap.cause) == (2, 2, "capacity")
    write_raw(redis.client, frames([13, 2]))
    wait_for_ids(redis, [1, *range(3, 25)])


@one_server
def test_a_new_numbering_opens_an_epoch_and_a_replay_does_not(redis: Server, start: Stack) -> None:
    """A feed that restarts would be muted, or a replay would be sent to the endpoint again."""
    orderer = start.orderer(ORDERER_FIRST_ID=1)
    write_event(redis.client, "connected")
    write_raw(redis.client, frames(range(1, 301)))
    wait_for_ids(redis, list(range(1, 301)))
    write_event(redis.client, "disconnected")
    write_event(redis.client, "connected")
    write_raw(redis.client, frames(range(1, 304)))
    wait_for_ids(redis, list(range(1, 304)))
    assert {run.epoch for run in streams.ordered(redis.client)} == {1}

    write_event(redis.client, "disconnected")
    write_event(redis.client, "connected")
    second = [b'{"id":%d,"new":true}' % seq for seq in range(1, 301)]
    write_raw(redis.client, second)
    wait_for_ids(redis, [*range(1, 304), *range(1, 301)])

    # Without a disconnection, with something from the past just before.
    third = [b'{"id":%d,"newest":true}' % seq for seq in range(1, 101)]
    write_raw(redis.client, [*second[-70:], *third])
    wait_for_ids(redis, [*range(1, 304), *range(1, 301), *range(1, 101)])
    for epoch, expected in ((2, second), (3, third)):
        runs = [run for run in streams.ordered(redis.client) if run.epoch == epoch]
        assert [message for run in runs for message in run.frames] == expected
    assert orderer.metric("orderer_epochs_total") == 2
    assert streams.order(redis.client)["epoch"] == "3"
    assert streams.gaps(redis.client) == []


@one_server
def test_one_stray_frame_moves_nothing(redis: Server, start: Stack) -> None:
    """One wrong id would mute the feed for as long as the time-out, or begin a new epoch."""
    orderer = start.orderer(ORDERER_FIRST_ID=1, ORDERER_GAP_TIMEOUT=3600)
    write_raw(redis.client, frames(range(1, 301)))
    write_raw(redis.client, [b'{"id":4611686018427387904}', b'{"id":7,"wrong":1}'])
    write_raw(redis.client, frames(range(301, 2001)))
    wait_for_ids(redis, list(range(1, 2001)))
    until(lambda: streams.rejected(redis.client), "the stray is parked")
    assert [reject.reason for reject in streams.rejected(redis.client)] == ["stray"]
    assert streams.order(redis.client)["epoch"] == "1"
    assert orderer.metric("orderer_epochs_total") == 0


@one_server
@pytest.mark.parametrize("first", [0, 1, 10**12, 2**63 - 200], ids=["0", "1", "10^12", "2^63-200"])
def test_a_feed_may_begin_anywhere(redis: Server, start: Stack, first: int) -> None:
    """The first frames of a feed would be lost, or its last id would not fit."""
    numbers = list(range(first, first + 200))
    start.orderer()
    write_raw(redis.client, frames([*numbers[3:10], *numbers[:3], *numbers[11:], numbers[10]]))
    wait_for_ids(redis, numbers)
    assert streams.ordered_frames(redis.client) == frames(numbers)
    assert streams.ordered(redis.client)[-1].last == numbers[-1]
    assert streams.gaps(redis.client) == []


def is_given_up(redis: Server, seq: int, feed: str) -> bool:
    return seq in streams.given_up(redis.client, feed)


@one_server
def test_time_stands_still_while_no_line_is_connected(redis: Server, start: Stack) -> None:
    """Every outage of the feed longer than the time-out would cost what it holds back."""
    start.orderer(ORDERER_GAP_TIMEOUT=0.4, ORDERER_FIRST_ID=1)
    for feed in ("still", "control"):
        write_event(redis.client, "connected", feed=feed)
    write_raw(redis.client, frames([1, 3]), feed="still")
    write_event(redis.client, "disconnected", feed="still")
    with Heartbeat(redis.url, feed="control"):
        for missing in (2, 4, 6):
            write_raw(redis.client, frames([missing - 1, missing + 1]), feed="control")
            until(
                partial(is_given_up, redis, missing, "control"),
                "the gap of the feed that is connected is given up",
            )
    assert ordered_ids(redis.client, "still") == [1]
    assert streams.gaps(redis.client, "still") == []
    append(redis.client, "still", "test", {"event": "connected"}, "another")
    append(redis.client, "still", "test", {"0": frame(2)}, "another")
    wait_for_ids(redis, [1, 2, 3], "still")
    assert streams.gaps(redis.client, "still") == []

    append(redis.client, "still", "test", {"0": frame(5)}, "another")
    with Heartbeat(redis.url, feed="still", connection="another"):
        until(lambda: streams.gaps(redis.client, "still"), "connected, time counts again")


@one_server
def test_time_stands_still_when_the_ingestor_was_killed(redis: Server, start: Stack) -> None:
    """What a killed ingestor's successor brings again would come after its gap was given up."""
    orderer = start.orderer(ORDERER_GAP_TIMEOUT=0.3, ORDERER_FIRST_ID=1)
    write_event(redis.client, "connected")
    write_raw(redis.client, frames([1, 3]))
    until(lambda: orderer.metric("orderer_lines_connected") == 1, "the line is shown")
    # As many looks as a line may be silent for, then it is not shown: much longer than 0.3 s.
    until(lambda: orderer.metric("orderer_lines_connected") == 0, "the line is shown no longer")
    assert ordered_ids(redis.client) == [1]
    assert streams.gaps(redis.client) == []

    append(redis.client, "default", "test", {"event": "connected"}, "another")
    append(redis.client, "default", "test", {"0": frame(2)}, "another")
    wait_for_ids(redis, [1, 2, 3])
    assert streams.gaps(redis.client) == []


@one_server
def test_raw_is_trimmed_up_to_the_oldest_held_frame(redis: Server, start: Stack) -> None:
    """Raw would fill Redis, or a crash would lose the frames that are held."""
    start.orderer(ORDERER_GAP_TIMEOUT="never", ORDERER_FIRST_ID=1)
    for seq in [*range(1, 100), *range(101, 200)]:
        write_raw(redis.client, [frame(seq)])
    wait_for_ids(redis, list(range(1, 100)))

    def kept() -> list[int]:
        return streams.ids(streams.raw_frames(redis.client))

    # The checkpoint itself is the last entry that is settled, and stays.
    until(lambda: kept()[0] >= 99, "what is settled is trimmed")
    assert kept() == [*([99] if 99 in kept() else []), *range(101, 200)]
    checkpoint = streams.order(redis.client)["raw"].encode()
    assert position(checkpoint) < position(streams.raw(redis.client)[-99].entry)
    write_raw(redis.client, [frame(100)])
    wait_for_ids(redis, list(range(1, 200)))
    until(lambda: len(kept()) <= 1, "nothing is held, nothing is kept")


def test_a_killed_orderer_goes_on_from_the_checkpoint(redis: Server, start: Stack) -> None:
    """A crash with a gap open would lose the frames held back, or send some again."""
    settings = {"ORDERER_GAP_TIMEOUT": 3600, "ORDERER_FIRST_ID": 1}
    first = start.orderer(**settings)
    write_raw(redis.client, frames([1, 2, 3]))
    write_raw(redis.client, frames([5, 6, 9, 4, 8]))
    wait_for_ids(redis, [1, 2, 3, 4, 5, 6])
    first.kill()
    write_raw(redis.client, frames([2, 10, 9]))
    start.orderer(**settings)
    write_raw(redis.client, frames([7]))
    wait_for_ids(redis, list(range(1, 11)))
    assert streams.ordered_frames(redis.client) == frames(range(1, 11))


@one_server
def test_an_operator_reads_status_and_resets(redis: Server, start: Stack) -> None:
    """An operator could not see where a feed stands, or not begin it anew."""
    assert "no feed" in verb(redis, "status")
    orderer = start.orderer(ORDERER_GAP_TIMEOUT=3600, ORDERER_FIRST_ID=1)
    write_event(redis.client, "connected", line="the line")
    write_raw(redis.client, frames([1, 2, 3, 8, 9]))
    wait_for_ids(redis, [1, 2, 3])

    def shown() -> str:
        told = verb(redis, "status", "default")
        return told if "4 … 7 (4 ids)" in told else ""

    status = until(shown, "status shows the open gap")
    assert "4 … 7 (4 ids)" in verb(redis, "status")
    for part in ("feed default", "epoch", "next id    4", "held       2", "the line", "3600"):
        assert part in status
    assert command("orderer", "status", "other", REDIS_URL=redis.url).returncode == 1

    assert "epoch 2 begun" in verb(redis, "reset")
    wait_for_ids(redis, [1, 2, 3, 8, 9])
    assert [(gap.first, gap.last, gap.cause) for gap in streams.gaps(redis.client)] == [
        (4, 7, "reset")
    ]
    write_raw(redis.client, frames([1, 2]))
    wait_for_ids(redis, [1, 2, 3, 8, 9, 1, 2])
    assert streams.ordered(redis.client)[-1].epoch == 2
    assert orderer.running
    done = command("orderer", "skip", REDIS_URL=redis.url)
    assert (done.returncode, "no gap is open" in done.stdout) == (1, True)


@one_server
def test_two_orderers_share_two_feeds(redis: Server, start: Stack) -> None:
    """A second orderer would not take its share of the work, or both would do the same."""
    for feed in ("one", "two"):
        write_raw(redis.client, frames([1, 2]), feed=feed)
    orderers = [start.orderer(ORDERER_FIRST_ID=1) for _ in range(2)]

    pids = {str(orderer.pid) for orderer in orderers}
    until(lambda: {holder(redis, "one"), holder(redis, "two")} == pids, "each has one feed")
    for feed in ("one", "two"):
        write_raw(redis.client, frames([4, 3]), feed=feed)
        wait_for_ids(redis, [1, 2, 3, 4], feed)
    assert {holder(redis, "one"), holder(redis, "two")} == pids


def holder(redis: Server, feed: str = "default") -> str:
    """Tell the process that holds the orderer's lease on a feed."""
    value = redis.client.get(f"lease:{{{feed}}}:orderer")
    return value.decode().split("-")[-2] if isinstance(value, bytes) else ""


@one_server
def test_a_standby_takes_over(redis: Server, start: Stack) -> None:
    """The death of the active orderer would stop the feed."""
    first = start.orderer(ORDERER_FIRST_ID=1)
    write_raw(redis.client, frames([1, 2, 4]))
    wait_for_ids(redis, [1, 2])
    second = start.orderer(ORDERER_FIRST_ID=1)
    until(lambda: redis.client.zcard("replicas:orderer") == 2, "the second stands by")
    first.kill()
    write_raw(redis.client, frames([3]))
    # Its time, and as much again for a busy machine.
    until(lambda: ordered_ids(redis.client) == [1, 2, 3, 4], "the second goes on", 2 * LEASE_TTL)
    assert holder(redis) == str(second.pid)


def test_an_orderer_that_was_frozen_writes_nothing(redis: Server, start: Stack) -> None:
    """A process that slept past its lease would write what its successor has written already."""
    first = start.orderer(ORDERER_FIRST_ID=1)
    write_raw(redis.client, frames([1, 2, 4]))
    wait_for_ids(redis, [1, 2])
    first.freeze()
    write_raw(redis.client, frames([3, 5, 6]))
    second = start.orderer(ORDERER_FIRST_ID=1)
    wait_for_ids(redis, [1, 2, 3, 4, 5, 6])
    assert holder(redis) == str(second.pid)
    write_raw(redis.client, frames([8]))
    first.thaw()
    until(
        lambda: first.events("superseded") or first.events("lease lost"),
        "the first finds out that it has been replaced",
    )
    write_raw(redis.client, frames([7, 9]))
    wait_for_ids(redis, list(range(1, 10)))
    assert streams.ordered_frames(redis.client) == frames(range(1, 10))
    assert holder(redis) == str(second.pid)


@one_server
def test_another_field_may_carry_the_id(redis: Server, start: Stack) -> None:
    """ORDERER_ID_FIELD would do nothing."""
    start.orderer(ORDERER_ID_FIELD="n", ORDERER_FIRST_ID=1)
    messages = [b'{"id":9,"n":2}', b'{"id":8,"n":1}']
    write_raw(redis.client, messages)
    until(lambda: streams.ordered_frames(redis.client) == messages[::-1], "ordered by n")


def test_bad_settings_are_all_reported_at_once() -> None:
    """A user would mend one setting at a time, or start with a wrong one."""
    done = command(
        "orderer", ORDERER_CAPACITY="many", ORDERER_GAP_TIMEOUT="-1", ORDERER_GAPTIMEOUT="3"
    )
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    for name in ("ORDERER_CAPACITY", "ORDERER_GAP_TIMEOUT", "ORDERER_GAPTIMEOUT"):
        assert sum(f"{name}:" in line for line in lines) == 1
