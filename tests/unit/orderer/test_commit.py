"""A commit cut into steps, and what it lays out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderer.commit import STEP_MESSAGES, Target, pack_origin, steps, unpack_origin
from orderer.lane import Commit, Mark
from orderer.reorder.outputs import (
    END,
    Batch,
    Cause,
    Epoch,
    Gap,
    Joined,
    Origin,
    Output,
    Place,
    Run,
)
from orderer.sequence import Move, State
from relay import gaps, keys, prints, standing

BATCH = Batch(b"5-0", 1_700_000_000_000_000, 0.0)
LEASE = "7:me"

entries = st.builds(lambda ms, n: b"%d-%d" % (ms, n), st.integers(0, 2**64 - 1), st.integers(0, 9))
places = st.builds(Place, entries, st.integers(0, 1999))


@settings(deadline=None, derandomize=True)
@given(st.builds(Origin, st.builds(Place, entries, st.integers(-1, END)), st.frozensets(places)))
def test_an_origin_round_trip(origin: Origin) -> None:
    """After a crash, other frames would be taken for the epoch's than were carried over."""
    assert unpack_origin(pack_origin(origin).encode()) == origin


def test_no_origin() -> None:
    """An epoch of which nothing older is left would seem to have an origin."""
    assert unpack_origin(pack_origin(None).encode()) is None


def test_the_form_of_an_origin() -> None:
    """The field would not be what its description says."""
    carried = {Place(b"4-0", 2), Place(b"4-0", 10), Place(b"5-1", 0)}
    packed = pack_origin(Origin(Place(b"5-1", 3), frozenset(carried)))
    assert packed == "5-1/3 4-0/2,10 5-1/0"


def run(first: int, count: int, epoch: int = 1, size: int = 10) -> Run:
    frames = [b"x" * size] * count
    return Run(epoch, first, frames, [BATCH] * count, prints.take(frames))


def commit(
    outputs: Sequence[Output], before: State, after: State, amended: Sequence[Gap] = (),
    marks: tuple[Mark, Mark] | None = None,
) -> Commit:  # fmt: skip
    """Make a commit of one feed."""
    first, last = marks or (Mark(b"2-0", b"3-0"), Mark(b"9-0", b"9-0"))
    came = sum(len(item.frames) for item in outputs if isinstance(item, Run))
    after, last = after._replace(serial=before.serial + came), last._replace(serial=came)
    return Commit("f", [Move("f", "", outputs, amended, before, after)], first, last)


def standing_of(state: State) -> bytes:
    if not state.written:
        return b""
    return standing.pack(state.epoch, state.next, state.serial, state.last)


def made(commit: Commit) -> list[dict[Any, Any]]:
    """Cut a commit and read the calls' arguments as `commit.lua` describes them."""
    found = []
    stands = {move.feed: standing_of(move.before) for move in commit.moves}
    target = Target(commit.lane, "lease:{f}:orderer", b"inc", "7:me#0", 1000)
    for step in steps(commit, target, LEASE, 99):
        name, _, count, *rest = step.command
        names, words = rest[:count], iter(rest[count:])
        assert name == "EVALSHA"
        assert names[:4] == ["lease:{f}:orderer", "order:{f}", "next:{f}", "ordered:{f}"]
        assert [next(words) for _ in range(5)] == [LEASE, b"inc", target.last, step.name, "raw:{f}"]
        call: dict[Any, Any] = {"raw": next(words), "rows": step.rows, "runs": [], "moved": {}}
        assert next(words) == gaps.LENGTH
        for _ in range(next(words)):
            feed, stood, stand = next(words), next(words), next(words)
            assert stood == stands[feed]
            call["moved"][feed] = stands[feed] = stand
        feeds = [name.removeprefix("gaps:{f}:") for name in names[4::2]]
        feeds = [feed if feed in call["moved"] else "f" for feed in feeds]
        assert names[4::2] == [keys.gaps("f", feed) for feed in feeds]
        assert names[5::2] == [keys.prints("f", feed) for feed in feeds]
        changed = [next(words) for _ in range(next(words))]
        call |= dict(zip(changed[0::2], changed[1::2], strict=True))
        for _ in range(next(words)):
            feed, entry, _, _ = feeds[next(words)], next(words), next(words), next(words)
            kept = [next(words) for _ in range(next(words))]
            values = [next(words) for _ in range(next(words))]
            assert kept[1] == b"".join(p.to_bytes(4, "little") for p in prints.take(values[5::2]))
            call["runs"].append((feed, entry, values))
        assert next(words) == len(step.rows)
        found.append(call)
        target.last = step.name
    return found


def test_steps_follow_each_other() -> None:
    """A step would not begin where the one before ends, and the script would refuse it."""
    found = made(commit([run(1, 30_000)], State(1, 1, 1), State(1, 30_001, 1)))
    assert len(found) == 8
    sizes = [sum(len(values) // 2 - 2 for *_, values in step["runs"]) for step in found]
    assert all(size <= STEP_MESSAGES + 1000 for size in sizes)
    assert [step["moved"]["f"] for step in found] == [
        b"1:%d:%d" % (1 + upto, upto) for upto in accumulate(sizes)
    ]
    assert [step[keys.ORDER_SERIAL] for step in found] == list(accumulate(sizes))
    assert [step["raw"] for step in found] == [b"2-0"] * 7 + [b"9-0"]
    assert {step[keys.ORDER_SEEN] for step in found} == {b"9-0"}
    numbers = [seq for step in found for *_, values in step["runs"] for seq in values[4::2]]
    assert numbers == list(range(1, 30_001))
    serials = [entry for step in found for _, entry, _ in step["runs"]]
    assert serials == [f"1-{upto}" for upto in range(1000, 30_001, 1000)]


def test_what_begins_a_numbering_counts_as_seen_with_it() -> None:
    """A crash between two steps would take the frames that begin a numbering for repeats."""
    epoch = Epoch(2, None, Origin(Place(b"8-0", 3)))
    outputs: list[Output] = [run(1, 9000), epoch, Joined(2, 5), run(5, 9000, epoch=2)]
    found = made(commit(outputs, State(1, 1, 1), State(2, 9005, 5, origin=epoch.origin)))
    births = next(at for at, step in enumerate(found) if step["moved"]["f"].startswith(b"2:"))
    seen = [step[keys.ORDER_SEEN] for step in found]
    assert seen == [b"3-0"] * births + [b"9-0"] * (len(found) - births)
    assert found[births][keys.ORDER_FIRST] == 5
    assert found[births][keys.ORDER_BEGUN] == "8-0/3"
    assert all(keys.ORDER_FIRST not in step for step in found[1:births])


def test_an_origin_stands_until_it_is_settled() -> None:
    """After a crash between two steps, old frames would be published in the new epoch."""
    origin = Origin(Place(b"8-0", 3))
    new = State(2, 1, 1, origin=origin, written=False)
    found = made(commit([run(1, 9000)], new, State(2, 9001, 1)))
    assert len(found) == 3
    assert [step.get(keys.ORDER_BEGUN) for step in found] == ["8-0/3", None, ""]


def test_a_gap_goes_with_the_run_that_it_makes_way_for() -> None:
    """A crash between a gap and its run would leave a hole that the output does not need."""
    gap = Gap(1, 5000, 5001, 0.5, 77, Cause.TIMEOUT, late=2)
    outputs: list[Output] = [run(1, 4999), gap, run(5002, 4000)]
    found = made(commit(outputs, State(1, 1, 1), State(1, 9002, 1)))
    (at,) = [at for at, step in enumerate(found) if step["rows"]]
    assert found[at]["rows"] == [("f", (1, 5000, 5001, 77, 99, "timeout", 2, ""))]
    assert 5002 in [values[4] for *_, values in found[at]["runs"]]


@pytest.mark.parametrize("size", [1, 200_000, 300_000])
def test_large_messages_are_spread(size: int) -> None:
    """One entry, or one step, would be larger than Redis and the publisher digest well."""
    found = made(commit([run(1, 40, size=size)], State(1, 1, 1), State(1, 41, 1)))
    sizes = [[sum(map(len, values[5::2])) for *_, values in step["runs"]] for step in found]
    assert max(map(max, sizes)) <= max(size, 256 * 1024)
    assert max(map(sum, sizes)) <= 1024 * 1024 + max(size, 256 * 1024)


def test_many_feeds_go_out_together() -> None:
    """A lane would write each feed's messages for itself, or more than one call can carry."""
    feeds = [f"f{number}" for number in range(1200)]
    moves = [
        Move(feed, "", [run(1, 2)], (), State(1, 1, 1), State(1, 3, 1, serial=2)) for feed in feeds
    ]
    found = made(Commit("f", moves, Mark(b"2-0"), Mark(b"9-0", b"9-0", 2400)))
    assert len(found) == 3
    assert [feed for step in found for feed in step["moved"]] == feeds
    runs = [(feed, entry) for step in found for feed, entry, _ in step["runs"]]
    assert runs == [(feed, f"1-{2 * at + 2}") for at, feed in enumerate(feeds)]
    (values,) = [values for feed, _, values in found[0]["runs"] if feed == "f7"]
    assert values[2:5] == [keys.SEQ, b"1:2", "f7:1"]


def test_messages_of_each_feed_are_counted() -> None:
    """How many wait for an endpoint, and whether one is missing, could not be told."""
    target = Target("+1", "lease:{+1}:orderer", b"inc", "", 1000)
    target.serials["a"] = 7
    first, second = (
        Commit(
            "+1",
            [
                Move("a", "k", [run(1, 2)], (), State(1, 1, 1), State(1, 3, 1, serial=2)),
                Move("a", "l", [run(5, 1)], (), State(1, 5, 5), State(1, 6, 5, serial=1)),
                Move("b", "", [run(1, 4)], (), State(1, 1, 1), State(1, 5, 1, serial=4)),
            ],
            Mark(serial=serial),
            Mark(serial=serial + 7),
        )
        for serial in (70, 77)
    )
    (step,) = steps(first, target, LEASE, 9)
    words = list(step.command)
    assert step.serials == {"a": 10, "b": 4}
    assert [words[words.index(b"serial:" + feed) + 1] for feed in (b"a", b"b")] == [10, 4]
    counted = [words[at + 1] for at, word in enumerate(words) if word == keys.SEQ]
    assert counted == [b"1:9", b"1:10", b"1:4"]
    target.serials.update(step.serials)
    target.last = step.name
    (step,) = steps(second, target, LEASE, 9)
    assert step.serials == {"a": 13, "b": 8}


def test_the_ledger_row_of_a_gap_is_renewed() -> None:
    """A late frame would add a second row for its gap, with another time."""
    target = Target("f", "lease:{f}:orderer", b"inc", "", 1000)
    gap = Gap(1, 3, 4, None, 77, Cause.TIMEOUT, late=1)
    late = commit([], State(1, 9, 1), State(1, 9, 1), [gap])
    (step,) = steps(late, target, LEASE, 50)
    ((_, row),) = step.rows
    target.known("f").remember(b"123-0", row)
    (again,) = steps(late, target, LEASE, 60)
    assert again.rows[0][1].closed == 50
    assert b"123-0" in again.command
