"""A commit cut into steps, and what it lays out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderer.commit import STEP_MESSAGES, Target, pack_origin, steps, unpack_origin
from orderer.feed import Commit, State
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
    return Run(epoch, first, [b"x" * size] * count, [BATCH] * count)


def arguments(outputs: list[Output], before: State, after: State) -> list[dict[str, Any]]:
    """Cut a commit and read the calls' arguments as `commit.lua` describes them."""
    commit = Commit("f", outputs, [], before, after)
    found = []
    target = Target("f", "lease:{f}:orderer", b"inc", "7:me#0")
    for step in steps(commit, target, LEASE, 99):
        assert step.command[3 + 4 + 4] == target.last
        target.last = step.name
        name, _, count, *rest = step.command
        assert (name, count) == ("EVALSHA", 4)
        assert rest[:4] == ["lease:{f}:orderer", "order:{f}", "ordered:{f}", "gaps:{f}"]
        words = rest[4:]
        runs, at = [], 15
        for _ in range(words[14]):
            runs.append((words[at], words[at + 2 : at + 2 + words[at + 1]]))
            at += 2 + words[at + 1]
        assert words[at] == len(step.rows)
        names = (
            "lease", "incarnation", "epoch", "next", "last", "to", "following", "first", "raw",
            "seen",
        )  # fmt: skip
        found.append({**dict(zip(names, words, strict=False)), "runs": runs, "rows": step.rows})
    return found


def test_steps_follow_each_other() -> None:
    """A step would not begin where the one before ends, and the script would refuse it."""
    after = State(1, 30_001, 1, b"9-0", b"9-0")
    found = arguments([run(1, 30_000)], State(1, 1, 1, b"2-0", b"3-0"), after)
    assert len(found) == 8
    assert all(sum(len(values) // 2 - 1 for _, values in step["runs"]) <= STEP_MESSAGES + 1000
               for step in found)  # fmt: skip
    for one, other in pairwise(found):
        assert (one["to"], one["following"]) == (other["epoch"], other["next"])
    assert [step["raw"] for step in found] == [b"2-0"] * 7 + [b"9-0"]
    assert {step["seen"] for step in found} == {b"9-0"}
    numbers = [seq for step in found for _, values in step["runs"] for seq in values[2::2]]
    assert numbers == list(range(1, 30_001))


def test_what_begins_a_numbering_counts_as_seen_with_it() -> None:
    """A crash between two steps would take the frames that begin a numbering for repeats."""
    before = State(1, 1, 1, b"2-0", b"3-0")
    epoch = Epoch(2, None, Origin(Place(b"8-0", 3)))
    outputs: list[Output] = [run(1, 9000), epoch, Joined(2, 5), run(5, 9000, epoch=2)]
    found = arguments(outputs, before, State(2, 9005, 5, b"9-0", b"9-0"))
    births = next(at for at, step in enumerate(found) if step["to"] == 2)
    assert [step["seen"] for step in found] == [b"3-0"] * births + [b"9-0"] * (len(found) - births)
    assert [step["first"] for step in found] == [1] * births + [5] * (len(found) - births)


def test_a_gap_goes_with_the_run_that_it_makes_way_for() -> None:
    """A crash between a gap and its run would leave a hole that the output does not need."""
    gap = Gap(1, 5000, 5001, 0.5, 77, Cause.TIMEOUT, late=2)
    after = State(1, 9002, 1, b"9-0", b"9-0")
    found = arguments([run(1, 4999), gap, run(5002, 4000)], State(1, 1, 1), after)
    (at,) = [at for at, step in enumerate(found) if step["rows"]]
    (row,) = found[at]["rows"]
    assert row == (1, 5000, 5001, 77, 99, "timeout", 2)
    assert "1-6001" in [entry for entry, _ in found[at]["runs"]]


@pytest.mark.parametrize("size", [1, 200_000, 300_000])
def test_large_messages_are_spread(size: int) -> None:
    """One entry, or one step, would be larger than Redis and the publisher digest well."""
    found = arguments([run(1, 40, size=size)], State(1, 1, 1), State(1, 41, 1))
    sizes = [
        [sum(map(len, values[3::2])) for _, values in step["runs"]] for step in found
    ]  # fmt: skip
    assert max(map(max, sizes)) <= max(size, 256 * 1024)
    assert max(map(sum, sizes)) <= 1024 * 1024 + max(size, 256 * 1024)


def test_the_ledger_row_of_a_gap_is_renewed() -> None:
    """A late frame would add a second row for its gap, with another time."""
    target = Target("f", "lease:{f}:orderer", b"inc", "")
    gap = Gap(1, 3, 4, None, 77, Cause.TIMEOUT, late=1)
    commit = Commit("f", [], [gap], State(1, 9, 1), State(1, 9, 1))
    (step,) = steps(commit, target, LEASE, 50)
    target.remember(b"123-0", step.rows[0])
    (again,) = steps(commit, target, LEASE, 60)
    assert again.rows[0].closed == 50
    assert b"123-0" in again.command
