"""The gaps that are waited for."""

from __future__ import annotations

from orderer.reorder.gaps import OpenGap, OpenGaps


def test_next_held() -> None:
    """The hole at the next id would end at a frame that is not the lowest held one."""
    gap = OpenGap(10, 20, 0.0, 0)
    assert gap.next_held(10) == 20
    for seq in (17, 13, 15):
        gap.fill(seq)
    assert [gap.next_held(seq) for seq in (10, 13, 14, 16, 18)] == [13, 13, 15, 17, 20]


def test_missing() -> None:
    """A gap in which all have come would still be shown as one."""
    gap = OpenGap(10, 12, 0.0, 0)
    assert gap.missing == 2
    gap.fill(11)
    gap.fill(10)
    assert gap.missing == 0


def test_around() -> None:
    """A late frame would be counted with the wrong gap."""
    gaps = OpenGaps()
    for first in range(0, 1000, 10):
        gaps.open(first, first + 5, first / 10, first)
    for seq in (0, 4, 500, 504, 994):
        assert gaps.around(seq).first == seq // 10 * 10
    gaps.passed(496)
    assert gaps.oldest.first == 500
    assert gaps.around(504).first == 500


def test_passed() -> None:
    """Gaps that are over would be kept for ever, or one that is not be dropped."""
    gaps = OpenGaps()
    for first in range(0, 1000, 10):
        gaps.open(first, first + 5, 0.0, 0)
    for seq in range(995):
        gaps.passed(seq)
        assert gaps.oldest.end >= seq
    assert len(gaps._gaps) < 64


def test_listed() -> None:
    """What is waited for would be shown wrongly: the part that is over, or what has come."""
    gaps = OpenGaps()
    for at, first in enumerate((10, 20, 30)):
        gaps.open(first, first + 2, float(at), at)
    gaps.around(20).fill(20)
    gaps.around(20).fill(21)
    assert gaps.listed(11) == [(11, 11, 0.0, 0), (30, 31, 2.0, 2)]


def test_began() -> None:
    """Gaps of frames that had waited unbelieved would be older than the belief, or younger."""
    gaps = OpenGaps()
    gaps.open(10, 12, 1.0, 0)
    gaps.open(20, 22, 7.0, 0)
    gaps.began(5.0)
    assert [gap.opened for gap in gaps.listed(10)] == [5.0, 7.0]
