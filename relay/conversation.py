"""What is said to a feed or an endpoint: openings, pings, answers, and how to go on. Pure.

One `Conversation` goes through all connections to one peer. The shell around it dials what `plan`
says, sends what `opened`, `heard` and `ping` return, in that order, and tells `ended`. Answers are
sent only when Redis has the frame that they answer: that makes an acknowledgement one.

`{{path}}` is what stands there in the frame that is answered, else the latest that was seen there
since the last connection that was not resumed: tokens and counts of an older session mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .feedfile import Connection, Endpoint, Feed, Reply
from .frames.inflate import Unreadable, inflate
from .frames.path import MISSING, Path
from .frames.reader import IGNORED, LARGEST_FRAME, Message, Other, Reader
from .frames.shape import Shape
from .frames.template import Secret, Template, Values, forms

SHORTEST_HIDDEN = 4
"""Characters of a secret that is hidden in texts; a shorter one would hide half of them."""


class Unready(Exception):
    """There is no way to connect yet; the message says what is missing."""


@dataclass(frozen=True)
class Plan:
    """How to connect."""

    url: str
    headers: tuple[tuple[str, str], ...]
    subprotocols: tuple[str, ...]
    proxy_url: str | None
    resumed: bool

    def __repr__(self) -> str:
        return f"Plan(resumed={self.resumed})"  # all else may hold secrets

    def options(self, words: Connection) -> dict[str, Any]:
        """Say to `chassis.websocket.dial` what else there is to be said, for these words."""
        agents = [value for name, value in self.headers if name.lower() == "user-agent"]
        chosen: dict[str, Any] = {
            "additional_headers": [
                header for header in self.headers if header[0].lower() != "user-agent"
            ],
            "subprotocols": list(self.subprotocols) or None,
            "proxy": self.proxy_url,
        }
        if agents:
            chosen["user_agent_header"] = agents[0]
        if words.connect_timeout is not None:
            chosen["open_timeout"] = words.connect_timeout
        return chosen


class Conversation:
    """The conversation with one peer; `now` is a monotonic time, `wall` milliseconds since 1970."""

    def __init__(self, words: Connection) -> None:
        self.settled: Mapping[str, int] = {}
        """Up to which id everything is settled, by key, `""` in all of them; kept up to date by
        the owner."""
        self.secrets: Mapping[str, str] = {}
        """What the credentials command has printed last."""
        self._words = words
        self._resume = words.resume if isinstance(words, Feed) else None
        self._plan: Plan | None = None
        self._latest: dict[Path, Any] = {}
        self._count = 0
        self._due = math.inf
        self._fruitful = False
        self._begun = False
        """Whether a message has ever come."""
        self._exhausted = False
        feed = words if isinstance(words, Feed) else None
        self._reader = Reader(feed.reading) if feed else None
        texts = [*words.texts, *(self._resume.texts if self._resume else [])]
        holes = [hole for _, text in texts for hole in text.holes]
        handshake = [words.url, *(value for _, value in words.headers), *words.subprotocols]
        self._secretive = [*handshake, *words.credentials, *(text for _, text in texts)]
        message = words.message if isinstance(words, Endpoint) else None
        self._secretive += [text for text in (words.proxy_url, message) if text]
        self._remembered = [hole.path for hole in holes if hole.path is not None]
        patterns = [pattern for reply in self._all_replies() for pattern in reply.on]
        wanted = [want.path for pattern in patterns for want in pattern.wants]
        self._patterns = {text for pattern in words.patterns for text in pattern.revealed}
        """What patterns want that nobody is to see."""
        self._shape = Shape([*self._remembered, *wanted])
        self._decompress = feed.decompress if feed else None
        self._cut = feed.messages if feed else None
        self._largest = words.max_message_size or LARGEST_FRAME

    @property
    def listens(self) -> bool:
        """Whether frames mean anything to it: if not, `heard` is for the first message only."""
        return bool(self._shape.at or self._all_replies())

    def hide(self, text: str) -> str:
        """Leave secrets out of what a peer or a library says, to be shown."""
        values = {
            part.value
            for template in self._secretive
            for part in template.parts
            if isinstance(part, Secret) and part.value
        }
        written = {
            form
            for value in {*values, *self._patterns, *self.secrets.values()}
            if len(value) >= SHORTEST_HIDDEN
            for form in forms(value)
        }
        for form in sorted(written, key=len, reverse=True):
            text = text.replace(form, "***")
        return text

    # Connecting -------------------------------------------------------------------------------

    def plan(self, wall: int) -> Plan:
        """Tell how to connect now; raises Unready if something is missing for it."""
        self._fruitful = False
        plan = self._resuming(wall) if self._resumable else None
        if plan is None:
            words = self._words
            plan = self._planned(words.url, words.headers, wall, resumed=False)
        self._plan = plan
        return plan

    def opened(self, now: float, wall: int) -> list[str]:
        """Begin a connection that was made as the last plan says; returns what to send first."""
        resumed = self.resuming
        self._count, self._fruitful = 0, False
        if not resumed:
            self._latest.clear()
        interval = self._words.ping_interval
        self._due = now + interval if interval and self._words.ping_message else math.inf
        texts = self._words.open_message
        if resumed and self._resume and self._resume.open_message is not None:
            texts = self._resume.open_message
        return self._rendered(texts, wall, {})

    def ended(self, *, refused: bool = False) -> None:
        """End a connection, or an attempt that was `refused`: answered, and with a no.

        What brought no message is not resumed twice in the same way. An attempt that nobody
        answered says nothing, and is not told here.
        """
        self._due = math.inf
        if self.resuming and (refused or not self._fruitful):
            self._exhausted = True
        self._plan = None

    @property
    def fruitful(self) -> bool:
        """Whether a message has come on this connection; only feeds have any."""
        return self._fruitful

    @property
    def resuming(self) -> bool:
        """Whether the last plan was to go on where it ended."""
        return self._plan is not None and self._plan.resumed

    @property
    def _resumable(self) -> bool:
        if self._resume is None or self._exhausted:
            return False
        named = any(hole.word == "id" for _, text in self._resume.texts for hole in text.holes)
        # Where no id is named, the peer itself knows where to go on.
        return bool(self.settled) or (self._begun and not named)

    def _resuming(self, wall: int) -> Plan | None:
        """Plan to go on where it ended; None: something is not known that it takes."""
        words, resume = self._words, self._resume
        if resume is None or not all(self._known(text) for _, text in resume.texts):
            return None
        headers = words.headers if resume.headers is None else resume.headers
        try:
            return self._planned(resume.url or words.url, headers, wall, resumed=True)
        except Unready:
            return None

    def _known(self, text: Template) -> bool:
        """Tell whether an id that is asked for is there; what a frame says may still come."""
        return all(
            hole.key in self.settled for hole in text.holes if hole.word == "id"
        )  # fmt: skip

    def _planned(
        self, url: Template, headers: Sequence[tuple[str, Template]], wall: int, *, resumed: bool
    ) -> Plan:
        words = self._words
        values = self._values(wall, {})

        def text(template: Template, what: str) -> str:
            rendered = template.render(values)
            if rendered is None:
                raise Unready(f"{what}: {_missing(template, values)}")
            return rendered

        return Plan(
            text(url, "url"),
            tuple([(name, text(value, f"headers.{name}")) for name, value in headers]),
            tuple([text(name, "subprotocols") for name in words.subprotocols]),
            text(words.proxy_url, "proxy_url") if words.proxy_url else None,
            resumed,
        )

    # Talking ----------------------------------------------------------------------------------

    def heard(self, frame: bytes, wall: int) -> list[str]:
        """Take in a frame; returns what is to be sent once Redis has it."""
        if self._reader and not self._fruitful:
            self._fruitful = any(isinstance(item, Message) for item in self._reader.read(frame))
            self._exhausted = self._exhausted and not self._fruitful
            self._begun = self._begun or self._fruitful
        answers: list[str] = []
        if not self._shape.at and not self._replies:
            return answers
        answered: list[Reply] = []
        for at, piece in enumerate(self._pieces(frame)):
            values = self._picked(piece)
            self._remember(values)
            for reply in self._replies:
                if reply not in answered and _fits(reply, piece, values):
                    answers += self._rendered(reply.send, wall, values)
                    # What a frame says is not said again by what is in it.
                    answered += [reply] if at == 0 else []
        return answers

    def is_heartbeat(self, frame: bytes) -> bool:
        """Tell whether all that is in a frame is to be ignored."""
        items = self._reader.read(frame) if self._reader else []
        return bool(items) and all(
            isinstance(item, Other) and item.reason == IGNORED for item in items
        )

    def ping(self, now: float, wall: int) -> list[str]:
        """Get what to send to stay alive, if it is due."""
        words = self._words
        if now < self._due or words.ping_message is None or words.ping_interval is None:
            return []
        self._due = now + words.ping_interval
        return self._rendered((words.ping_message,), wall, {})

    def count(self) -> int:
        """Count something else that is sent on this connection, and get its number."""
        self._count += 1
        return self._count

    @property
    def counted(self) -> int:
        """The number that was given last."""
        return self._count

    @property
    def due(self) -> float:
        """When the next ping is due, inf if none is."""
        return self._due

    def _pieces(self, frame: bytes) -> list[bytes]:
        """List the frame, unpacked, and the messages that are cut out of it."""
        if len(frame) > self._largest:
            return []
        try:
            if self._decompress:
                frame = inflate(frame, self._decompress, self._largest)
            if not frame.isascii():
                frame.decode()
        except (Unreadable, UnicodeDecodeError):
            return []
        return [frame, *((self._cut.messages(frame) or []) if self._cut else [])]

    def _picked(self, piece: bytes) -> Mapping[Path, Any]:
        try:
            values = self._shape.pick(piece)
        except Unreadable:
            return {}
        return {path: values[at] for path, at in self._shape.at.items()}

    def _remember(self, values: Mapping[Path, Any]) -> None:
        for path in self._remembered:
            value = values.get(path)
            if value is not MISSING and value is not None:
                self._latest[path] = value

    @property
    def _replies(self) -> tuple[Reply, ...]:
        resume = self._resume
        if resume and resume.replies is not None and self.resuming:
            return resume.replies
        return self._words.replies

    def _all_replies(self) -> tuple[Reply, ...]:
        resumed = self._resume.replies if self._resume and self._resume.replies else ()
        return (*self._words.replies, *resumed)

    def _rendered(
        self, texts: Sequence[Template], wall: int, values: Mapping[Path, Any]
    ) -> list[str]:  # fmt: skip
        """Fill texts; what wants something that nobody has said is not sent."""
        found = []
        for text in texts:
            if text.counts:
                self.count()
            rendered = text.render(self._values(wall, values))
            if rendered is not None:
                found.append(rendered)
        return found

    def _values(self, wall: int, values: Mapping[Path, Any]) -> Values:
        def find(path: Path) -> Any:
            value = values.get(path, MISSING)
            if value is MISSING or value is None:
                value = self._latest.get(path, value)
            return value

        return Values(find, self.settled, self._count, wall, b"", self.secrets)


def _fits(reply: Reply, piece: bytes, values: Mapping[Path, Any]) -> bool:
    def find(path: Path) -> Any:
        return values.get(path, MISSING)

    return any(pattern.fits(piece, find) for pattern in reply.on)


def _missing(template: Template, values: Values) -> str:
    """Say what a text wants that nobody has said; names only."""
    names = [
        repr(part)
        for part in template.parts
        if not isinstance(part, str) and Template("", "text", (part,)).render(values) is None
    ]
    return f"{', '.join(names)} was not said"
