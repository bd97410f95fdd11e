"""The reordering buffer does what the plain model does, whatever the feed and fate do."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from typing import ClassVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orderer import probation, reorder
from orderer.lateness import FixedTimeout
from orderer.reorder import Reorder
from orderer.runs import Batch, Cause, Gap
from tests.property import plain
from tests.property.schedule import Event, Frame, Published, Relay, flat

DEFAULT = settings.default
assert DEFAULT is not None


@pytest.fixture(autouse=True, scope="module")
def small_limits() -> Iterator[None]:
    """Bring the buffer's limits within the reach of short schedules, like the model's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probation, "PATIENCE", plain.PATIENCE)
        patch.setattr(reorder, "MOST_ECHOES", plain.MOST_ECHOES)
        patch.setattr(reorder, "QUIET", plain.QUIET)
        patch.setattr(reorder, "PATIENCE", plain.PATIENCE)
        patch.setattr(reorder, "SETTLED", plain.SETTLED)
        yield


class Feed:
    """A feed that can do everything wrong; its frames tell their numbering and id."""

    def __init__(self, first: int, far: int) -> None:
        self.numbering = 1
        self.next = first
        self.first = first
        self.far = far
        self.skipped: list[int] = []
        self.sent: list[Frame] = []

    def frame(self, seq: int, mark: bytes = b"") -> Frame:
        return seq, b"%d:%d%s" % (self.numbering, seq, mark)

    def move(self, kind: str, a: int, b: int) -> list[Frame]:
        """Make one move; `a` and `b` say which and how many, in a way that fits the kind."""
        frames: list[Frame] = []
        if kind == "ahead":
            frames = [self._ahead(a + 1)]
        elif kind == "overtaken" and self.skipped:
            at = a % len(self.skipped)
            frames = [self.frame(seq) for seq in self.skipped[at : at + b]]
            del self.skipped[at : at + b]
        elif kind == "lost" and self.skipped:
            del self.skipped[a % len(self.skipped)]
        elif kind == "again" and self.sent:
            at = max(0, len(self.sent) - 1 - a)
            frames = self.sent[at : at + b]
        elif kind == "altered" and self.sent:
            seq, frame = self.sent[-1 - a % len(self.sent)]
            frames = [(seq, frame + b"!")]
        elif kind == "stray":
            frames = [self.frame(self.next + self.far * b + a)]
        elif kind == "wild":
            frames = [self.frame(10**6 * b + a)]
        elif kind == "jump":
            self.next += self.far + a
            frames = self._in_order(b)
        elif kind == "anew":
            self._begin_anew(a)
            frames = self._in_order(b)
        elif kind == "below":
            lowest = max(0, self.first - 1 - 2 * a)
            frames = [self.frame(seq) for seq in range(lowest, min(lowest + b, self.first))]
        else:
            frames = self._in_order(b)
        self.sent += [frame for frame in frames if kind not in ("stray", "wild", "below")]
        return frames

    def _in_order(self, count: int) -> list[Frame]:
        self.next += count
        return [self.frame(seq) for seq in range(self.next - count, self.next)]

    def _ahead(self, steps: int) -> Frame:
        self.skipped += range(self.next, self.next + steps)
        self.next += steps + 1
        return self.frame(self.next - 1)

    def _begin_anew(self, first: int) -> None:
        self.numbering += 1
        self.next = self.first = first
        self.skipped = []
        self.sent = []


ORDINARY = ("order", "order", "ahead", "ahead", "overtaken", "overtaken", "lost", "again")
DOUBTFUL = ("altered", "stray", "wild", "jump", "anew", "below")


def moves(*kinds: str) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    """Make entries of a few moves of these kinds."""
    move = st.tuples(
        st.sampled_from(kinds), st.integers(0, 12), st.sampled_from([1, 1, 1, 2, 3, 5, 7])
    )
    return st.lists(move, min_size=1, max_size=5)


seconds = st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 1.7, 3.0])


class Schedules(RuleBasedStateMachine):
    """Everything that may happen to a buffer, in any order."""

    kind: ClassVar[type[Reorder]] = Reorder

    @initialize(
        timeout=st.sampled_from([None, 1.0, 2.5]),
        capacity=st.sampled_from([12, 8, 4, 1]),
        beyond=st.one_of(st.integers(0, 20), st.just(60)),
        first_id=st.sampled_from([None, None, None, 0, 1, 50]),
        first=st.sampled_from([1, 50, 10**12, 0]),
    )
    def begin(
        self, timeout: float | None, capacity: int, beyond: int, first_id: int | None, first: int
    ) -> None:
        far = capacity + beyond
        self.relay = Relay(self.kind, timeout, capacity, far, first_id)
        self.feed = Feed(first if first_id is None else first_id, far)

    @rule(moves=moves(*ORDINARY), later=seconds)
    def receive(self, moves: list[tuple[str, int, int]], later: float) -> None:
        self.relay.receive([frame for move in moves for frame in self.feed.move(*move)], later)

    @rule(seconds=seconds)
    def wait(self, seconds: float) -> None:
        self.relay.wait(seconds)

    @rule()
    def publish(self) -> None:
        self.relay.publish()

    @rule(ids=st.integers(1, 30))
    def trim(self, ids: int) -> None:
        published = self.relay.published
        published.trimmed = max(published.trimmed, (published.next or 0) - ids)

    @rule()
    def skip(self) -> None:
        self.relay.skip()

    @precondition(lambda self: self.relay.may_crash)
    @rule()
    def crash(self) -> None:
        self.relay.crash()

    @precondition(lambda self: self.relay.may_crash)
    @rule()
    def publish_and_crash(self) -> None:
        self.relay.publish()
        if self.relay.may_crash:
            self.relay.crash()

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "relay"):
            self.relay.check()

    def teardown(self) -> None:
        """Close the numbering: whatever was held comes out."""
        if hasattr(self, "relay"):
            self.relay.reset()
            self.relay.check()


class DoubtfulSchedules(Schedules):
    """The same with a feed whose numbering jumps, begins anew, or just seems to."""

    @rule(
        moves=moves(*ORDINARY, *DOUBTFUL),
        later=seconds,
        event=st.sampled_from([*[""] * 6, "disconnected", "reconnected", "another line"]),
    )
    def receive_anything(
        self, moves: list[tuple[str, int, int]], later: float, event: Event
    ) -> None:
        frames = [frame for move in moves for frame in self.feed.move(*move)]
        self.relay.receive(frames, later, event)

    @rule(event=st.sampled_from(["disconnected", "reconnected", "another line"]))
    def line_changes(self, event: Event) -> None:
        self.relay.receive([], 0.1, event)

    @rule()
    def reset(self) -> None:
        self.relay.reset()


def run(
    machine: type[Schedules],
    kind: type[Reorder],
    examples: int,
    phases: Collection[Phase] = DEFAULT.phases,
) -> None:
    """Run the machine on buffers of this class."""
    name = f"{kind.__name__}{machine.__name__}"
    run_state_machine_as_test(
        type(name, (machine,), {"kind": kind}),
        settings=settings(DEFAULT, max_examples=examples, stateful_step_count=30, phases=phases),
    )


@pytest.mark.parametrize("machine", [Schedules, DoubtfulSchedules])
def test_schedules(machine: type[Schedules]) -> None:
    """The buffer would order, wait, count, believe or remember otherwise than its essay says."""
    assert DEFAULT is not None
    run(machine, Reorder, 4 * DEFAULT.max_examples)


def feed(buffer: Reorder, output: Published, frames: list[Frame], number: int) -> list[Gap]:
    """Have the buffer take in an entry, answer what it asks, and publish what comes out."""
    gaps: list[Gap] = []

    def publish() -> None:
        out = buffer.take()
        gaps.extend(item for item in out if isinstance(item, Gap))
        for item in flat(out):
            output.add(item, number)

    batch = Batch(b"%d-0" % number, number, number / 1000)
    buffer.begin(batch)
    for seq, frame in frames:
        if buffer.accept(seq, frame, batch):
            publish()
            buffer.judge(output.recall(buffer.echoes))
    buffer.settle(batch.now)
    publish()
    return gaps


def cut(draw: st.DrawFn, frames: list[Frame]) -> list[list[Frame]]:
    """Cut a list of frames into entries."""
    entries = []
    while frames:
        size = draw(st.integers(1, 20))
        entries.append(frames[:size])
        frames = frames[size:]
    return entries


@st.composite
def displaced(draw: st.DrawFn, *, numbering: int = 1, least: int = 1) -> list[Frame]:
    """Make frames 0, 1, … of which each comes a few places late at most, some of them twice."""
    count = draw(st.integers(least, 120))
    depth = draw(st.integers(0, 5))
    # Hypothesis would draw each delay by itself, slowly; a seed does as well here.
    rng = random.Random(draw(st.integers(0, 2**32)))
    arrivals = [(at + rng.randint(0, depth), at) for at in range(count)]
    arrivals += [(at + rng.randint(0, 30), rng.randrange(at + 1)) for at in range(0, count, 7)]
    return [(seq, b"%d:%d" % (numbering, seq)) for _, seq in sorted(arrivals)]


@given(st.data(), displaced(), st.sampled_from([0, 1, 10**12, 2**63 - 121]), st.booleans())
def test_sorts(data: st.DataObject, frames: list[Frame], first: int, told: bool) -> None:
    """A feed that only swaps and repeats would come out otherwise than sorted and complete."""
    shifted = [(first + seq, frame) for seq, frame in frames]
    if not told:
        # Whoever joins cannot know of a first id that comes after many others.
        shifted.sort(key=lambda frame: frame[0] != first)
    buffer = Reorder(
        timeout=FixedTimeout(None), capacity=1000, far=1000, first_id=first if told else None
    )
    output = Published()
    for number, entry in enumerate(data.draw(st.composite(cut)(shifted)), 1):
        assert not feed(buffer, output, entry, number)
    buffer.settle(1e9)
    for item in flat(buffer.take()):
        output.add(item, 0)
    assert list(output.frames.values()) == [b"1:%d" % seq for seq in range(len(set(frames)))]
    assert list(output.frames) == [(1, first + seq) for seq in range(len(set(frames)))]
    assert buffer.duplicates + buffer.held == len(frames) - len(set(frames))


@given(
    st.data(),
    st.lists(st.tuples(displaced(least=20), st.booleans(), st.integers(0, 12)), max_size=4),
    st.sampled_from([None, 0]),
)
def test_numberings(
    data: st.DataObject, numberings: list[tuple[list[Frame], bool, int]], first_id: int | None
) -> None:
    """A feed that begins anew would lose or mix frames, after a reconnect with replays, too."""
    buffer = Reorder(timeout=FixedTimeout(None), capacity=1000, far=1000, first_id=first_id)
    output = Published()
    number = 0
    expected = []
    for epoch, (frames, reconnected, again) in enumerate(numberings, 1):
        renamed = [(seq, b"%d:%d" % (epoch, seq)) for seq, _ in frames]
        expected += sorted({(epoch, seq): frame for seq, frame in renamed}.items())
        for entry in data.draw(st.composite(cut)(renamed)):
            number += 1
            assert not feed(buffer, output, entry, number)
        if reconnected:
            # The feed sends its last frames again, before it begins anew.
            buffer.reconnected()
            number += 1
            assert not feed(buffer, output, sorted(set(renamed))[-again - 1 :], number)
            buffer.reconnected()
    assert sorted(output.frames.items()) == expected
    assert buffer.epoch == max(1, len(numberings))


@given(
    st.lists(st.one_of(st.integers(1, 60), st.just("skip"), st.just("wait")), max_size=80),
    st.integers(1, 20),
)
def test_gaps_are_exactly_what_was_missing(steps: list[int | str], capacity: int) -> None:
    """A gap would hide a frame that was there, or a frame would be neither sent nor in a gap."""
    buffer = Reorder(timeout=FixedTimeout(0.005), capacity=capacity, far=100, first_id=1)
    output = Published(next=1)
    came: dict[int, int] = {}
    closed: dict[Gap, int] = {}
    for number, step in enumerate(steps, 1):
        if step == "skip":
            buffer.skip()
        entry = [(step, b"%d" % step)] if isinstance(step, int) else []
        if isinstance(step, int):
            came.setdefault(step, number)
        gaps = feed(buffer, output, entry, number if step != "wait" else number + 5)
        closed |= dict.fromkeys(gaps, number)
    assert output.next is not None
    for seq in range(1, output.next):
        [*around] = [gap for gap in closed if gap.first <= seq <= gap.last]
        if (1, seq) in output.frames:
            assert not around
        else:
            [gap] = around
            assert came.get(seq, len(steps) + 1) >= closed[gap]
    assert sum(gap.late for gap in closed) == buffer.late
    assert {gap for gap in closed if gap.late} == set(buffer.amended)


class Hasty(Reorder):
    """Does not wait."""

    def _ahead(self, seq: int, frame: bytes, batch: Batch) -> None:
        self._hold(seq, frame, batch)
        self._give_up(Cause.OPERATOR)
        self._out = [item for item in self._out if not isinstance(item, Gap)]


class Forgetful(Reorder):
    """Does not know what it has released."""

    def _behind(self, seq: int, frame: bytes, batch: Batch) -> bool:
        self._run.frames.append(frame)
        self._run.batches.append(batch)
        return False


class Rash(Reorder):
    """Takes whatever it has read for settled."""

    @property
    def checkpoint(self) -> bytes:
        return self._checkpoint._batches[-1].entry if self._checkpoint else super().checkpoint


class Secretive(Reorder):
    """Gives gaps up without a word."""

    def _give_up(self, cause: Cause) -> None:
        super()._give_up(cause)
        self._out = [item for item in self._out if not isinstance(item, Gap)]


class Credulous(Reorder):
    """Believes in every id."""

    def _is_far(self, seq: int) -> bool:
        return False


class Deaf(Reorder):
    """Never sees that a numbering begins anew."""

    def accept(self, seq: int, frame: bytes, batch: Batch) -> bool:
        super().accept(seq, frame, batch)
        return False


class Fickle(Reorder):
    """Prefers the later of two frames."""

    def _ahead(self, seq: int, frame: bytes, batch: Batch) -> None:
        if seq in self._held:
            self._held[seq] = (frame, self._held[seq][1])
        super()._ahead(seq, frame, batch)


class Shortsighted(Reorder):
    """Forgets how far it has come while nothing is held."""

    def _is_far(self, seq: int) -> bool:
        return seq - self._top > self.far


class Patient(Reorder):
    """Gives nothing up for want of room."""

    def settle(self, now: float) -> None:
        self.capacity, capacity = 10**9, self.capacity
        super().settle(now)
        self.capacity = capacity


class Nervous(Reorder):
    """Counts the waiting time from the first sign of a gap."""

    @property
    def deadline(self) -> float | None:
        if self._held and self.next is not None and self.timeout.seconds is not None:
            return self._gaps.oldest.opened + self.timeout.seconds
        return super().deadline


class Careless(Reorder):
    """Loses the frames by which it recognised a new numbering."""

    def _restart(self) -> None:
        for seq in list(self._echoes):
            self._settle_echo(seq)
        super()._restart()


@pytest.mark.parametrize(
    "kind",
    [
        Hasty, Forgetful, Rash, Secretive, Credulous, Deaf, Fickle, Shortsighted, Patient, Nervous,
        Careless,
    ],
)  # fmt: skip
def test_machine_finds(kind: type[Reorder]) -> None:
    """The schedules would not notice a buffer that does this."""
    with pytest.raises(Exception) as found:  # noqa: PT011 # broken buffers break in many ways
        run(DoubtfulSchedules, kind, 500, phases=[Phase.generate])
    assert not isinstance(found.value, InvalidArgument)
