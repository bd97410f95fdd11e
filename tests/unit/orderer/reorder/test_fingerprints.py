"""What is remembered of the frames that came out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orderer.reorder.fingerprints import Fingerprints
from orderer.reorder.limits import FINGERPRINTS, Limits
from relay import prints


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=60),
    st.sampled_from([0, 7, 10**12]),
)
def test_remembers_the_latest(least: int, stretches: list[tuple[int, int]], first: int) -> None:
    """A frame would be taken for another, or the latest be forgotten, or memory grow for ever."""
    fingerprints = Fingerprints(least)
    seq = first
    all_of_them: list[int] = []
    for gap, count in stretches:
        seq += gap
        frames = [b"%d" % (seq + at) for at in range(count)]
        fingerprints.extend(seq, prints.take(frames))
        all_of_them += range(seq, seq + count)
        seq += count
    known = [other for other in range(first - 2, seq + 3) if fingerprints.get(other) is not None]
    assert known == all_of_them[len(all_of_them) - len(known) :]
    assert min(least, len(all_of_them)) <= len(known) <= max(least, 5 * least // 4)
    assert len(fingerprints) == len(known)
    assert all(fingerprints.get(other) == prints.fingerprint(b"%d" % other) for other in known)


def test_a_jump_may_be_told_from_a_replay() -> None:
    """Ids within a jump of the next one would be forgotten, and a new numbering be dropped."""
    assert Limits(1, 1, 10, None).fingerprints == FINGERPRINTS
    assert Limits(1, 1, 10 * FINGERPRINTS, None).fingerprints == 10 * FINGERPRINTS
