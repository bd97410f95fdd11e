"""Negative controls: cores that are broken on purpose, which the schedules must find out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis.errors import InvalidArgument

from orderer.checkpoint import Checkpoint
from orderer.reorder.buffer import Buffer
from orderer.reorder.numbering import Numbering
from orderer.reorder.outliers import Outliers
from orderer.reorder.outputs import Batch, Cause, Gap, Origin
from orderer.reorder.probation import Probation, Waiting
from orderer.reorder.repeats import Repeats
from relay.entry import position
from tests.property.machines import DEFAULT, Restarts, run

Breakage = Callable[[pytest.MonkeyPatch], None]


def hasty(patch: pytest.MonkeyPatch) -> None:
    """Does not wait."""
    expire = Numbering.expire

    def impatient(self: Numbering, batch: Batch) -> bool:
        while self.buffer.held:
            self.give_up(Cause.OPERATOR)
        return expire(self, batch)

    patch.setattr(Numbering, "expire", impatient)


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """Does not know what it has released."""

    def behind(self: Numbering, seq: int, frame: bytes, batch: Batch, at: int) -> bool:
        self.buffer.run.frames.append(frame)
        self.buffer.run.batches.append(batch)
        return False

    patch.setattr(Numbering, "_behind", behind)


def rash(patch: pytest.MonkeyPatch) -> None:
    """Takes whatever was read for settled."""
    entry = Checkpoint.__dict__["entry"].fget

    def latest(self: Checkpoint[None]) -> bytes:
        return self._batches[-1][1] if len(self) else entry(self)

    patch.setattr(Checkpoint, "entry", property(latest))


def secretive(patch: pytest.MonkeyPatch) -> None:
    """Gives gaps up without a word."""
    give_up = Buffer.give_up

    def silent(self: Buffer, cause: Cause) -> Gap:
        gap = give_up(self, cause)
        self._out.remove(gap)
        return gap

    patch.setattr(Buffer, "give_up", silent)


def credulous(patch: pytest.MonkeyPatch) -> None:
    """Believes in every id."""
    patch.setattr(Buffer, "exceeds", lambda self, seq, distance: False)


def deaf(patch: pytest.MonkeyPatch) -> None:
    """Never sees that a numbering begins anew."""
    behind = Numbering._behind
    patch.setattr(Numbering, "_behind", lambda self, *frame: behind(self, *frame) and False)


def fickle(patch: pytest.MonkeyPatch) -> None:
    """Prefers the later of two frames."""
    ahead = Numbering._ahead

    def replacing(
        self: Numbering, seq: int, frame: bytes, batch: Batch, at: int, now: float
    ) -> bool:
        if seq in self.buffer.held:
            self.buffer.held[seq] = (frame, self.buffer.held[seq][1])
        return ahead(self, seq, frame, batch, at, now)

    patch.setattr(Numbering, "_ahead", replacing)


def shortsighted(patch: pytest.MonkeyPatch) -> None:
    """Forgets how far it has come while nothing is held."""
    patch.setattr(Buffer, "exceeds", lambda self, seq, distance: seq - self._top > distance)


def patient(patch: pytest.MonkeyPatch) -> None:
    """Gives nothing up for want of room."""
    patch.setattr(Numbering, "crowded", property(lambda self: False))


def nervous(patch: pytest.MonkeyPatch) -> None:
    """Counts the waiting time from the first sign of a gap."""
    deadline = Buffer.__dict__["deadline"].fget

    def early(self: Buffer) -> float:
        if not self.held:
            return float(deadline(self))
        return self._gaps.oldest.opened + self._timeout.seconds

    patch.setattr(Buffer, "deadline", property(early))


def careless(patch: pytest.MonkeyPatch) -> None:
    """Loses the frames by which it recognised a new numbering."""
    close = Numbering.close

    def dropping(self: Numbering) -> list[tuple[int, Waiting]]:
        self.settle_repeats()
        return close(self)

    patch.setattr(Numbering, "close", dropping)


def amnesiac(patch: pytest.MonkeyPatch) -> None:
    """Knows what was taken, but not what has just come out."""
    patch.setattr(Buffer, "published", property(lambda self: self._published))


def rereading(patch: pytest.MonkeyPatch) -> None:
    """Takes all from the first frame carried over on for the new epoch's."""

    def places(self: Origin, entry: bytes, frames: int) -> Sequence[int]:
        carried = [(position(place.entry), place.at) for place in self.carried]
        first = min(carried, default=(position(self.last.entry), self.last.at + 1))
        return [at for at in range(frames) if (position(entry), at) >= first]

    patch.setattr(Origin, "places", places)


def unpinned(patch: pytest.MonkeyPatch) -> None:
    """Forgets that an outlier is not settled."""
    suspect = Numbering._suspect

    def forgetting(
        self: Numbering, seq: int, frame: bytes, batch: Batch, at: int, now: float
    ) -> bool:
        anew = suspect(self, seq, frame, batch, at, now)
        batch.pins -= seq in self._outliers
        return anew

    patch.setattr(Numbering, "_suspect", forgetting)


def stale(patch: pytest.MonkeyPatch) -> None:
    """Counts the waiting time of frames carried over from when they came."""
    make = Numbering.__init__

    def old(self: Numbering, *args: Any, **settings: Any) -> None:
        make(self, *args, **settings | {"believed_at": 0.0})

    patch.setattr(Numbering, "__init__", old)


def crooked(patch: pytest.MonkeyPatch) -> None:
    """Believes ids to go on in order if the first, the last and the middle one fit."""

    def extend(self: Buffer, ids: list[int], frames: Sequence[bytes], batch: Batch) -> bool:
        first, count = self.next, len(ids)
        spots = (0, count // 2, count - 1) if count else ()
        if self.held or not count or any(ids[at] != first + at for at in spots):
            return False
        self.run.frames += frames
        self.run.batches += [batch] * count
        self.next = first + count
        return True

    patch.setattr(Buffer, "extend", extend)


def _as_if_new(patch: pytest.MonkeyPatch, kind: type, method: str, batch_at: int) -> None:
    """Have a method take batches that are read again for new ones."""
    wrapped = getattr(kind, method)

    def unknowing(self: Any, *args: Any) -> Any:
        batch = args[batch_at]
        replayed, batch.replayed = batch.replayed, False
        try:
            return wrapped(self, *args)
        finally:
            batch.replayed = replayed

    patch.setattr(kind, method, unknowing)


def suspicious(patch: pytest.MonkeyPatch) -> None:
    """Takes what it reads again after a crash for what the feed repeats."""
    _as_if_new(patch, Numbering, "_behind", 2)


def hurried(patch: pytest.MonkeyPatch) -> None:
    """Gives up, reading again, what was not given up the first time."""
    _as_if_new(patch, Numbering, "expire", 0)


def greedy(patch: pytest.MonkeyPatch) -> None:
    """Takes all repeats that stand in a row with a new numbering's frames for its own."""
    patch.setattr(
        Repeats, "proof", lambda self, row, published: [seq for seq in self if seq in row]
    )


def roomy(patch: pytest.MonkeyPatch) -> None:
    """Does not count what is on probation."""
    patch.setattr(Numbering, "crowded", Numbering.full)


def sceptical(patch: pytest.MonkeyPatch) -> None:
    """Never believes in the few frames of a feed that has fallen silent."""
    patch.setattr(Repeats, "alone", lambda self, taken, now: iter(()))


def gullible(patch: pytest.MonkeyPatch) -> None:
    """Believes in a single odd frame when nothing else comes."""

    def alone(self: Repeats, taken: int, now: float) -> Iterator[range]:
        return (range(seq, seq + 1) for seq in list(self) if self.silent(now))

    patch.setattr(Repeats, "alone", alone)


def ageless(patch: pytest.MonkeyPatch) -> None:
    """Lets a repeat stand in the way of another numbering's for as long as nothing comes."""
    patch.setattr(Repeats, "_is_due", Probation._is_due)


def mute(patch: pytest.MonkeyPatch) -> None:
    """Never believes in the few frames from far ahead that a feed has sent before a silence."""
    patch.setattr(Outliers, "alone", lambda self, max_jump, count, now: [])


CONTROLS: list[Breakage] = [
    hasty, forgetful, rash, secretive, credulous, deaf, fickle, shortsighted, patient, nervous,
    careless, amnesiac, rereading, unpinned, stale, crooked, suspicious, hurried, greedy,
    roomy, sceptical, gullible, ageless, mute,
]  # fmt: skip


@pytest.mark.parametrize("breakage", CONTROLS, ids=[control.__name__ for control in CONTROLS])
def test_schedules_find(breakage: Breakage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedules would not notice a core that does this."""
    breakage(monkeypatch)
    with pytest.raises(Exception) as found:  # noqa: PT011 # broken cores break in many ways
        run(Restarts, 10 * DEFAULT.max_examples, phases=[Phase.generate])
    assert not isinstance(found.value, InvalidArgument)
