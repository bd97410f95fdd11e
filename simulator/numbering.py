"""Which message carries which id and text.

A message is known by its *ordinal*: 0 for the first that the feed makes, then 1, 2, … and never
again from the beginning. Its id starts at `first_id` and restarts there after `length`
messages, which begins the next *generation*. Its text is a hash of seed, generation and id,
so that a checker can verify a message without having kept it, and can tell which generation
it belongs to: with a prime P and 0 < STEP < P,

    text = (id · MULTIPLIER + salt + generation · STEP) mod P

has exactly one generation below P that fits a given id and text.
"""

from __future__ import annotations

from chassis import clock

PRIME = 2**31 - 1
MULTIPLIER = 1_220_703_125
STEP = 742_938_285
_INVERSE = pow(STEP, -1, PRIME)

LAST_ID = 2**63 - 1
"""The highest id a feed may use; the numbers end there."""

NEVER = 1 << 100
"""A place that no feed reaches."""


class Numbering:
    """Map ordinals to ids and texts and back. `restart_every` = 0: one generation only."""

    def __init__(self, seed: int, first_id: int, restart_every: int) -> None:
        self.first_id = first_id
        room = LAST_ID - first_id + 1
        self.length = min(restart_every, room) if restart_every else 0
        self.limit = NEVER if restart_every else room
        """Ordinals that there can be at all."""
        self._salt = clock.Dice(seed).randrange(PRIME)

    def locate(self, ordinal: int) -> tuple[int, int]:
        """Tell the generation and the id of an ordinal."""
        if not self.length:
            return 0, self.first_id + ordinal
        generation, offset = divmod(ordinal, self.length)
        return generation, self.first_id + offset

    def generation_end(self, ordinal: int) -> int:
        """Tell the ordinal that begins the next generation after that of `ordinal`."""
        return (ordinal // self.length + 1) * self.length if self.length else NEVER

    def salt(self, generation: int) -> int:
        """Tell what is added to `id · MULTIPLIER` in a generation."""
        return (self._salt + generation * STEP) % PRIME

    def frames(self, start: int, stop: int) -> list[bytes]:
        """Make the frames of the ordinals from `start` to below `stop`, all of one generation."""
        generation, first = self.locate(start)
        salt, prime, multiplier = self.salt(generation), PRIME, MULTIPLIER
        return [
            b'{"id":%d,"text":%d}' % (id, (id * multiplier + salt) % prime)
            for id in range(first, first + stop - start)
        ]

    def texts(self, generation: int, ids: list[int]) -> list[int]:
        """Compute the texts that belong to `ids`."""
        salt, prime, multiplier = self.salt(generation), PRIME, MULTIPLIER
        return [(id * multiplier + salt) % prime for id in ids]

    def ordinal(self, id: int, text: int) -> int | None:
        """Tell the ordinal of the message with this id and text; None if there cannot be one.

        An altered text or id is either found out here or gives an ordinal so high that the
        feed has not come that far (but for one chance in 2³¹ per generation so far).
        """
        offset = id - self.first_id
        if offset < 0 or not 0 <= text < PRIME:
            return None
        generation = (text - id * MULTIPLIER - self._salt) * _INVERSE % PRIME
        if self.length:
            return generation * self.length + offset if offset < self.length else None
        return offset if generation == 0 and offset < self.limit else None

    def includes(self, id: int, ordinals: int) -> bool:
        """Tell whether `id` is among the ids of the first `ordinals` messages."""
        if self.length:
            ordinals = min(ordinals, self.length)
        return 0 <= id - self.first_id < ordinals
