"""The core does what the plain model does, whatever the feed and fate do."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Batch, Gap
from orderer.reorder.reorder import Reorder
from orderer.reorder.timeout import FixedTimeout
from tests.property.machines import DEFAULT, DoubtfulSchedules, Schedules, run
from tests.property.schedule import Frame, Published


@pytest.mark.parametrize("machine", [Schedules, DoubtfulSchedules])
def test_schedules(machine: type[Schedules]) -> None:
    """The core would order, wait, count, believe or remember otherwise than its docstrings say."""
    run(machine, 4 * DEFAULT.max_examples)


def feed(core: Reorder, output: Published, frames: list[Frame], number: int) -> list[Gap]:
    """Have the core take in an entry, and publish what comes out; lists the gaps among it."""
    batch = Batch(b"%d-0" % number, number, number / 1000)
    core.take_in(batch, [seq for seq, _ in frames], [frame for _, frame in frames])
    core.expire(batch)
    out = core.take()
    for item in out:
        output.add(item)
    return [item for item in out if isinstance(item, Gap)]


def endless(first_id: int | None) -> Reorder:
    """Make a core that gives nothing up."""
    return Reorder(Limits(1000, 2**63, 1000, first_id), FixedTimeout(math.inf))


def cut(draw: st.DrawFn, frames: list[Frame]) -> list[list[Frame]]:
    """Cut a list of frames into entries."""
    entries = []
    while frames:
        size = draw(st.integers(1, 20))
        entries.append(frames[:size])
        frames = frames[size:]
    return entries


@st.composite
def displaced(draw: st.DrawFn, *, least: int = 1) -> list[Frame]:
    """Make frames 0, 1, … of which each comes a few places late at most, some of them twice."""
    count = draw(st.integers(least, 120))
    depth = draw(st.integers(0, 5))
    # Hypothesis would draw each delay by itself, slowly; a seed does as well here.
    rng = random.Random(draw(st.integers(0, 2**32)))
    arrivals = [(at + rng.randint(0, depth), at) for at in range(count)]
    arrivals += [(at + rng.randint(0, 30), rng.randrange(at + 1)) for at in range(0, count, 7)]
    return [(seq, b"1:%d" % seq) for _, seq in sorted(arrivals)]


@given(st.data(), displaced(), st.sampled_from([0, 1, 10**12, 2**63 - 121]), st.booleans())
def test_sorts(data: st.DataObject, frames: list[Frame], first: int, told: bool) -> None:
    """A feed that only swaps and repeats would come out otherwise than sorted and complete."""
    shifted = [(first + seq, frame) for seq, frame in frames]
    if not told:
        # Whoever joins cannot know of a first id that comes after many others.
        shifted.sort(key=lambda frame: frame[0] != first)
    core = endless(first if told else None)
    output = Published(next=core.next)
    for number, entry in enumerate(data.draw(st.composite(cut)(shifted)), 1):
        assert not feed(core, output, entry, number)
    feed(core, output, [], 10**6)
    ids = range(len(set(frames)))
    assert output.frames == {(1, first + seq): b"1:%d" % seq for seq in ids}
    assert list(output.frames) == [(1, first + seq) for seq in ids]
    assert core.fates.duplicates + core.held == len(frames) - len(ids)


@given(
    st.data(),
    st.lists(st.tuples(displaced(least=20), st.booleans(), st.integers(0, 12)), max_size=4),
    st.sampled_from([None, 0]),
)
def test_numberings(
    data: st.DataObject, numberings: list[tuple[list[Frame], bool, int]], first_id: int | None
) -> None:
    """A feed that begins anew would lose or mix frames, after a reconnect with replays, too."""
    core = endless(first_id)
    output = Published(next=first_id)
    number = 0
    expected = []
    for epoch, (frames, reconnected, again) in enumerate(numberings, 1):
        renamed = [(seq, b"%d:%d" % (epoch, seq)) for seq, _ in frames]
        expected += sorted({(epoch, seq): frame for seq, frame in renamed}.items())
        for entry in data.draw(st.composite(cut)(renamed)):
            number += 1
            assert not feed(core, output, entry, number)
        if reconnected:
            # The feed sends its last frames again, before it begins anew.
            core.reconnected(number / 1000)
            number += 1
            assert not feed(core, output, sorted(set(renamed))[-again - 1 :], number)
            core.reconnected(number / 1000)
    assert sorted(output.frames.items()) == expected
    assert core.epoch == max(1, len(numberings))


@given(
    st.lists(st.one_of(st.integers(1, 60), st.sampled_from(["skip", "wait"])), max_size=80),
    st.integers(1, 20),
)
def test_gaps_are_exactly_what_was_missing(steps: list[int | str], capacity: int) -> None:
    """A gap would hide a frame that was there, or a frame would be neither sent nor in a gap."""
    core = Reorder(Limits(capacity, 2**63, 100, 1), FixedTimeout(0.005))
    output = Published(next=1)
    came: dict[int, int] = {}
    closed: dict[int, int] = {}
    for number, step in enumerate(steps, 1):
        if step == "skip":
            core.skip(number / 1000)
        entry = [(step, b"%d" % step)] if isinstance(step, int) else []
        if isinstance(step, int):
            came.setdefault(step, number)
        gaps = feed(core, output, entry, number if step != "wait" else number + 5)
        closed |= dict.fromkeys((gap.first for gap in gaps), number)
        for (_, first), gap in core.fates.amended.items():
            output.gaps[first] = gap
    assert output.next is not None
    for seq in range(1, output.next):
        around = [gap for gap in output.gaps.values() if gap.first <= seq <= gap.last]
        if (1, seq) in output.frames:
            assert not around
        else:
            [gap] = around
            assert came.get(seq, len(steps) + 1) >= closed[gap.first]
    assert sum(gap.late for gap in output.gaps.values()) == core.fates.late
