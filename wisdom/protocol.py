"""The life of a session, and what is said in it.

A session is one WebSocket connection. The server greets it with `initial`, which tells its id; the
client answers with `connect`, may then `subscribe` and `unsubscribe` as often as it likes, and says
`disconnect` in the end. Quotes go to sessions that are subscribed, and to nobody else. `STEPS` says
what each event does in each state.

Every event names the session's id, and acts on the session that it came in through or on none: ids
are compared, never looked up. What cannot be taken is answered with an error and changes nothing.

A client that lives says `ping` every `PING_INTERVAL` seconds; nothing else counts as a sign of
life. Whoever misses `MISSED_PINGS` of them is silent, and will be sent away.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

PING_INTERVAL = 5.0
"""Seconds from one ping of a client to its next."""

MISSED_PINGS = 3
"""Pings in a row that a client may miss; with the last of them it counts as gone."""

MAX_BYTES = 4096
"""Bytes of an event at most."""

_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class State(enum.Enum):
    """Where a session can be."""

    GREETED = "greeted"
    """The server has told the client its id."""
    CONNECTED = "connected"
    """The client has taken note of it."""
    SUBSCRIBED = "subscribed"
    """The client gets quotes."""
    CLOSED = "closed"
    """The client has said goodbye; nothing that still comes means anything."""


class Event(enum.StrEnum):
    """What a client can say: the `type` of its messages."""

    CONNECT = "connect"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    PING = "ping"
    DISCONNECT = "disconnect"


# Errors ----------------------------------------------------------------------------------------

MALFORMED = "malformed"
UNKNOWN_TYPE = "unknown_type"
BAD_ID = "bad_id"
WRONG_ID = "wrong_id"
NOT_CONNECTED = "not_connected"
ALREADY_CONNECTED = "already_connected"
NOT_SUBSCRIBED = "not_subscribed"
BINARY = "binary"
TOO_LONG = "too_long"
RATE = "rate"

ERRORS: dict[str, str] = {
    MALFORMED: 'A message must be a JSON object with a text as "type" and an object as "payload".',
    UNKNOWN_TYPE: f'The "type" must be one of {", ".join(Event)}.',
    BAD_ID: 'The "payload" must have an "id" that is a UUID.',
    WRONG_ID: 'The "id" must be the one that this connection was given in "initial".',
    NOT_CONNECTED: 'A "connect" must come first.',
    ALREADY_CONNECTED: 'A "connect" is sent once; this session is connected.',
    NOT_SUBSCRIBED: 'A "subscribe" must come first; there is nothing to unsubscribe from.',
    BINARY: "A message must be text, not binary.",
    TOO_LONG: f"A message must not be longer than {MAX_BYTES} bytes.",
    RATE: "Events must come more slowly; this one was not taken.",
}
"""Every error code there is, and what it tells the client."""


class Refused(Exception):
    """What a client sent cannot be taken; `code` is one of `ERRORS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# What clients send -----------------------------------------------------------------------------


def read(data: bytes, own: str) -> Event:
    """Read a text message of the client whose session has the id `own`, in lower case.

    Raises UnicodeDecodeError if it is no UTF-8, and Refused.
    """
    if len(data) > MAX_BYTES:
        raise Refused(TOO_LONG)
    data.decode()
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Refused(MALFORMED) from None
    match message:
        case {"type": str(kind), "payload": dict(payload)}:
            pass
        case _:
            raise Refused(MALFORMED)
    try:
        event = Event(kind)
    except ValueError:
        raise Refused(UNKNOWN_TYPE) from None
    named = payload.get("id")
    if not isinstance(named, str) or not _UUID.fullmatch(named):
        raise Refused(BAD_ID)
    if named.lower() != own:
        raise Refused(WRONG_ID)
    return event


# What the server sends -------------------------------------------------------------------------


def _message(kind: str, **payload: Any) -> bytes:
    return orjson.dumps({"type": kind, "payload": payload})


def initial(id: str) -> bytes:
    """Tell a client the id of its session."""
    return _message("initial", id=id)


def subscribe_confirmation() -> bytes:
    """Confirm that quotes will come."""
    return _message("subscribe_confirmation", status="ok")


def wisdom_distribution(text: str) -> bytes:
    """Bring a quote."""
    return _message("wisdom_distribution", message=text)


def error(code: str, retry_after_ms: int | None = None) -> bytes:
    """Tell that something was refused, and where waiting helps, for how long."""
    payload: dict[str, Any] = {"code": code, "message": ERRORS[code]}
    if retry_after_ms is not None:
        payload["retry_after_ms"] = retry_after_ms
    return _message("error", **payload)


# Sessions --------------------------------------------------------------------------------------


class Step(NamedTuple):
    """What an event does in a state: where to go (None: stay), what to answer, or what is wrong."""

    to: State | None = None
    answer: bytes | None = None
    error: str | None = None
    alive: bool = False
    """Whether it is a sign of life."""


_CONFIRMED = subscribe_confirmation()

STEPS: Mapping[tuple[State, Event], Step] = {
    (State.GREETED, Event.CONNECT): Step(State.CONNECTED),
    (State.GREETED, Event.SUBSCRIBE): Step(error=NOT_CONNECTED),
    (State.GREETED, Event.UNSUBSCRIBE): Step(error=NOT_CONNECTED),
    (State.GREETED, Event.PING): Step(alive=True),
    (State.GREETED, Event.DISCONNECT): Step(State.CLOSED),
    (State.CONNECTED, Event.CONNECT): Step(error=ALREADY_CONNECTED),
    (State.CONNECTED, Event.SUBSCRIBE): Step(State.SUBSCRIBED, _CONFIRMED),
    (State.CONNECTED, Event.UNSUBSCRIBE): Step(error=NOT_SUBSCRIBED),
    (State.CONNECTED, Event.PING): Step(alive=True),
    (State.CONNECTED, Event.DISCONNECT): Step(State.CLOSED),
    (State.SUBSCRIBED, Event.CONNECT): Step(error=ALREADY_CONNECTED),
    (State.SUBSCRIBED, Event.SUBSCRIBE): Step(answer=_CONFIRMED),
    (State.SUBSCRIBED, Event.UNSUBSCRIBE): Step(State.CONNECTED),
    (State.SUBSCRIBED, Event.PING): Step(alive=True),
    (State.SUBSCRIBED, Event.DISCONNECT): Step(State.CLOSED),
    **{(State.CLOSED, event): Step() for event in Event},
}
"""What each event does in each state."""


class Session:
    """One client's session, from the greeting on."""

    __slots__ = ("id", "pinged", "state")

    def __init__(self, now: float, id: str) -> None:
        self.id = id
        self.state = State.GREETED
        self.pinged = now
        """When the client last pinged, or else began: seconds on the caller's clock."""

    def take(self, event: Event, now: float) -> bytes | None:
        """Do what `event` does in this state, and return the answer to it, if it has one.

        Raises Refused, and then nothing has changed.
        """
        step = STEPS[self.state, event]
        if step.error is not None:
            raise Refused(step.error)
        if step.to is not None:
            self.state = step.to
        if step.alive:
            self.pinged = now
        return step.answer

    @property
    def subscribed(self) -> bool:
        """Whether the client gets quotes."""
        return self.state is State.SUBSCRIBED

    @property
    def closed(self) -> bool:
        """Whether the client has said goodbye."""
        return self.state is State.CLOSED

    def silent(self, now: float) -> bool:
        """Tell whether the client has missed so many pings that it counts as gone."""
        return now >= self.pinged + MISSED_PINGS * PING_INTERVAL
