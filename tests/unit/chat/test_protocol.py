"""What clients may say, and the frames that they get."""

from __future__ import annotations

import json

import pytest
from websockets.frames import CloseCode

from broadcast.closing import BY_CODE
from chat import closing, protocol
from chat.protocol import ERRORS, Ask, Query, Refused, Say
from chat.records import Position


def body(frame: bytes) -> dict[str, object]:
    length = frame[1]
    start = {126: 4, 127: 10}.get(length, 2)
    parsed: dict[str, object] = json.loads(frame[start:])
    return parsed


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("hi", Say("hi")),
        (" hi ", Say(" hi ")),
        ("[1]", Say("[1]")),
        ("7", Say("7")),
        ('"{}"', Say('"{}"')),
        ('{"type":"message","message":"hi"}', Say("hi")),
        ('\n{"type":"message","message":"hi","key":"k"}', Say("hi", "k")),
        ('{"type":"who"}', Ask("who")),
        ('{"type":"ping","more":1}', Ask("ping")),
        ('{"type":"goodbye"}', Ask("goodbye")),
    ],
)
def test_what_clients_say_is_understood(data: str, said: Say | Ask) -> None:
    """A message would be refused, or taken for another one."""
    assert protocol.read(data.encode(), 100) == said


def test_a_refusal_names_the_message() -> None:
    """A client could not tell which of its messages was refused."""
    long = json.dumps({"type": "message", "message": "x" * 101, "key": "k"})
    with pytest.raises(Refused) as refused:
        protocol.read(long.encode(), 100)
    assert (refused.value.code, refused.value.key) == ("too_long", "k")
    assert body(protocol.error("rate", "k", 50))["retry_after_ms"] == 50
    assert body(protocol.error("rate", "k", 50))["key"] == "k"


def test_text_must_be_utf_8() -> None:
    """What is not UTF-8 would be passed on to clients that break on it."""
    with pytest.raises(UnicodeDecodeError):
        protocol.read(b"\xc3\x28", 100)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", Query(None, "")),
        ("/?epoch=7&seq=3", Query(Position(7, 3), "")),
        ("/?epoch=7&seq=3&token=a.b", Query(Position(7, 3), "a.b")),
        ("/?epoch=7", Query(Position(0, 0), "")),
        ("/?epoch=-7&seq=x", Query(Position(0, 0), "")),
        ("/?epoch=٣&seq=3", Query(Position(0, 0), "")),
        ("/?epoch=99999999999999999999&seq=1", Query(Position(0, 0), "")),
    ],
)
def test_the_query_is_read(path: str, expected: Query) -> None:
    """A client that comes back would be taken for a newcomer, or break the server."""
    assert protocol.query(path) == expected


@pytest.mark.parametrize(
    ("offered", "token"),
    [
        ("chat, token.Client_1.a0", "Client_1.a0"),
        ("token.Client_1.a0,token.b", "Client_1.a0"),
        ("chat", "old"),
        ("", "old"),
        ("token.", ""),
    ],
)
def test_a_token_comes_as_a_subprotocol(offered: str, token: str) -> None:
    """It would have to stand in the address, and so in the logs of proxies."""
    assert protocol.query("/?token=old", offered).token == token


def test_records_carry_the_promised_keys() -> None:
    """The log would lack what it is read for."""
    record = json.loads(protocol.record("message", "Client_1", "hi", "client") + b"}")
    assert list(record) == ["client_id", "message", "sender", "type"]


@pytest.mark.parametrize(
    "data",
    [
        b'{"time":"%s"}',
        b'{"time":"%s","client_id":"Client_1","message":"{\\"time\\":\\"1\\"}","seq":1}',
    ],
)
def test_the_time_of_a_record_is_read(data: bytes) -> None:
    """A gap in the log would bear another time than what follows it."""
    time = "2026-11-28T00:01:07.590+00:00"
    assert protocol.stamp(data % time.encode()) == time
    before = protocol.now()
    assert before <= protocol.stamp(b"1795824067491000") <= protocol.now()


def test_close_reasons_can_be_told() -> None:
    """A close frame would be refused by the library because of its code or its length."""
    for reason in closing.ALL:
        if reason.code is not None:
            assert len(reason.words.encode()) <= 123
            assert reason.code >= 4000 or reason.code in set(CloseCode)
            told = body(protocol.goodbye(reason))
            assert told["code"] == reason.code
            assert 0 < int(str(told.get("retry_after_ms", 1))) <= 15_000
    assert all(reason.code == code for code, reason in BY_CODE.items())
    assert len({reason.label for reason in closing.ALL}) == len(closing.ALL)


def test_the_protocol_page_has_every_code() -> None:
    """A user could not look up an error or a close code."""
    from tests.support.processes import ROOT

    page = (ROOT / "chat" / "README.md").read_text()
    for code in ERRORS:
        assert f"| `{code}` |" in page, code
    for reason in closing.ALL:
        if reason.code is not None:
            assert f"| {reason.code} |" in page, reason
