"""How long to stay away from who does not want us."""

from __future__ import annotations

import pytest

from relay.pauses import FIRST, LONGEST, LONGEST_ASKED, Ending, Pauses

NOW = 1_900_000_000.0


@pytest.mark.parametrize(
    "ending",
    [
        Ending(status=401),
        Ending(status=403),
        Ending(status=400, fruitful=False),
        Ending(code=1008),
        Ending(code=4004),
        Ending(code=3000),
        Ending(code=1003),
    ],
)
def test_a_no_makes_the_pause_grow(ending: Ending) -> None:
    """A feed would be hammered with what it does not want, and lock us out."""
    pauses = Pauses()
    waits = [pauses.after(ending, NOW) for _ in range(20)]
    assert waits[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert waits[-1] == LONGEST
    assert pauses.refusals == 20
    assert pauses.after(Ending(code=1006, fruitful=True), NOW) == 0
    assert pauses.after(ending, NOW) == FIRST


@pytest.mark.parametrize(
    "ending",
    [
        Ending(),
        Ending(status=500),
        Ending(status=503),
        Ending(status=429),
        Ending(code=1000),
        Ending(code=1001),
        Ending(code=1006),
        Ending(code=1011),
        Ending(code=1012),
        Ending(code=1008, fruitful=True),  # a slow consumer, say
        Ending(code=4004, fruitful=True),
    ],
)
def test_what_breaks_is_made_anew(ending: Ending) -> None:
    """A feed would be left alone for minutes after it was restarted."""
    pauses = Pauses()
    assert [pauses.after(ending, NOW) for _ in range(5)] == [0] * 5
    assert pauses.refusals == 0


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999999999", LONGEST_ASKED),
        ("Sun, 17 Mar 2030 17:47:10 GMT", 30.0),
        ("Sun, 17 Mar 2030 17:00:00 GMT", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("١", 0.0),
        ("Sun, 99 Mar 9999 99:99:99 GMT", 0.0),
    ],
)
def test_what_a_peer_asks_for(said: str, wait: float) -> None:
    """A peer that says when to come back would be asked before, or never again."""
    assert Pauses().after(Ending(status=503, retry_after=said), NOW) == wait


def test_the_longer_one_counts() -> None:
    """A peer that says no would be asked again sooner for naming a second."""
    pauses = Pauses()
    for _ in range(5):
        pauses.after(Ending(status=403), NOW)
    assert pauses.after(Ending(status=403, retry_after="1"), NOW) == 32 * FIRST
    assert pauses.after(Ending(status=403, retry_after="900"), NOW) == 900
