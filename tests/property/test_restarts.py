"""Schedules that aim at the moment in which an epoch begins, and crashes that follow it."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from tests.property.machines import DEFAULT, Restarts, run, small_limits
from tests.property.rules import Rules
from tests.property.schedule import Frame, Life


def test_restarts() -> None:
    """After a crash, old frames would pass for the new numbering's, or its own be given up."""
    run(Restarts, 4 * DEFAULT.max_examples)


STEPS = ("publish", "crash", "crash and read some")
ODD = 20


@st.composite
def numberings(draw: st.DrawFn, seconds: float) -> tuple[float, list[list[Frame]]]:
    """Make two numberings or three; stragglers come among the next one's frames, if ever."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    depth = draw(st.integers(0, 2))
    sent: list[list[Frame]] = []
    for number in range(1, draw(st.integers(2, 3)) + 1):
        count = rng.randint(30, 60)
        arrivals = sorted((at + rng.randint(0, depth), at) for at in range(count))
        frames = [(seq, b"%d:%d" % (number, seq)) for _, seq in arrivals]
        if sent and seconds == math.inf:
            # The old numbering's last frames come before the new one can be told from it.
            for _ in range(rng.randint(0, 3)):
                frames.insert(rng.randint(0, 3), sent[-1].pop())
        sent.append(frames)
    return seconds, sent


@given(st.data(), st.one_of(numberings(math.inf), numberings(1.0)), st.booleans())
def test_nothing_is_lost_or_doubled(
    data: st.DataObject, feed: tuple[float, list[list[Frame]]], odd: bool
) -> None:
    """Crashes at any step would lose or double honest frames of a feed that begins anew."""
    seconds, sent = feed
    expected = {
        (number, seq): b"%d:%d" % (number, seq)
        for number in range(1, len(sent) + 1)
        for seq in {seq for numbering in sent for seq, _ in numbering}
        if any((seq, b"%d:%d" % (number, seq)) in numbering for numbering in sent)
    }
    if odd:
        # Long before a restart comes a frame with an old id that is not the one that came out.
        sent[0].insert(-5, (ODD, b"odd"))
    with small_limits():
        life = Life(Rules(seconds, 1000, 2**63, 1000, 0))
        for at, frames in enumerate(sent):
            if at:
                life.receive([], 30.0)
            while frames:
                size = data.draw(st.integers(1, 20))
                life.receive(frames[:size], 0.125)
                del frames[:size]
                for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=3)):
                    if step == "publish":
                        life.publish()
                    else:
                        life.crash(2 if step == "crash and read some" else None)
                    life.check()
        life.read_on()
        life.publish()
    out = life.published.frames
    if odd:
        # It may stand in the place of its namesake, and that of another if that is odd then.
        namesakes = {frame for (_, seq), frame in expected.items() if seq == ODD}
        for number in range(2, len(sent) + 1):
            assert out[number, ODD] in {b"odd", *namesakes}
            expected[number, ODD] = out[number, ODD]
    assert out == expected
    assert life.published.epoch == len(sent)
