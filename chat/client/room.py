"""What the client knows of the room, and what it still has to send. Pure: no socket, no clock.

Resuming: the position (`epoch`, `seq`) moves only with records that have been taken in, so a
connection that breaks at any moment asks for exactly what is missing. Sending: one message at a
time, so that the order is kept and an answer can only be to the first; each has a key, which
makes sending it again after a reconnect harmless.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from websockets import Subprotocol

from .text import shown

SEEN = 4096
"""Sequence numbers remembered, to drop what comes twice."""

QUEUED = 1000
"""Messages waiting to go out at most."""

BREAKS = 3
"""Connections that may break under one message before it is given up: it may be the cause."""

PAUSE = 1.0
"""Seconds before a message that was refused for now goes out again; each refusal doubles it."""

PAUSE_CAP = 15.0
"""Seconds at most."""

ASKED_CAP = 600.0
"""Seconds that the server may ask for at most."""

LARGEST = 2**63
"""Sequence numbers are smaller."""

LONGEST = 512
"""Characters of an epoch or a token at most; they go back to the server."""

Record = Mapping[str, Any]


def asked(frame: Record) -> float | None:
    """Read how many seconds the server asks us to wait; None if it does not, or in no sense."""
    wait: Any = frame.get("retry_after_ms")
    if type(wait) not in (int, float) or not 0 <= wait < math.inf:
        return None
    return float(min(wait, ASKED_CAP * 1000)) / 1000


def number(value: object) -> int | None:
    """Accept a count or a sequence number; None for anything else."""
    return value if type(value) is int and 0 <= value < LARGEST else None


def _word(value: object) -> str:
    """Accept what may go back to the server; empty for anything else."""
    word = str(value) if type(value) in (int, str) else ""
    return word if word.isascii() and len(word) <= LONGEST else ""


class Room:
    """The position in the room's history, and who we are there."""

    def __init__(self) -> None:
        self.client_id: str | None = None
        self.epoch: object = None
        self.seq: int | None = None
        self.online: int | None = None
        self.token = ""
        """Proves that it is we who come back: our id, and our keys, stay ours."""
        self._welcome: Record | None = None
        self._resumed = False
        self._ids: set[str] = set()
        self._seen: set[int] = set()
        self._order: deque[int] = deque()

    @property
    def query(self) -> str:
        """The query string that resumes where we are; empty for a newcomer."""
        if self.seq is None:
            return ""
        return "?" + urlencode({"epoch": self.epoch, "seq": self.seq})

    @property
    def protocols(self) -> list[Subprotocol]:
        """Who we are, told as a subprotocol, as addresses stand in the logs of proxies."""
        # No other word can be one.
        told = self.token if re.fullmatch(r"[\w.-]+", self.token) else ""
        return [Subprotocol("chat"), Subprotocol(f"token.{told}")] if told else []

    @property
    def greeting(self) -> object:
        """What the welcome says, until the history is here."""
        return (self._welcome or {}).get("message")

    @property
    def ready(self) -> bool:
        """Whether welcome and history have come on this connection."""
        return self.client_id is not None and self._welcome is None

    def connecting(self) -> None:
        """Note that a new connection begins."""
        self.client_id = None
        self._welcome = None
        self._resumed = self.seq is not None

    def welcome(self, frame: Record) -> None:
        """Take in the greeting. The position stays until the history is here."""
        self.client_id = shown(frame.get("client_id"))
        self.token = _word(frame.get("token"))
        self._welcome = {**frame, "epoch": _word(frame.get("epoch", self.epoch))}

    def history(self, records: object, more: bool = False) -> tuple[list[Record], bool]:
        """Take in the history, or a part of it if there is `more` to come.

        Returns the new records, and whether some before them are gone for good. What is no
        record is passed over.
        """
        welcome = self._welcome or {}
        gap = self._resumed and welcome.get("recovered") is not True
        self._resumed = False
        if not more:
            self._welcome = None
        if welcome.get("epoch", self.epoch) != self.epoch:
            self.epoch = welcome["epoch"]  # numbers and names begin anew
            self.seq = None
            self._seen.clear()
            self._order.clear()
            self._ids.clear()
        if self.client_id is not None:
            self._ids.add(self.client_id)
        listed = records if isinstance(records, list) else []
        found: list[Record] = [record for record in listed if isinstance(record, dict)]
        fresh = [record for record in found if self.accept(record)]
        latest = number(welcome.get("seq"))
        if not fresh and not more and latest is not None:
            self.seq = max(self.seq or 0, latest)
        return fresh, gap

    def accept(self, record: Record) -> bool:
        """Move on to a record; False if it has been here already."""
        seq = number(record.get("seq"))
        if seq is None:
            return True
        if seq in self._seen:
            return False
        self._seen.add(seq)
        self._order.append(seq)
        if len(self._order) > SEEN:
            self._seen.discard(self._order.popleft())
        self.seq = max(self.seq or 0, seq)
        return True

    def own(self, record: Record) -> bool:
        """Tell whether we said this, now or before a reconnect."""
        return shown(record.get("client_id")) in self._ids


@dataclass(slots=True)
class Outgoing:
    """A message on its way out."""

    text: str
    key: str
    sent_at: float | None = None
    """When it went out on this connection, seconds of the caller's clock."""
    not_before: float = 0.0
    """When it may go out again after a temporary refusal."""
    breaks: int = 0
    refusals: int = 0


@dataclass
class Outbox:
    """Messages that the server has not acknowledged, in the order typed."""

    items: deque[Outgoing] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def full(self) -> bool:
        """Whether nothing more may be added now."""
        return len(self.items) >= QUEUED

    def add(self, text: str, key: str) -> None:
        """Append a message."""
        self.items.append(Outgoing(text, key))

    def due(self, now: float) -> Outgoing | None:
        """Return the message to send now, if any; the caller sets its `sent_at`."""
        first = self.items[0] if self.items else None
        if first is None or first.sent_at is not None or now < first.not_before:
            return None
        return first

    def acknowledged(self, key: object, now: float) -> float | None:
        """Drop an acknowledged message; returns its round trip in seconds."""
        first = self.items[0] if self.items else None
        if first is None or first.key != key or first.sent_at is None:
            return None
        self.items.popleft()
        return now - first.sent_at

    def refused(
        self, key: object, temporary: bool, now: float, pause: float | None = None
    ) -> Outgoing | None:
        """Note that the server did not take a message; returns it if that is for good.

        `pause` is what the server asks for, in seconds. Without a key the refusal is of what has
        been sent and not answered.
        """
        first = self.items[0] if self.items else None
        if first is None or first.sent_at is None or key not in (None, first.key):
            return None
        first.sent_at = None
        first.refusals += 1
        if temporary:
            longer = min(PAUSE_CAP, PAUSE * 2.0 ** min(first.refusals - 1, 30))
            first.not_before = now + (longer if pause is None else pause)
            return None
        return self.items.popleft()

    def disconnected(self, *, too_big: bool = False) -> Outgoing | None:
        """Note that the connection is gone; returns a message that is given up."""
        first = self.items[0] if self.items else None
        if first is None or first.sent_at is None:
            return None
        first.sent_at = None
        first.breaks += 1
        if first.breaks < BREAKS and not too_big:
            return None
        return self.items.popleft()
