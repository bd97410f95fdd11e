"""What clients may say to the wisdom, what it does, and what it answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wisdom import protocol
from wisdom.protocol import ERRORS, STEPS, Event, Refused, Session, State, Step, read

README = (Path(protocol.__file__).parent / "README.md").read_text()

OWN = "0e3b2a0c-8d53-4a5e-9a40-1f0c9d1f7b26"
OTHER = "7c0fbb1e-2f4d-4b0a-8a35-6a3f7f0f6d11"


def message(event: object, **payload: object) -> bytes:
    return json.dumps({"type": event, "payload": payload}).encode()


@pytest.mark.parametrize("event", Event)
def test_every_event_is_read(event: Event) -> None:
    """A client that keeps to the protocol would be refused."""
    assert read(message(event, id=OWN), OWN) is event
    assert read(message(event, id=OWN.upper(), more=[1]), OWN) is event
    assert read(b"\n" + message(event, id=OWN).ljust(4095), OWN) is event


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "malformed"),
        (b"hi", "malformed"),
        (b'{"type":', "malformed"),
        (b"null", "malformed"),
        (b"7", "malformed"),
        (b'["connect"]', "malformed"),
        (b"{}", "malformed"),
        (b'{"type":"connect"}', "malformed"),
        (b'{"type":"connect","payload":null}', "malformed"),
        (b'{"type":"connect","payload":"%b"}' % OWN.encode(), "malformed"),
        (b'{"type":"connect","payload":[{"id":"%b"}]}' % OWN.encode(), "malformed"),
        (b'{"payload":{"id":"%b"}}' % OWN.encode(), "malformed"),
        (message(None, id=OWN), "malformed"),
        (message(1, id=OWN), "malformed"),
        (message(["connect"], id=OWN), "malformed"),
        (message("connect", id=OWN) + b"x", "malformed"),
        (b"\xef\xbb\xbf" + message("connect", id=OWN), "malformed"),
        (b'{"type":"connect","payload":{"id":NaN}}', "malformed"),
        (b'{"type":"connect","payload":{"id":"\\ud800"}}', "malformed"),
        (b"[" * 4096, "malformed"),
        (b'{"payload":' * 370, "malformed"),
        (message("", id=OWN), "unknown_type"),
        (message("dance", id=OWN), "unknown_type"),
        (message("Connect", id=OWN), "unknown_type"),
        (message("connect ", id=OWN), "unknown_type"),
        (message("initial", id=OWN), "unknown_type"),
        (message("subscribe_confirmation", status="ok"), "unknown_type"),
        (message("wisdom_distribution", message="!"), "unknown_type"),
        (message("dance"), "unknown_type"),
        (message("connect"), "bad_id"),
        (message("connect", ID=OWN), "bad_id"),
        (message("connect", id=None), "bad_id"),
        (message("connect", id=True), "bad_id"),
        (message("connect", id=[OWN]), "bad_id"),
        (message("connect", id=""), "bad_id"),
        (message("connect", id="Client_1"), "bad_id"),
        (message("connect", id=f" {OWN}"), "bad_id"),
        (message("connect", id=f"{OWN}\n"), "bad_id"),
        (message("connect", id=OWN[:-1]), "bad_id"),
        (message("connect", id=OWN.replace("-", "")), "bad_id"),
        (message("connect", id=f"{{{OWN}}}"), "bad_id"),
        (message("connect", id=f"urn:uuid:{OWN}"), "bad_id"),
        (message("connect", id=OWN.replace("0", "٠")), "bad_id"),
        (message("connect", id=OTHER), "wrong_id"),
        (message("connect", id=OWN[:-1] + "7"), "wrong_id"),
        (b'{"type":"connect","payload":{"id":"%b","id":"%b"}}' % (OWN.encode(), OTHER.encode()),
         "wrong_id"),
        (message("connect", id=OWN).ljust(4097), "too_long"),
        (b"\xff" * 4097, "too_long"),
    ],
)  # fmt: skip
def test_bad_input_has_its_code(data: bytes, code: str) -> None:
    """A client would be told something else than what is wrong, or would be obeyed."""
    with pytest.raises(Refused) as refused:
        read(data, OWN)
    assert refused.value.code == code


@pytest.mark.parametrize("data", [b"\xff", b"\xc3\x28", message("connect", id=OWN) + b"\x80"])
def test_text_must_be_utf_8(data: bytes) -> None:
    """RFC 6455 wants the connection's end, not an error message."""
    with pytest.raises(UnicodeDecodeError):
        read(data, OWN)


def test_deep_nesting_and_repeated_keys_are_read() -> None:
    """What JSON allows would be refused, or would be read in two ways by two parsers."""
    deep = b"[" * 900 + b"]" * 900
    data = b'{"type":"dance","x":%b,"type":"ping","payload":{"id":"%b"}}' % (deep, OWN.encode())
    assert read(data, OWN) is Event.PING


def test_messages_are_the_promised_ones() -> None:
    """A client written from the protocol's page would not understand the server."""
    assert protocol.initial(OWN) == b'{"type":"initial","payload":{"id":"%b"}}' % OWN.encode()
    assert (
        protocol.subscribe_confirmation()
        == b'{"type":"subscribe_confirmation","payload":{"status":"ok"}}'
    )
    assert (
        protocol.wisdom_distribution("«Ауф» — сказал\tволк.")
        == '{"type":"wisdom_distribution","payload":{"message":"«Ауф» — сказал\\tволк."}}'.encode()
    )
    assert (
        protocol.error("binary")
        == b'{"type":"error","payload":{"code":"binary","message":"A message must be text, '
        b'not binary."}}'
    )
    assert json.loads(protocol.error("rate", 50)) == {
        "type": "error",
        "payload": {"code": "rate", "message": ERRORS["rate"], "retry_after_ms": 50},
    }


def test_the_table_is_whole() -> None:
    """An event would break the server in some state, or an error would change the state."""
    assert set(STEPS) == {(state, event) for state in State for event in Event}
    for (_, event), step in STEPS.items():
        if step.error is not None:
            assert step == Step(error=step.error)
            assert step.error in ERRORS
        assert event is Event.PING or not step.alive


def test_the_scenario() -> None:
    """A client that walks through the usual scenario would be stopped on the way."""
    session = Session(100.0, OWN)
    confirmed = protocol.subscribe_confirmation()
    assert not session.subscribed
    for event, answer, state in [
        (Event.CONNECT, None, State.CONNECTED),
        (Event.SUBSCRIBE, confirmed, State.SUBSCRIBED),
        (Event.SUBSCRIBE, confirmed, State.SUBSCRIBED),
        (Event.PING, None, State.SUBSCRIBED),
        (Event.UNSUBSCRIBE, None, State.CONNECTED),
        (Event.SUBSCRIBE, confirmed, State.SUBSCRIBED),
        (Event.DISCONNECT, None, State.CLOSED),
    ]:
        assert session.take(event, 101.0) == answer
        assert session.state is state
        assert session.subscribed == (state is State.SUBSCRIBED)
        assert session.closed == (state is State.CLOSED)


def test_a_ping_is_good_for_fifteen_seconds() -> None:
    """A client that pings would be sent away, or one that has stopped would stay."""
    session = Session(100.0, OWN)
    assert not session.silent(114.9)
    session.take(Event.PING, 114.0)
    session.take(Event.CONNECT, 120.0)
    assert not session.silent(128.9)
    assert session.silent(129.0)


def test_an_error_changes_nothing() -> None:
    """A client's mistake would cost it its subscription, or pass for a sign of life."""
    session = Session(100.0, OWN)
    session.state = State.SUBSCRIBED
    with pytest.raises(Refused) as refused:
        session.take(Event.CONNECT, 110.0)
    assert refused.value.code == "already_connected"
    assert (session.state, session.pinged) == (State.SUBSCRIBED, 100.0)


def test_after_the_goodbye_nothing_counts() -> None:
    """A session would come back to life after its end."""
    session = Session(100.0, OWN)
    session.take(Event.DISCONNECT, 101.0)
    for event in Event:
        assert session.take(event, 102.0) is None
    assert (session.state, session.pinged) == (State.CLOSED, 100.0)


# The page ------------------------------------------------------------------------------------


def test_the_page_has_every_error() -> None:
    """A user could not look up an error."""
    for code, words in ERRORS.items():
        assert f"| `{code}` |" in README, code
        assert words in README, code


def test_what_the_page_says_to_paste_does_what_it_says() -> None:
    """A user would paste an example of an error and get another answer, or none."""
    examples = re.findall(r"(?m)^\| `(\w+)` \| `(\{.*?)` \|", README)
    assert len(examples) >= 4
    for code, text in examples:
        with pytest.raises(Refused) as refused:
            read(text.replace("YOUR-ID", OWN).encode(), OWN)
        assert refused.value.code == code, text
    for text in re.findall(r'(?m)^(\{"type":.*YOUR-ID.*\})$', README):
        assert read(text.replace("YOUR-ID", OWN).encode(), OWN) in Event


def test_the_page_has_the_table() -> None:
    """A user would expect another step than the one that is taken."""
    rows = re.findall(r"(?m)^\| (.*) \|$", README[README.index("| state |") :])
    [head, _, *cells] = [row.replace("`", "").split(" | ") for row in rows[: 2 + len(State)]]
    shown = {
        (State(row[0]), Event(event)): cell
        for row in cells
        for event, cell in zip(head[1:], row[1:], strict=True)
    }
    for at, step in STEPS.items():
        words = [f"error {step.error}"] if step.error else []
        words += [f"→ {step.to.value}"] if step.to else []
        words += ["confirmation"] if step.answer else []
        words += ["alive"] if step.alive else []
        assert shown.pop(at) == (", ".join(words) or "nothing"), at
    assert not shown


def test_the_page_shows_messages_as_they_are() -> None:
    """A user would write a client for messages that are never sent."""
    quote = "Не учи волка выть. Он и сам фальшивит уверенно."
    for made in (
        protocol.initial(OWN),
        protocol.subscribe_confirmation(),
        protocol.wisdom_distribution(quote),
        protocol.error("binary"),
    ):
        assert f"| `{made.decode()}` |" in README
