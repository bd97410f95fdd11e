"""Sessions side by side do what the plain model does, whatever their clients send."""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.property.wisdom_plain import Plain
from wisdom import protocol
from wisdom.protocol import ERRORS, Event, Refused, Session, read

CLIENTS = 3
IDS = [str(uuid.UUID(int=number, version=4)) for number in range(0xABC, 0xABC + CLIENTS)]
STRANGER = str(uuid.UUID(int=0xDEF, version=4))

DEFAULT = settings.default
assert DEFAULT is not None


def outcome(data: bytes) -> str:
    """Say in a word what the server has sent."""
    said: Any = json.loads(data)
    match said:
        case {"type": "subscribe_confirmation", "payload": {"status": "ok"}}:
            return "ok"
        case {"type": "wisdom_distribution", "payload": {"message": str(quote)}}:
            return f"quote {quote}"
        case {"type": "error", "payload": {"code": str(code)}}:
            return code
    return str(said)


class Hall:
    """Some sessions, and what the server does with them: all that is not sockets."""

    def __init__(self, now: float) -> None:
        self.sessions = [Session(now, id) for id in IDS]
        self.inboxes: list[list[str]] = [[] for _ in IDS]
        """What each client got, in words."""

    def hear(self, client: int, data: bytes, now: float) -> None:
        """Take in what came through the connection of `client`."""
        session = self.sessions[client]
        if session.closed:
            return
        try:
            answer = session.take(read(data, session.id), now)
        except Refused as refused:
            answer = protocol.error(refused.code)
        except UnicodeDecodeError:
            self.inboxes[client].append("1007")
            return
        if answer is not None:
            self.inboxes[client].append(outcome(answer))

    def publish(self, quote: str) -> None:
        """Bring a quote to whoever is to have it."""
        for session, inbox in zip(self.sessions, self.inboxes, strict=True):
            if session.subscribed:
                inbox.append(outcome(protocol.wisdom_distribution(quote)))


# What may happen -------------------------------------------------------------------------------


class Said(NamedTuple):
    """A client sends an event with its own id (`whose` 0), another's (1, 2) or nobody's (3)."""

    client: int
    event: str
    whose: int
    upper: bool


class Noise(NamedTuple):
    """A client sends something that is no event."""

    client: int
    data: bytes
    code: str


class Quote(NamedTuple):
    """A quote is published."""

    text: str


class Wait(NamedTuple):
    """Time passes, in half seconds: such numbers add up exactly."""

    halves: int


def message(event: object, id: object) -> bytes:
    return json.dumps({"type": event, "payload": {"id": id}}).encode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
events = st.sampled_from([str(event) for event in Event])
no_events = st.text(max_size=12).filter(lambda text: text not in list(Event))
no_ids = json_values | st.sampled_from([IDS[0][:-1], IDS[0].replace("-", ""), f"{{{IDS[0]}}}"])

noises = st.one_of(
    st.tuples(st.binary(max_size=30).map(lambda data: b"\xff" + data), st.just("1007")),
    st.tuples(st.text(max_size=30).map(lambda text: f"[{text}".encode()), st.just("malformed")),
    st.tuples(json_values.map(lambda value: json.dumps(value).encode()), st.just("malformed")),
    st.tuples(st.builds(message, no_events, st.sampled_from(IDS)), st.just("unknown_type")),
    st.tuples(st.builds(message, events, no_ids), st.just("bad_id")),
    st.tuples(st.just(message("subscribe", IDS[0]) + b" " * 4096), st.just("too_long")),
)

clients = st.integers(0, CLIENTS - 1)
# Goodbyes are rare, or there would be nobody left to whom anything could happen.
usual = st.sampled_from(["connect", "subscribe", "subscribe", "unsubscribe", "ping"] * 4)
moves = st.one_of(
    st.builds(Said, clients, usual | events, st.just(0), st.booleans()),
    st.builds(Said, clients, usual, st.just(0), st.booleans()),
    st.builds(Said, clients, events, st.integers(1, CLIENTS), st.booleans()),
    st.builds(lambda client, noise: Noise(client, *noise), clients, noises),
    st.builds(Quote, st.text(max_size=10)),
    st.builds(Wait, st.sampled_from([1, 9, 10, 29, 30, 31])),
)
# Lists of lists, for Hypothesis seldom makes one list long, and shrinks one badly that must be.
scripts = st.lists(st.lists(moves, min_size=5, max_size=25), max_size=10).map(
    lambda parts: [move for part in parts for move in part]
)


def check(kind: type[Hall], script: list[Said | Noise | Quote | Wait], began: float) -> None:
    """Play a script to a hall and to the model; they must agree after every move."""
    now = began
    hall = kind(now)
    model = [Plain(now) for _ in IDS]
    expected: list[list[str]] = [[] for _ in IDS]
    for move in script:
        match move:
            case Said(client, event, whose, upper):
                id = STRANGER if whose == CLIENTS else IDS[(client + whose) % CLIENTS]
                hall.hear(client, message(event, id.upper() if upper else id), now)
                if not model[client].gone:
                    answer = "wrong_id" if whose else model[client].hear(event, now)
                    expected[client] += [answer] if answer else []
            case Noise(client, data, code):
                hall.hear(client, data, now)
                expected[client] += [] if model[client].gone else [code]
            case Quote(text):
                hall.publish(text)
                for plain, inbox in zip(model, expected, strict=True):
                    inbox += [f"quote {text}"] if plain.subscribed else []
            case Wait(halves):
                now += halves / 2
        assert hall.inboxes == expected
        for session, plain in zip(hall.sessions, model, strict=True):
            assert session.subscribed == plain.subscribed
            assert session.closed == plain.gone
            assert session.silent(now) == plain.silent(now)


@given(scripts, st.integers(0, 10**6).map(float))
def test_sessions_side_by_side(script: list[Said | Noise | Quote | Wait], began: float) -> None:
    """A client could act on another's session, or get quotes without or after its subscription."""
    check(Hall, script, began)


# The same check on halls that are broken on purpose --------------------------------------------


class ByPayload(Hall):
    """Looks the session up by the id in the message."""

    def hear(self, client: int, data: bytes, now: float) -> None:
        for other, session in enumerate(self.sessions):
            if session.id.encode() in data.lower():
                client = other
        super().hear(client, data, now)


class Sticky(Hall):
    """Keeps delivering to whoever was subscribed once."""

    def publish(self, quote: str) -> None:
        for session, inbox in zip(self.sessions, self.inboxes, strict=True):
            if "ok" in inbox and not session.closed:
                inbox.append(outcome(protocol.wisdom_distribution(quote)))


class Eager(Hall):
    """Delivers to whoever is connected."""

    def publish(self, quote: str) -> None:
        for session, inbox in zip(self.sessions, self.inboxes, strict=True):
            if session.state in (protocol.State.CONNECTED, protocol.State.SUBSCRIBED):
                inbox.append(outcome(protocol.wisdom_distribution(quote)))


class Lenient(Hall):
    """Takes everything for a sign of life."""

    def hear(self, client: int, data: bytes, now: float) -> None:
        super().hear(client, data, now)
        self.sessions[client].pinged = now


class Touchy(Hall):
    """Ends the session at an error."""

    def hear(self, client: int, data: bytes, now: float) -> None:
        super().hear(client, data, now)
        if self.inboxes[client] and self.inboxes[client][-1] in ERRORS:
            self.sessions[client].state = protocol.State.CLOSED


@pytest.mark.parametrize("kind", [ByPayload, Sticky, Eager, Lenient, Touchy])
def test_the_check_finds_it(kind: type[Hall]) -> None:
    """The check above would pass over a hall that breaks its promises."""

    @settings(DEFAULT, max_examples=500, phases=[Phase.generate])
    @given(scripts)
    def play(script: list[Said | Noise | Quote | Wait]) -> None:
        check(kind, script, 0.0)

    with pytest.raises(AssertionError):
        play()


# Reading ---------------------------------------------------------------------------------------


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """Make an event in which some bytes have been replaced, dropped or put in."""
    data = bytearray(message(draw(events), draw(st.sampled_from([IDS[0], IDS[1].upper()]))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


nested = st.builds(
    lambda opening, depth, rest: opening * depth + rest,
    st.sampled_from([b"[", b'{"type":', b'{"payload":{"id":']),
    st.integers(0, 5000),
    st.binary(max_size=5),
)


@given(st.binary(max_size=300) | json_values.map(lambda it: json.dumps(it).encode()) | altered())
def test_whatever_is_sent_is_an_event_or_refused(data: bytes) -> None:
    """A client could break the server with what it sends, or pass with another's id."""
    try:
        event = read(data, IDS[0])
    except UnicodeDecodeError:
        return
    except Refused as refused:
        protocol.error(refused.code)
        return
    parsed: Any = json.loads(data)
    assert (parsed["type"], parsed["payload"]["id"].lower()) == (event, IDS[0])


@given(nested)
def test_nesting_is_harmless(data: bytes) -> None:
    """A client could exhaust the server's stack."""
    with pytest.raises((Refused, UnicodeDecodeError)):
        read(data, IDS[0])


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_who_never_pings_is_silent_in_time(began: float, later: float) -> None:
    """A client would be sent away before its time, or never."""
    session = Session(began, IDS[0])
    assert session.silent(began + 15.0)
    assert session.silent(max(later, began + 15.0))
    assert not session.silent(began)
    assert not session.silent(min(began + 14.999, max(later, began)))
