"""What is on its way to an endpoint, and what a pong says about it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.window import (
    LEAST_SLICE,
    LEAST_WINDOW,
    MOST_WINDOW,
    QUICK,
    SLICES,
    SLOW,
    Confirmed,
    Window,
)

PATIENCE = 10.0


def entries(confirmed: Confirmed | None) -> list[bytes]:
    assert confirmed is not None
    return [sent.entry for sent in confirmed.sent]


def test_a_pong_confirms_what_was_sent_before_its_ping() -> None:
    """Messages sent behind the ping would be confirmed without having been read."""
    window = Window(PATIENCE)
    window.send(b"1-10", 10, 100, 0.0)
    window.send(b"1-15", 5, 50, 0.0)
    ping = window.ask(0.0)
    window.send(b"1-16", 1, 7, 0.0)
    confirmed = window.pong(ping, 0.1)
    assert entries(confirmed) == [b"1-10", b"1-15"]
    assert (window.messages, window.flight) == (1, 7)
    ping = window.ask(0.2)
    assert entries(window.pong(ping, 0.3)) == [b"1-16"]
    assert (window.messages, window.flight) == (0, 0)


def test_other_pongs_confirm_nothing() -> None:
    """A pong that nobody asked for, or an old one, would move the confirmed position."""
    window = Window(PATIENCE)
    assert window.pong(b"1", 0.0) is None
    window.send(b"1-10", 10, 100, 0.0)
    first = window.ask(0.0)
    assert window.pong(first, 0.0)
    assert window.pong(first, 0.0) is None
    window.send(b"1-11", 1, 10, 0.0)
    second = window.ask(0.0)
    for payload in (b"", b"0", b"7", b"-2", b"x", b"\xb2", first):
        assert window.pong(payload, 0.0) is None
    assert window.asking
    assert window.pong(second, 0.0)
    assert not window.asking


def test_a_later_pong_answers_too() -> None:
    """A peer that answers its latest ping only, as it may, would seem stuck."""
    window = Window(PATIENCE)
    window.send(b"1-10", 10, 100, 0.0)
    window.ask(0.0)
    later = window.send(b"1-99", 10, LEAST_SLICE, 0.0)
    assert later is not None
    assert entries(window.pong(later, 0.1)) == [b"1-10"]
    assert window.messages == 10


def test_pings_go_out_slice_by_slice() -> None:
    """A window that takes long to read would look like an endpoint that does not read."""
    window = Window(PATIENCE)
    pings = [window.send(b"", 1, window.slice // 4, 0.0) for _ in range(8)]
    assert [ping is not None for ping in pings] == [False, False, False, True] * 2
    window.send(b"", 1, window.slice - 1, 0.0)
    window.ask(0.0)
    assert window.send(b"", 1, 1, 0.0) is None


def test_stuck() -> None:
    """An endpoint that does not read would be waited for without end."""
    window = Window(PATIENCE)
    window.send(b"1-10", 10, 100, 0.0)
    assert window.patience(1000.0) > 0
    window.ask(1000.0)
    assert window.patience(1000.0) == PATIENCE
    assert window.patience(1000.0 + PATIENCE) <= 0
    assert window.messages == 10


def test_signs_of_life_extend_the_patience() -> None:
    """An endpoint that is merely slow would be dropped over and over."""
    window = Window(PATIENCE)
    pings = [window.send(b"", 1, LEAST_SLICE, 0.0) for _ in range(3)]
    answer = window.ask(0.0)
    for at, ping in enumerate(pings, 1):
        assert ping is not None
        assert window.pong(ping, 9.0 * at) is None
        assert window.patience(9.0 * at) == PATIENCE
        assert window.pong(ping, 9.0 * at + 5.0) is None
        assert window.patience(9.0 * at + 5.0) == PATIENCE - 5.0
    assert window.pong(answer, 36.0)
    assert window.patience(1e9) > 0


def test_the_window_follows_the_endpoint() -> None:
    """A slow endpoint would get more than it can read, or a quick one be held back."""
    window = Window(PATIENCE)

    def confirm(took: float) -> int:
        window.pong(window.ask(0.0), took)
        return window.size

    before = window.size
    assert confirm(0.9 * QUICK) == 2 * before
    assert confirm((QUICK + SLOW) / 2) == 2 * before
    assert confirm(1.1 * SLOW) == before
    for _ in range(20):
        size = confirm(0.0)
    assert size == MOST_WINDOW
    assert window.slice == MOST_WINDOW // SLICES
    for _ in range(20):
        size = confirm(2 * SLOW)
    assert size == LEAST_WINDOW
    for _ in range(20):
        size = confirm(0.3 * PATIENCE)
    assert size == LEAST_SLICE
    assert confirm(2 * SLOW) == LEAST_SLICE
    assert confirm(0.0) == 2 * LEAST_SLICE


def test_an_impatient_window_is_quicker_to_shrink() -> None:
    """With a short time-out, an endpoint would seem stuck before the window shrinks."""
    window = Window(stuck_timeout=0.4)
    for took, factor in ((0.02, 2.0), (0.03, 1.0), (0.11, 0.5)):
        before = window.size
        window.pong(window.ask(0.0), took)
        assert window.size == factor * before


@pytest.mark.parametrize(("size", "grows"), [(1, False), (LEAST_WINDOW // 4, True), (0, True)])
def test_little_does_not_tell_how_long_a_full_window_takes(size: int, grows: bool) -> None:
    """A slow endpoint's window would grow while little flows, and the next burst swamp it."""
    window = Window(PATIENCE)
    if size:
        window.send(b"1-1", 1, size, 0.0)
    window.pong(window.ask(0.0), 0.0)
    assert window.size == (2 * LEAST_WINDOW if grows else LEAST_WINDOW)


def test_full() -> None:
    """More than the window would be on its way, or nothing at all."""
    window = Window(PATIENCE)
    full = [window.full]
    for size in (LEAST_WINDOW - 1, 1):
        window.send(b"", 1, size, 0.0)
        full.append(window.full)
    window.pong(window.ask(0.0), SLOW)
    full.append(window.full)
    assert full == [False, False, True, False]


def test_part_of_an_entry_moves_no_position() -> None:
    """After a reconnect the rest of an entry would be left out."""
    window = Window(PATIENCE)
    window.send(b"1-10", 10, 100, 0.0)
    window.send(b"", 4, 40, 0.0)
    confirmed = window.pong(window.ask(0.0), 0.0)
    assert confirmed is not None
    assert confirmed[:2] == (b"1-10", 10)
    window.send(b"", 3, 30, 0.0)
    confirmed = window.pong(window.ask(0.0), 0.0)
    assert confirmed is not None
    assert confirmed[:2] == (b"", 0)
    window.send(b"1-20", 3, 30, 0.0)
    window.send(b"1-25", 5, 50, 0.0)
    confirmed = window.pong(window.ask(0.0), 0.0)
    assert confirmed is not None
    assert confirmed[:2] == (b"1-25", 15)


# What an endpoint and its session may do, in any order: messages and bytes of an entry, or of a
# part of one; a question; the pong for a ping by its place, counted from the latest; time.
steps = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 50), st.integers(1, 20_000), st.booleans()),
    st.tuples(st.just("ask")),
    st.tuples(st.just("pong"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([0.0625, 0.5, 2.0, 6.0])),
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(steps, max_size=80))
def test_nothing_is_confirmed_that_was_not_read(script: list[tuple[object, ...]]) -> None:
    """Messages would be lost with a connection, or sent again for ever.

    The model: the peer has read all that was sent before the latest ping that it answered.
    """
    window, now = Window(PATIENCE), 0.0
    sent: list[tuple[bytes, int, int]] = []
    pings: list[bytes] = []
    before: list[int] = []  # for each ping: how much was sent before it
    answered = asked = question = confirmed = saved = position = 0
    alive = 0.0

    def pinged(ping: bytes | None) -> None:
        if ping is not None:
            assert ping not in pings
            pings.append(ping)
            before.append(len(sent))

    def pong(ping: bytes) -> None:
        nonlocal alive, answered, confirmed, position, question, saved
        number = pings.index(ping) + 1
        result = window.pong(ping, now)
        if number <= answered:  # an old one
            assert result is None
            return
        answered, alive = number, now
        if not question or number < question:
            assert result is None
            return
        assert result is not None
        assert before[number - 1] >= asked
        assert [part[:3] for part in result.sent] == sent[confirmed:asked]
        question, confirmed = 0, asked
        whole = [at + 1 for at in range(saved, confirmed) if sent[at][0]]
        if whole:
            saved = whole[-1]
            position += result.advance
            assert result.entry == sent[saved - 1][0]
            assert position == sum(messages for _, messages, _ in sent[:saved])
        else:
            assert result[:2] == (b"", 0)

    for step in [*script, ("ask",), ("pong", 0)]:
        match step:
            case ("wait", float(seconds)):
                now += seconds
            case ("send", int(messages), int(size), bool(whole)):
                sent.append((b"1-%d" % len(sent) if whole else b"", messages, size))
                pinged(window.send(*sent[-1], now))
            case ("ask",) if not question:
                pinged(window.ask(now))
                question, asked, alive = len(pings), len(sent), now
            case ("pong", int(place)) if place < len(pings):
                pong(pings[-1 - place])
        assert window.asking == (question > 0)
        assert window.messages == sum(messages for _, messages, _ in sent[confirmed:])
        assert window.flight == sum(size for _, _, size in sent[confirmed:])
        assert LEAST_SLICE <= window.slice <= window.size <= MOST_WINDOW
        assert window.full == (window.flight >= window.size)
        if question:
            assert (window.patience(now) <= 0) == (now - alive >= PATIENCE)
        else:
            assert window.patience(now) > 0
    assert not window.asking
