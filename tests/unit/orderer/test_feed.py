"""One lane that carries a feed whose keys have an order each."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orderer import feed
from orderer.feed import Options
from orderer.lane import Commit, Entry, Lane, LaneState
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Epoch, Gap, Origin, Place, Run
from relay.frames.path import parse_path
from relay.frames.pattern import parse_pattern
from relay.frames.reader import Reader, Words
from tests.support.lane import LIMITS, committed, moved, outputs, part

READER = Reader(Words(id=parse_path("id"), key=(parse_path("of"),)))


def keyed(**words: object) -> Lane:
    """Make a lane whose feed has an order for each key."""
    given = {"id": parse_path("id"), "key": (parse_path("of"),), **words}
    reader = Reader(Words(**given))  # type: ignore[arg-type]
    options = Options(replace(LIMITS, of_key=True), "", math.inf, reader=reader)
    return Lane("f", LaneState(), lambda _: options, LIMITS.capacity_bytes)


def messages(number: int, *named: tuple[str, int]) -> Entry:
    frames = [b'{"id":%d,"of":"%s"}' % (seq, key.encode()) for key, seq in named]
    return Entry(b"%d-0" % number, [("f", part(number)._replace(frames=frames))])


def keys_of(commit: Commit) -> dict[str, list[int]]:
    return {
        move.key: [
            item.first + at
            for item in move.outputs
            if isinstance(item, Run)
            for at in range(len(item.frames))
        ]
        for move in commit.moves
    }


def test_keys_have_an_order_each() -> None:
    """One symbol's messages would be taken for another's."""
    lane = keyed()
    lane.take_in([messages(1, ("a", 0), ("b", 0), ("b", 2)), messages(2, ("a", 1), ("b", 1))])
    commit = committed(lane)
    assert keys_of(commit) == {"a": [0, 1], "b": [0, 1, 2]}
    assert (commit.after.serial, commit.after.raw) == (5, b"2-0")
    assert lane.feeds["f"].status()["keys"] == 2


def test_a_gap_of_one_key_does_not_hold_up_another() -> None:
    """One symbol that lost a message would stop all others."""
    lane = keyed()
    lane.take_in([messages(1, ("a", 0), ("b", 0)), messages(2, ("a", 2), ("b", 1))])
    commit = committed(lane)
    assert keys_of(commit) == {"a": [0], "b": [0, 1]}
    assert (commit.after.raw, commit.after.waiting) == (b"1-0", ["f"])
    assert lane.feeds["f"].status()["gaps"] == [{"key": "a", "first": 1, "last": 1, "age": 0.0}]
    again = Lane(
        "f",
        LaneState(commit.after, {"f": {move.key: move.after for move in commit.moves}}),
        lane._options,
        LIMITS.capacity_bytes,
    )
    again.take_in([messages(2, ("a", 2), ("b", 1)), messages(3, ("a", 1), ("b", 2))])
    assert keys_of(committed(again)) == {"a": [1, 2], "b": [2]}


def test_one_key_numbers_anew() -> None:
    """A restart of one symbol would begin a numbering for all, or be dropped as repeats."""
    lane = keyed()
    ids = [(key, seq) for seq in range(10) for key in "ab"]
    lane.take_in([messages(1, *ids)])
    committed(lane)
    new = [b'{"id":%d,"of":"a","n":2}' % seq for seq in range(6)]
    frames = [*new, b'{"id":10,"of":"b"}']
    lane.take_in([Entry(b"2-0", [("f", part(2)._replace(frames=frames))])])
    commit = committed(lane)
    assert keys_of(commit) == {"a": [0, 1, 2, 3, 4, 5], "b": [10]}
    assert {move.key: move.after.epoch for move in commit.moves} == {"a": 2, "b": 1}


def test_what_is_dropped_keeps_its_place() -> None:
    """A message that is not to be sent on would leave a gap, also after a restart."""
    lane = keyed(drop=(parse_pattern({"of": "c"}),))
    lane.take_in([messages(1, ("a", 0), ("c", 0), ("c", 1))])
    commit = committed(lane)
    assert keys_of(commit) == {"a": [0], "c": []}
    assert {move.key: move.after.next for move in commit.moves} == {"a": 1, "c": 2}
    assert commit.after.serial == 1


def test_all_keys_share_what_may_be_held() -> None:
    """A feed of many keys, each with a gap, would take as much memory for each as one may."""
    lane = keyed()
    small = Limits(10, 2**63, 1000, 0, of_key=True)
    lane._options = lambda _: Options(small, "", 1000.0, reader=READER)
    for number in range(1, 40):
        lane.take_in([messages(number, (f"k{number}", 0), (f"k{number}", 2))])
        assert lane.feeds["f"].held <= 10
    assert sum(2 in ids for ids in keys_of(committed(lane)).values()) == 29


def test_no_more_keys_than_memory_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed that makes up a key for each message would end the orderer, again and again."""
    monkeypatch.setattr(feed, "MOST_KEYS", 3)
    lane = keyed()
    lane.take_in([messages(1, *((key, 0) for key in "abcdef"), ("a", 1))])
    assert keys_of(committed(lane)) == {"a": [0, 1], "b": [0], "c": [0]}
    ((_, rejects),) = lane.take_rejects()
    assert rejects.reasons == {"key": 3}


def test_what_is_remembered_of_a_key_is_little() -> None:
    """A thousand keys would remember a hundred thousand messages each."""
    limits = Limits(100_000, 2**63, 100_000, of_key=True)
    assert (limits.fingerprints, limits.remembered_gaps) == (500, 20)
    assert Limits(100_000, 2**63, 200_000).fingerprints == 200_000


def test_keys_that_wait_are_given_up_in_time() -> None:
    """A gap of a key for which nothing comes would stay open, or all keys be looked at always."""
    lane = keyed()
    lane._options = lambda _: Options(LIMITS, "", 1.0, reader=READER)
    lane.take_in([messages(1, ("a", 0), ("a", 2), ("b", 0))])
    for number in range(2, 200):
        entry = messages(number, ("b", number - 1))
        part = entry.parts[0][1]._replace(listened=number / 100)
        lane.take_in([Entry(entry.id, [("f", part)])])
        given_up = [item for item in outputs(committed(lane)) if isinstance(item, Gap)]
        if given_up:
            break
    assert 1.0 <= number / 100 <= 1.05


def restarting(*frames: bytes, number: int = 1) -> Entry:
    return Entry(b"%d-0" % number, [("f", part(number)._replace(frames=list(frames)))])


def message(seq: int, mark: str = "", key: str = "a") -> bytes:
    return b'{"id":%d,"of":"%s","is":"%s"}' % (seq, key.encode(), mark.encode())


RESTART = {"restarts": (parse_pattern({"is": "first"}), parse_pattern({"hello": "*"}))}
HELLO = b'{"hello":1}'


def test_a_feed_says_that_it_numbers_anew() -> None:
    """The first messages of a new numbering would be taken for repeats."""
    lane = keyed(**RESTART)
    lane.take_in([restarting(message(0, "first"), message(2), message(1))])
    lane.take_in([restarting(message(3), message(0, "first"), message(1), number=2)])
    (move,) = committed(lane).moves
    runs = [(run.epoch, run.first, len(run.frames)) for run in move.outputs if isinstance(run, Run)]
    assert runs == [(1, 0, 4), (2, 0, 2)]
    (epoch,) = [item for item in move.outputs if isinstance(item, Epoch)]
    assert epoch.origin == Origin(Place(b"2-0", 0))


def test_it_does_so_once_whoever_reads_it() -> None:
    """After a crash, a restart that is read again would begin a third numbering."""
    first = restarting(message(0), message(1))
    second = restarting(message(9), message(0, "first"), message(2), number=2)
    lane = keyed(**RESTART)
    lane.take_in([first, second])
    commit = committed(lane)
    assert moved(commit, "f").after.epoch == 2
    again = Lane(
        "f",
        LaneState(commit.after, {"f": {move.key: move.after for move in commit.moves}}),
        lane._options,
        2**63,
    )
    unread = [entry for entry in (first, second) if entry.id > commit.after.raw]
    again.take_in([*unread, restarting(message(1), number=3)])
    commit = committed(again)
    assert keys_of(commit) == {"a": [1, 2]}
    assert moved(commit, "f").after.epoch == 2


def test_all_keys_number_anew_behind_what_is_no_message() -> None:
    """A key for which nothing comes just then would go on in its old numbering."""
    lane = keyed(**RESTART, ignore=(parse_pattern({"hello": "*"}),))
    lane.take_in([restarting(HELLO, message(0), message(0, key="b"), message(1))])
    lane.take_in([restarting(message(2), HELLO, HELLO, message(0), number=2)])
    lane.take_in([restarting(message(0, key="b"), number=3)])
    epochs = {move.key: move.after.epoch for move in committed(lane).moves}
    assert epochs == {"a": 2, "b": 2}
    assert lane.feeds["f"].ignored.total() == 3


def test_what_is_no_message_is_told_with_its_place() -> None:
    """An operator would see that something is missing, and not which of several paths it is."""
    lane = keyed()
    frames = [b'{"id":1,"of":"a"}', b'{"id":2}', b'{"of":"a"}', b'{"id":3}', b"pong"]
    lane.take_in([Entry(b"1-0", [("f", part(1)._replace(frames=frames))])])
    status = lane.feeds["f"].status()
    assert status["shapes"] == [
        {"reason": "key", "where": "of", "count": 2, "frame": '{"id":2}'},
        {"reason": "missing", "where": "id", "count": 1, "frame": '{"of":"a"}'},
        {"reason": "json", "count": 1, "frame": "pong"},
    ]
    assert status["shapes_rest"] == 0


def test_what_is_no_message_of_a_plain_feed_is_told_with_its_place() -> None:
    """The setting that is wrong would not be shown to whoever looks for it."""
    lane = Lane("f", LaneState(), lambda _: Options(LIMITS, "seq", 1.0), LIMITS.capacity_bytes)
    frames = [b'{"seq":0}', b'{"id":1}', b'{"seq":1}', b'{"seq":"2"}', b'{"seq":-1}', b"[]"]
    lane.take_in([Entry(b"1-0", [("f", part(1)._replace(frames=frames))])])
    told = lane.feeds["f"].status()["shapes"]
    assert [(shape["reason"], shape.get("where")) for shape in told] == [
        ("missing", "seq"), ("type", "seq"), ("range", "seq"), ("object", None),
    ]  # fmt: skip
