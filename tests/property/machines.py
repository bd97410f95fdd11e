"""State machines that make up schedules for the core: what may happen to it, in any order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from orderer.reorder import limits, repeats
from tests.property import rules as model
from tests.property.feed import DOUBTFUL, EVENTS, LATER, ORDINARY, Feed, Move, moves
from tests.property.rules import Rules
from tests.property.schedule import Event, Frame, Life

assert settings.default is not None
DEFAULT: settings = settings.default


@contextmanager
def small_limits() -> Iterator[None]:
    """Bring the core's limits within the reach of short schedules, like the model's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in model.SMALL:
            patch.setattr(limits, name, getattr(model, name))
            if hasattr(repeats, name):
                patch.setattr(repeats, name, getattr(model, name))
        yield


class Schedules(RuleBasedStateMachine):
    """A feed with one numbering, an operator, and crashes at every step."""

    reach: ClassVar[Counter[str]] = Counter()

    @initialize(
        seconds=st.sampled_from([math.inf, 1.0, 2.5]),
        capacity=st.sampled_from([12, 8, 4, 1]),
        capacity_bytes=st.sampled_from([2**63, 2**63, 30]),
        beyond=st.one_of(st.integers(0, 20), st.just(60)),
        first_id=st.sampled_from([None, None, None, 0, 1, 50]),
        first=st.sampled_from([1, 50, 10**12, 0]),
        bland=st.sampled_from([0, 0, 0, 3, 1]),
    )
    def begin(
        self, seconds: float, capacity: int, capacity_bytes: int, beyond: int,
        first_id: int | None, first: int, bland: int,
    ) -> None:  # fmt: skip
        self.reach["schedules"] += 1
        rules = Rules(seconds, capacity, capacity_bytes, capacity + beyond, first_id)
        self.life = Life(rules)
        self.feed = Feed(first if first_id is None else first_id, rules.max_jump, bland)

    @rule(moves=moves(*ORDINARY), later=LATER)
    def receive(self, moves: list[Move], later: float) -> None:
        self.life.receive(self.made(moves), later)

    @rule()
    def publish(self) -> None:
        self.life.publish()

    @rule(ids=st.integers(1, 30))
    def trim(self, ids: int) -> None:
        published = self.life.published
        published.trimmed = max(published.trimmed, (published.next or 0) - ids)

    @rule()
    def skip(self) -> None:
        self.life.skip()

    @rule()
    def crash(self) -> None:
        self.life.crash()

    @rule(publish=st.booleans(), again=st.integers(0, 4), once_more=st.booleans())
    def crash_and_read_some(self, publish: bool, again: int, once_more: bool) -> None:
        self.life.crash(again)
        self.life.check()
        if publish:
            self.life.publish()
        if once_more:
            self.life.crash()

    @rule()
    def publish_and_crash(self) -> None:
        self.life.publish()
        self.life.crash()

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "life"):
            self.life.check()

    def made(self, moves: list[Move]) -> list[Frame]:
        return [frame for move in moves for frame in self.feed.move(move)]

    def teardown(self) -> None:
        """Close the numbering: whatever was held comes out."""
        if hasattr(self, "life"):
            self.life.check()
            self.life.reset()
            self.life.check()
            self.reach.update(self.life.reach)
            self.reach["restarts"] += self.life.published.epoch - 1


class DoubtfulSchedules(Schedules):
    """The same with a feed whose numbering jumps, begins anew, or just seems to."""

    @rule(
        moves=moves(*ORDINARY, *DOUBTFUL), later=LATER, event=st.sampled_from([*[""] * 6, *EVENTS])
    )
    def receive_anything(self, moves: list[Move], later: float, event: Event) -> None:
        self.life.receive(self.made(moves), later, event)

    @rule(event=st.sampled_from(EVENTS))
    def line_changes(self, event: Event) -> None:
        self.life.receive([], 0.125, event)

    @rule()
    def reset(self) -> None:
        self.life.reset()


class Restarts(DoubtfulSchedules):
    """The same, aimed at the moment in which an epoch begins."""

    @rule(
        first=st.integers(0, 3),
        lost=st.integers(0, 2),
        entries=st.lists(
            st.tuples(st.integers(1, 4), st.sampled_from(["", "", "crash", "publish", "both"])),
            min_size=2, max_size=4,
        ),
        event=st.sampled_from(["", "", "reconnected"]),
        place=st.integers(0, 9),
    )  # fmt: skip
    def restart(
        self, first: int, lost: int, entries: list[tuple[int, str]], event: Event, place: int
    ) -> None:
        """Begin anew, with stragglers of the old numbering among the new one's frames."""
        feed = self.feed
        stragglers = [feed.frame(seq) for seq in (*feed.skipped, feed.next)]
        feed.begin_anew((self.life.rules.first_id or 0) + first)
        feed.skip(lost)
        for size, then in entries:
            frames = feed.in_order(size)
            feed.sent += frames
            frames.insert(place % (len(frames) + 1), stragglers[place % len(stragglers)])
            self.life.receive(frames, 0.125, event)
            event = ""
            if then in ("publish", "both"):
                self.life.publish()
            if then in ("crash", "both"):
                self.life.crash()
            self.life.check()
        self.life.publish()
        self.life.crash()

    @rule(below=st.integers(1, 40), later=st.sampled_from([30.0, 3.0]))
    def be_odd(self, below: int, later: float) -> None:
        """Send one odd frame with an old id, and after a long while go on as if nothing were."""
        self.life.receive([self.feed.frame(max(0, self.feed.next - below), b"?")], 0.0)
        self.life.receive([], later)

    @rule(
        reconnected=st.booleans(),
        jump=st.booleans(),
        lost=st.integers(0, 1),
        sizes=st.lists(st.integers(1, 2), min_size=1, max_size=3),
        pause=st.sampled_from([0.25, 2.0, 6.0]),
        then=st.sampled_from(["", "crash", "publish", "both", "odd"]),
    )  # fmt: skip
    def fall_silent(
        self, reconnected: bool, jump: bool, lost: int, sizes: list[int], pause: float, then: str
    ) -> None:  # fmt: skip
        """Send a few frames of a new numbering, or from far ahead, and then nothing for long."""
        feed = self.feed
        if jump:
            feed.next += feed.max_jump + lost
        else:
            feed.begin_anew((self.life.rules.first_id or 0) + lost)
        event: Event = "reconnected" if reconnected else ""
        for size in sizes:
            self.life.receive(feed.in_order(size), pause, event)
            event = ""
            self.life.check()
        if then == "odd":
            self.life.receive([feed.frame(max(0, feed.next - 3), b"?")], pause)
        before = self.life.model.epoch
        for _ in range(4):
            self.life.receive([], 2.0)
            if then in ("publish", "both"):
                self.life.publish()
            if then in ("crash", "both"):
                self.life.crash()
            self.life.check()
        self.reach["numberings believed in silence"] += self.life.model.epoch > before

    @rule(beyond=st.integers(0, 2), then=st.sampled_from(["publish", "", "publish"]))
    def be_early(self, beyond: int, then: str) -> None:
        """Send a frame from far ahead, and after a long while come near it."""
        feed = self.feed
        self.life.receive([feed.frame(feed.next + feed.max_jump + beyond)], 0.0)
        self.life.receive([], 30.0)
        self.life.receive(feed.in_order(beyond + 1), 0.125)
        if then:
            self.life.publish()
        self.life.crash()


def run(
    machine: type[Schedules], examples: int, phases: Collection[Phase] = DEFAULT.phases
) -> Counter[str]:
    """Run schedules of a machine; tells what they reached."""
    Schedules.reach.clear()
    with small_limits():
        run_state_machine_as_test(
            machine,
            settings=settings(
                DEFAULT,
                max_examples=examples,
                stateful_step_count=30,
                phases=phases,
                report_multiple_bugs=False,
            ),
        )
    return Schedules.reach
