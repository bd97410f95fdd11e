"""What is said on the wire: read what clients send, make what the server sends.

A client may send plain text, so that any WebSocket tool can take part: text that does not begin
with `{` is a message as it stands. What begins with `{` must be a JSON object with a `type`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import orjson

from broadcast.closing import CloseReason
from broadcast.frames import frame

from .records import Position

KEY_LENGTH = 128
"""Characters of a key at most."""

MALFORMED = "malformed"
UNKNOWN_TYPE = "unknown_type"
EMPTY = "empty"
TOO_LONG = "too_long"
BAD_KEY = "bad_key"
BINARY = "binary"
RATE = "rate"
UNAVAILABLE = "unavailable"
SLOW_READER = "slow_reader"

ERRORS = {
    MALFORMED: (False, "Text that begins with { must be a JSON object."),
    UNKNOWN_TYPE: (False, 'The "type" must be one of message, who, ping, goodbye.'),
    EMPTY: (False, "There is no message."),
    TOO_LONG: (False, "The message is too long."),
    BAD_KEY: (False, f'The "key" must be a text of 1 to {KEY_LENGTH} characters.'),
    BINARY: (False, "The room takes text, not binary messages."),
    RATE: (True, "Too many messages at once; this one was not taken."),
    UNAVAILABLE: (True, "The chat cannot take messages now; this one was not taken."),
    SLOW_READER: (True, "Your last connection was cut, because it was read too slowly."),
}
"""Every error code there is: whether the same may succeed later, and what it means."""


class Refused(Exception):
    """What a client sent cannot be taken; `code` is one of `ERRORS`."""

    def __init__(self, code: str, key: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.key = key


# What clients send -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Say:
    """Say something to everybody; a `key` makes a repetition harmless."""

    text: str
    key: str | None = None


@dataclass(frozen=True)
class Ask:
    """Ask for something: `who`, `ping` or `goodbye`."""

    what: str


def read(data: bytes, limit: int) -> Say | Ask:
    """Read a text message of a client; `limit` is for the message in it, bytes of JSON.

    Raises UnicodeDecodeError if it is no UTF-8, and Refused.
    """
    text = data.decode()
    if not text.lstrip().startswith("{"):
        return _say(text, None, limit)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Refused(MALFORMED) from None
    if not isinstance(value, dict):  # a BOM, say, is stripped by no one
        raise Refused(MALFORMED)
    key = value.get("key")
    named = key if isinstance(key, str) and 0 < len(key) <= KEY_LENGTH else None
    match value.get("type"):
        case "message":
            message = value.get("message")
            if not isinstance(message, str):
                raise Refused(EMPTY if message is None else MALFORMED, named)
            if key is not None and named is None:
                raise Refused(BAD_KEY)
            return _say(message, named, limit)
        case "who" | "ping" | "goodbye" as what:
            return Ask(what)
    raise Refused(UNKNOWN_TYPE, named)


def _say(text: str, key: str | None, limit: int) -> Say:
    if not text.strip():
        raise Refused(EMPTY, key)
    if len(orjson.dumps(text)) - 2 > limit:
        raise Refused(TOO_LONG, key)
    return Say(text, key)


@dataclass(frozen=True)
class Query:
    """What a client says when it connects: the last record it has, and its token."""

    resume: Position | None
    token: str


TOKEN = "token."
"""What a subprotocol begins with that is a token."""


def query(path: str, offered: str = "") -> Query:
    """Read the query of a request's path, and a token among the subprotocols that it offers.

    What makes no sense is as if it were not there. Addresses stand in the logs of proxies, and
    headers do not.
    """
    try:
        fields = parse_qs(path.partition("?")[2], max_num_fields=16)
    except ValueError:
        fields = {}
    epoch, seq = (fields.get(name, [""])[0] for name in ("epoch", "seq"))
    resume = None
    if epoch or seq:
        known = re.fullmatch(r"[0-9]{1,16}", epoch) and re.fullmatch(r"[0-9]{1,16}", seq)
        # Somebody comes back, though not with anything that we ever gave.
        resume = Position(int(epoch), int(seq)) if known else Position(0, 0)
    tokens = [word.strip() for word in offered.split(",") if word.strip().startswith(TOKEN)]
    token = tokens[0].removeprefix(TOKEN) if tokens else fields.get("token", [""])[0]
    return Query(resume, token)


def digest(author: str, key: str, text: str) -> str:
    """Name a keyed message: with another author, or another text, the key is another one."""
    return hashlib.blake2b(f"{author}\0{key}\0{text}".encode(), digest_size=16).hexdigest()


# What the server sends -------------------------------------------------------------------------


def now() -> str:
    """Tell the time by this host's clock, as records have it by Redis': ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def record(kind: str, client: str | None, message: str, sender: str, **rest: Any) -> bytes:
    """Make a record as it is handed to Redis, which puts its time before it, and its numbers after.

    That is a JSON object without its end.
    """
    fields = {"client_id": client, "message": message, "sender": sender, "type": kind}
    return orjson.dumps({**fields, **rest})[:-1]


def stamp(data: bytes) -> str:
    """Read the time of a record, or of an epoch's marker; now, if an earlier version wrote that."""
    found = re.match(rb'{"time":"([^"]+)"', data)
    return found[1].decode() if found else now()


def _tell(kind: str, client: str | None = None, message: str | None = None, **rest: Any) -> bytes:
    fields: dict[str, Any] = {"type": kind, "time": now(), "sender": "server"}
    if client is not None:
        fields["client_id"] = client
    if message is not None:
        fields["message"] = message
    return frame(orjson.dumps({**fields, **rest}))


def welcome(
    client: str, greeting: str, position: Position, recovered: bool | None, token: str
) -> bytes:
    """Greet a client; `position` is that of the latest record."""
    return _tell(
        "welcome",
        client,
        greeting,
        epoch=position.epoch,
        seq=position.seq,
        recovered=recovered,
        token=token,
    )


def history(records: Iterable[bytes], more: bool = False) -> bytes:
    """Make the frame that carries records; with `more`, others follow in another one."""
    head = b'{"type":"history","time":"%s","sender":"server",' % now().encode()
    if more:
        head += b'"more":true,'
    return frame(head + b'"records":[' + b",".join(records) + b"]}")


def ack(client: str, position: Position, key: str | None, repeated: bool) -> bytes:
    """Acknowledge a message: it is in the log."""
    rest: dict[str, Any] = {"seq": position.seq, "epoch": position.epoch, "key": key}
    if repeated:
        rest["repeated"] = True
    return _tell("ack", client, **rest)


def error(code: str, key: str | None = None, retry_after_ms: int | None = None) -> bytes:
    """Tell that something was refused, or went wrong."""
    temporary, message = ERRORS[code]
    rest: dict[str, Any] = {"code": code, "temporary": temporary}
    if key is not None:
        rest["key"] = key
    if retry_after_ms is not None:
        rest["retry_after_ms"] = retry_after_ms
    return _tell("error", None, message, **rest)


def presence(online: int) -> bytes:
    """Tell how many are in the room."""
    return _tell("presence", online=online)


def who(online: int, clients: list[str]) -> bytes:
    """Tell who is in the room."""
    return _tell("who", online=online, clients=clients)


def pong() -> bytes:
    """Answer a `ping`."""
    return _tell("pong")


def goodbye(ending: CloseReason, client: str | None = None) -> bytes:
    """Tell why the server is about to close."""
    rest: dict[str, Any] = {"code": ending.code, "reason": ending.label}
    retry = ending.retry_after_ms()
    if retry is not None:
        rest["retry_after_ms"] = retry
    return _tell("goodbye", client, ending.words, **rest)
