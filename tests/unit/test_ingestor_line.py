"""Frames cut into entries, and what is said of errors."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.line import BATCH_BYTES, BATCH_FRAMES, NAMES, _cut, _words


@settings(deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 10, BATCH_BYTES // 3, BATCH_BYTES, BATCH_BYTES + 1]),
            st.sampled_from([1, 2, 3, BATCH_FRAMES]),
        ),
        max_size=6,
    )
)
def test_cut(stretches: list[tuple[int, int]]) -> None:
    """Frames would be lost where a batch is cut, or a batch be too large for Redis."""
    shared = {size: bytes(size) for size, _ in stretches}
    frames = [
        shared[size]
        for size, count in stretches
        for _ in range(count if size <= 10 else min(count, 3))
    ]
    start = 0
    while start < len(frames):
        batch = _cut(frames, start)
        assert batch
        assert batch == frames[start : start + len(batch)]
        assert len(batch) <= BATCH_FRAMES
        assert len(batch) == 1 or sum(map(len, batch)) <= BATCH_BYTES
        start += len(batch)
        following = frames[start : start + 1]
        # No batch is smaller than it must be.
        assert (
            not following
            or len(batch) == BATCH_FRAMES
            or sum(map(len, batch)) + len(following[0]) > BATCH_BYTES
        )
    assert start == len(frames)


def test_names_of_the_fields() -> None:
    """Two frames of a batch would have the same name, and one of them be lost."""
    assert [b"%d" % at for at in range(BATCH_FRAMES)] == NAMES


def test_words_for_errors() -> None:
    """An error without a text would be logged as nothing."""
    assert _words(OSError("refused")) == "refused"
    assert _words(TimeoutError()) == "TimeoutError"
