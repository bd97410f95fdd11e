"""The reordering buffer once more, as plainly as can be: the model that `Reorder` is held to.

It is written from the essays in `orderer/reorder.py` and `orderer/probation.py`, keeps sets, lists
and dictionaries, and looks everything up anew each time. No heap, no bisection, no cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orderer.runs import Batch

PATIENCE = 12
MOST_ECHOES = 9
QUIET = 6
SETTLED = 6
PROOF = 5
PROOF_AFTER_RECONNECT = 2
SETTLING = 1.0
"""The constants of the same names, some of them small, so that short schedules reach them."""


class Waiting(NamedTuple):
    """A frame that is held or on probation; `came` is the count of frames before it."""

    frame: bytes
    batch: Batch
    came: int


@dataclass
class Hole:
    """Ids `first` … `end − 1`, opened by the frame `end`."""

    first: int
    end: int
    opened: float
    since: int


Out = tuple[object, ...]
"""("frame", epoch, id, bytes, entry), ("gap", epoch, first, last, cause, since), or
("epoch", epoch, next)."""


class Plain:
    """A buffer with the behaviour of `Reorder` and none of its speed."""

    def __init__(
        self,
        seconds: float | None,
        capacity: int,
        far: int,
        first_id: int | None,
        epoch: int = 1,
        next: int | None = None,
        given_up: list[tuple[int, int]] | None = None,
    ) -> None:
        self.seconds, self.capacity, self.far, self.first_id = seconds, capacity, far, first_id
        self.epoch = epoch
        self.next = next if next is not None else first_id
        self.given_up = list(given_up or [])
        self.held: dict[int, Waiting] = {}
        self.echoes: dict[int, Waiting] = {}
        self.strays: dict[int, Waiting] = {}
        self.holes: list[Hole] = []
        self.out: list[Out] = []
        self.fates = {"duplicate": 0, "late": 0, "stray": 0}
        self.looking_since: Batch | None = None
        self.ordinary = 0
        self.repeats = 0
        self.edge = 0.0
        self.quiet = 0
        self.replayed = 0
        self.proof = PROOF
        self.reconnected_at: int | None = None
        self.row: list[int] = []
        if next is None:
            self.below_first()

    def below_first(self) -> None:
        if self.next:
            self.given_up.append((0, self.next - 1))

    @property
    def top(self) -> int:
        assert self.next is not None
        return max([self.next - 1, *self.held])

    # Frames in

    def reconnected(self) -> None:
        if self.next is not None:
            self.quiet = 0
            self.proof = PROOF_AFTER_RECONNECT
            self.reconnected_at = self.ordinary

    def accept(self, seq: int, frame: bytes, batch: Batch) -> bool:
        if self.next is None:
            self.look(seq, frame, batch)
        elif seq < self.next:
            return self.behind(seq, frame, batch)
        elif seq in self.held or (seq in self.strays and seq != self.next):
            self.repeats += 1
            self.fates["duplicate"] += 1
        elif seq > self.top + self.far:
            self.stray(seq, frame, batch)
        else:
            self.hold(seq, frame, batch)
        return False

    def hold(self, seq: int, frame: bytes, batch: Batch) -> None:
        waited = bool(self.held)
        if seq > self.top + 1:
            self.holes.append(Hole(self.top + 1, seq, batch.now, batch.time))
        self.held[seq] = Waiting(frame, batch, 0)
        self.ordinary += 1
        self.release(waited)

    def release(self, waited: bool) -> None:
        assert self.next is not None
        while self.next in self.held:
            frame, batch, _ = self.held.pop(self.next)
            self.out.append(("frame", self.epoch, self.next, frame, batch.entry))
            self.next += 1
            if waited:
                self.edge = batch.now
        self.holes = [hole for hole in self.holes if hole.end >= self.next]

    # When to stop waiting

    @property
    def deadline(self) -> float | None:
        if self.looking_since is not None:
            return self.looking_since.now + SETTLING
        if self.seconds is None or not self.held:
            return None
        return max(self.edge, self.held[min(self.held)].batch.now) + self.seconds

    @property
    def gaps(self) -> list[tuple[int, int, float, int]]:
        if self.next is None:
            return []
        return [
            (max(hole.first, self.next), hole.end - 1, hole.opened, hole.since)
            for hole in self.holes
            if any(seq not in self.held for seq in range(max(hole.first, self.next), hole.end))
        ]

    def settle(self, now: float) -> None:
        if self.next is None and self.deadline is not None and self.deadline <= now:
            self.found_first()
        if self.next is None:
            return
        self.end_probation()
        while self.deadline is not None and self.deadline <= now:
            self.give_up("timeout")
        while self.seconds is not None and len(self.held) > self.capacity:
            self.give_up("capacity")

    def give_up(self, cause: str) -> None:
        assert self.next is not None
        first, end = self.next, min(self.held)
        [hole] = [hole for hole in self.holes if hole.first <= first < hole.end]
        self.out.append(("gap", self.epoch, first, end - 1, cause, hole.since))
        self.given_up.append((first, end - 1))
        self.next = end
        self.release(True)

    def skip(self) -> None:
        if self.looking_since is not None:
            self.found_first()
        elif self.held:
            self.give_up("operator")

    # Whom to believe

    def stray(self, seq: int, frame: bytes, batch: Batch) -> None:
        now = self.ordinary + self.repeats
        self.strays[seq] = Waiting(frame, batch, now)
        believed = [other for other, stray in self.strays.items() if stray.came == now]
        if len(believed) < PROOF:
            believed = [other for other in self.strays if abs(other - seq) <= self.far]
        if len(believed) < PROOF:
            return
        for other in sorted(believed):
            stray = self.strays.pop(other)
            if other > self.top + self.far:
                self.hold(other, stray.frame, stray.batch)
            else:
                self.accept(other, stray.frame, stray.batch)

    def behind(self, seq: int, frame: bytes, batch: Batch) -> bool:
        assert self.next is not None
        self.repeats += 1
        if batch.replayed:
            self.edge = batch.now
        if self.is_given_up(seq) and self.next - seq <= self.far:
            self.fates["late"] += 1
            return False
        if seq in self.echoes and self.echoes[seq].frame == frame:
            self.fates["duplicate"] += 1
            return False
        if seq in self.echoes:
            self.settle_echo(seq)
        if self.ordinary != self.reconnected_at:
            self.proof = PROOF
        self.echoes[seq] = Waiting(frame, batch, self.ordinary)
        if len(self.echoes) > MOST_ECHOES:
            self.settle_echo(next(iter(self.echoes)))
        if self.quiet and self.replayed < seq <= self.replayed + QUIET:
            self.quiet -= 1
            return False
        low = high = seq
        while low - 1 in self.echoes and seq - low < self.proof:
            low -= 1
        while high + 1 in self.echoes and high - low < self.proof:
            high += 1
        self.row = list(range(low, high + 1))
        return len(self.row) >= self.proof

    def is_given_up(self, seq: int) -> bool:
        return any(first <= seq <= last for first, last in self.given_up)

    def settle_echo(self, seq: int) -> None:
        del self.echoes[seq]
        self.fates["late" if self.is_given_up(seq) else "duplicate"] += 1

    def judge(self, known: dict[int, bytes]) -> bool:
        assert self.next is not None
        row = self.row
        if any(seq in known for seq in row):
            anew = any(self.echoes[seq].frame != known[seq] for seq in row if seq in known)
        else:
            anew = (
                self.next - row[-1] > self.far
                and (self.first_id is None or row[-1] >= self.first_id)
                and not any(self.echoes[seq].batch.replayed for seq in row)
            )
        if not anew:
            self.quiet = QUIET
            self.replayed = row[-1]
        for seq in list(self.echoes):
            if not anew or (seq in known and known[seq] == self.echoes[seq].frame):
                self.settle_echo(seq)
        if anew:
            self.restart()
        return anew

    def reset(self) -> None:
        for seq in list(self.echoes):
            self.settle_echo(seq)
        self.restart()

    def restart(self) -> None:
        if self.next is None:
            self.found_first()
        while self.held:
            self.give_up("reset")
        self.fates["stray"] += len(self.strays)
        carried = self.echoes
        self.echoes, self.strays, self.given_up, self.holes = {}, {}, [], []
        self.quiet = 0
        self.proof = PROOF
        self.epoch += 1
        self.next = self.first_id
        self.out.append(("epoch", self.epoch, self.next))
        self.below_first()
        for seq, echo in carried.items():
            self.accept(seq, echo.frame, echo.batch)

    def end_probation(self) -> None:
        for seq, echo in list(self.echoes.items()):
            if self.ordinary - echo.came >= PATIENCE:
                self.settle_echo(seq)
        frames = self.ordinary + self.repeats
        for seq, stray in list(self.strays.items()):
            if seq <= self.top + self.far:
                del self.strays[seq]
                self.accept(seq, stray.frame, stray.batch)
            elif frames - stray.came >= PATIENCE:
                del self.strays[seq]
                self.fates["stray"] += 1

    # The first id

    def look(self, seq: int, frame: bytes, batch: Batch) -> None:
        if self.looking_since is None:
            self.looking_since = batch
        if seq in self.held:
            self.fates["duplicate"] += 1
            return
        self.held[seq] = Waiting(frame, batch, 0)
        lowest = min(self.held)
        in_a_row = all(seq in self.held for seq in range(lowest, lowest + SETTLED))
        if lowest == 0 or in_a_row or len(self.held) > self.capacity:
            self.found_first()

    def found_first(self) -> None:
        held, self.held = self.held, {}
        self.looking_since = None
        self.next = min(held, default=0)
        self.below_first()
        for seq in sorted(held):
            self.accept(seq, held[seq].frame, held[seq].batch)

    # Looking in

    @property
    def pinned(self) -> list[Batch]:
        return [
            item.batch for part in (self.held, self.echoes, self.strays) for item in part.values()
        ]
