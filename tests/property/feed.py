"""A feed that can do everything wrong, move by move."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from tests.property.schedule import Event, Frame

Move = tuple[str, int, int]
"""What it does; which ids, and how many, in a way that fits it."""

ORDINARY = ("order", "order", "ahead", "ahead", "overtaken", "overtaken", "swap", "lost", "again")
DOUBTFUL = ("altered", "stray", "wild", "jump", "anew", "below", "odd")

LATER = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 1.75, 3.0])
"""Seconds between entries; they add up without rounding."""

EVENTS = [event for event in get_args(Event) if event]


class Feed:
    """The frames tell their numbering and id, but for those that are the same in each numbering."""

    def __init__(self, first: int, max_jump: int, bland: int = 0) -> None:
        """Begin with the id `first`; each `bland`th frame has the same bytes in all numberings."""
        self.numbering = 1
        self.next = self.first = first
        self.max_jump = max_jump
        self.bland = bland
        self.skipped: list[int] = []
        self.sent: list[Frame] = []

    def frame(self, seq: int, mark: bytes = b"") -> Frame:
        same = self.bland and seq % self.bland == 0
        return seq, b"%d:%d%s" % (0 if same else self.numbering, seq, mark)

    def move(self, move: Move) -> list[Frame]:
        """Make one move."""
        kind, a, b = move
        frames: list[Frame] = []
        if kind == "ahead":
            frames = [self.ahead(a + 1)]
        elif kind == "overtaken" and self.skipped:
            at = a % len(self.skipped)
            frames = [self.frame(seq) for seq in self.skipped[at : at + b]]
            del self.skipped[at : at + b]
        elif kind == "swap":
            frames = self.in_order(b + 2)
            frames[1], frames[-2] = frames[-2], frames[1]
        elif kind == "lost" and self.skipped:
            del self.skipped[a % len(self.skipped)]
        elif kind == "again" and self.sent:
            at = max(0, len(self.sent) - 1 - a)
            frames = self.sent[at : at + b]
        elif kind == "altered" and self.sent:
            seq, frame = self.sent[-1 - a % len(self.sent)]
            frames = [(seq, frame + b"!")]
        elif kind == "odd":
            frames = [self.frame(max(0, self.next - 4 * a - 1), b"?")]
        elif kind == "stray":
            frames = [self.frame(self.next + self.max_jump * b + a)]
        elif kind == "wild":
            frames = [self.frame(10**6 * b + a)]
        elif kind == "jump":
            self.next += self.max_jump + a
            frames = self.in_order(b)
        elif kind == "anew":
            self.begin_anew(a)
            frames = self.in_order(b)
        elif kind == "below":
            lowest = max(0, self.first - 1 - 2 * a)
            frames = [self.frame(seq) for seq in range(lowest, min(lowest + b, self.first))]
        else:
            frames = self.in_order(b)
        self.sent += [frame for frame in frames if kind not in ("odd", "stray", "wild", "below")]
        return frames

    def in_order(self, count: int) -> list[Frame]:
        """Send the next frames."""
        self.next += count
        return [self.frame(seq) for seq in range(self.next - count, self.next)]

    def ahead(self, steps: int) -> Frame:
        """Send a frame before those below it."""
        self.skip(steps)
        self.next += 1
        return self.frame(self.next - 1)

    def skip(self, steps: int) -> None:
        """Let the next frames be overtaken."""
        self.skipped += range(self.next, self.next + steps)
        self.next += steps

    def begin_anew(self, first: int) -> None:
        """Begin another numbering."""
        self.numbering += 1
        self.next = self.first = first
        self.skipped = []
        self.sent = []


def moves(*kinds: str) -> st.SearchStrategy[list[Move]]:
    """Make the few moves of an entry, of these kinds; none stands for an entry without frames."""
    counts = st.sampled_from([1, 1, 1, 2, 3, 5, 7])
    move = st.tuples(st.sampled_from(kinds), st.integers(0, 12), counts)
    return st.lists(move, max_size=5)
