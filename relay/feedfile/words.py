# ruff: noqa: RUF009 - word() makes a field(), as dataclasses want it
"""The words of a feeds.toml: what each means, and how it is read. Pure.

Each field is made by `word()`, which carries its reader, its default and one line of
documentation. `connection` words stand in a feed's table and in an endpoint's.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from chassis.proxy import SCHEMES
from relay.frames.cut import Cut, parse_cut
from relay.frames.inflate import FORMATS
from relay.frames.path import Path, parse_path
from relay.frames.pattern import Pattern
from relay.frames.reader import LARGEST_FRAME, Words
from relay.frames.template import MESSAGE_HOLES, Template
from relay.messages import LARGEST

from . import values
from .values import Reader, Texts

AT_LEAST_ONCE = "at-least-once"
AT_MOST_ONCE = "at-most-once"

AUTO = "auto"
NEVER = "never"
CONNECTION = "connection"
"""With `AUTO` and `NEVER`: when the numbering begins anew."""

ANY = 0
"""The `step` of ids that have holes by nature; a file says "any"."""

LARGEST_MESSAGE = 256 * 1024 * 1024

LATER = Texts(holes=("path", "id"))
"""What is sent once something may have come."""

ONCE = Texts()
"""What is used before anything has come."""


def word(read: Reader, doc: str, default: Any = None) -> Any:
    """Declare a field read by `read`; one that is not in the file has the default."""
    return dataclasses.field(default=default, metadata={"read": read, "doc": doc})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent whenever such a frame has come, once Redis has the frame."""

    on: tuple[Pattern, ...]
    send: tuple[Template, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resume:
    """What stands for a feed's own words once something is settled; None: the feed's own."""

    url: Template | None = word(values.url(LATER), "where to continue")
    headers: tuple[tuple[str, Template], ...] | None = word(
        values.headers(LATER), "headers of the handshake"
    )
    open_message: tuple[Template, ...] | None = word(
        values.messages(LATER), "sent after connecting"
    )
    replies: tuple[Reply, ...] | None = word(
        values.replies(LATER, Reply), "answers, in place of all of the feed's own"
    )

    @property
    def texts(self) -> list[tuple[str, Template]]:
        """All that may be said, each with its word."""
        return [
            *([("url", self.url)] if self.url else []),
            *[("headers", text) for _, text in self.headers or ()],
            *[("open_message", text) for text in self.open_message or ()],
            *[("replies", text) for reply in self.replies or () for text in reply.send],
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Connection:
    """The words that a feed and an endpoint share."""

    name: str
    url: Template = word(values.url(ONCE), "ws:// or wss://")
    headers: tuple[tuple[str, Template], ...] = word(
        values.headers(ONCE), "headers of the handshake", ()
    )
    subprotocols: tuple[Template, ...] = word(
        values.subprotocols(ONCE), "offered in this order", ()
    )
    proxy_url: Template | None = word(values.url(ONCE, *SCHEMES), "proxy to connect through")
    open_message: tuple[Template, ...] = word(
        values.messages(LATER), "sent after connecting, one text or several", ()
    )
    ping_message: Template | None = word(values.message(LATER), "sent every `ping_interval`")
    ping_interval: float | None = word(values.number(0.01, 86400), "seconds")
    replies: tuple[Reply, ...] = word(
        values.replies(LATER, Reply), "what is sent when a frame like `on` has come", ()
    )
    credentials: tuple[Template, ...] = word(
        values.command(ONCE), "run before each connect; prints NAME=value lines", ()
    )
    connect_timeout: float | None = word(
        values.number(0.1, 3600), "seconds until a connection must stand"
    )
    message_timeout: float | None = word(
        values.number(0.1, 86400), "seconds of silence after which it is connected anew"
    )
    max_message_size: int | None = word(
        values.integer(1, LARGEST_MESSAGE), "bytes of a frame, decompressed"
    )

    @property
    def texts(self) -> list[tuple[str, Template]]:
        """All that may be said on a connection, each with its word."""
        return [
            *[("open_message", text) for text in self.open_message],
            *([("ping_message", self.ping_message)] if self.ping_message else []),
            *[("replies", text) for reply in self.replies for text in reply.send],
        ]

    @property
    def patterns(self) -> list[Pattern]:
        """All that is looked for in what comes on a connection."""
        return [pattern for reply in self.replies for pattern in reply.on]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoint(Connection):
    """Where a feed's messages go, in order."""

    message: Template | None = word(
        values.message(Texts(holes=MESSAGE_HOLES)), "what is sent for a message; none: its bytes"
    )
    rate: float | None = word(values.number(0.001, 1_000_000), "messages a second at most")
    ack: Pattern | None = word(values.ack, "the frame that confirms a message; none: a pong")
    max_in_flight: int | None = word(
        values.integer(1, 1_000_000), "messages that may be unconfirmed at a time"
    )
    delivery: str | None = word(
        values.one_of(AT_LEAST_ONCE, AT_MOST_ONCE),
        "what a broken connection means: unconfirmed messages are sent again, or never",
    )

    @property
    def patterns(self) -> list[Pattern]:
        """All that is looked for in what comes on a connection."""
        return [*super().patterns, *([self.ack] if self.ack else [])]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feed(Connection):
    """Where messages come from, what they are, and what their order is."""

    decompress: str | None = word(values.one_of(*FORMATS), "how frames are compressed")
    messages: Cut | None = word(
        values.parsed(parse_cut), 'where the messages are: "lines", "[]", "data[]"'
    )
    id: Path = word(values.parsed(parse_path), "where the sequence number is", parse_path("id"))
    key: tuple[Path, ...] = word(
        values.paths, "where it says what has an order of its own; one path or several", ()
    )
    ignore: tuple[Pattern, ...] = word(values.patterns, "frames that are no messages", ())
    drop: tuple[Pattern, ...] = word(
        values.patterns, "messages that have a place in the order and are not sent on", ()
    )
    first: Path | None = word(
        values.parsed(parse_path), "where the first of the numbers is that a message covers"
    )
    previous: Path | None = word(
        values.parsed(parse_path), "where the number of the message before is"
    )
    step: int = word(
        values.either({"any": ANY}, values.integer(1, 1_000_000_000)),
        'by how much numbers grow; "any": they have holes by nature',
        1,
    )
    restarts: str | tuple[Pattern, ...] = word(
        values.either_or_patterns(AUTO, NEVER, CONNECTION), "when the numbering begins anew", AUTO
    )
    first_id: int | None = word(
        values.either({AUTO: None}, values.integer(0, LARGEST)), "first id to expect"
    )
    gap_timeout: float | None = word(
        values.either({AUTO: None, NEVER: float("inf")}, values.number(0.001, 86400)),
        "seconds to wait for what is missing",
    )
    capacity: int | None = word(
        values.integer(1, 10_000_000), "messages held back before the oldest gap is given up"
    )
    resume: Resume | None = None
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def patterns(self) -> list[Pattern]:
        """All that is looked for in what comes on a connection."""
        restarts = () if isinstance(self.restarts, str) else self.restarts
        resumed = self.resume.replies if self.resume and self.resume.replies else ()
        answered = [pattern for reply in resumed for pattern in reply.on]
        return [*super().patterns, *answered, *self.ignore, *self.drop, *restarts]

    @property
    def reading(self) -> Words:
        """What decides about which messages are in a frame."""
        return Words(
            id=self.id,
            key=self.key,
            link=self.first or self.previous,
            decompress=self.decompress,
            messages=self.messages,
            ignore=self.ignore,
            drop=self.drop,
            restarts=() if isinstance(self.restarts, str) else self.restarts,
            largest=self.max_message_size or LARGEST_FRAME,
        )


def words(kind: type) -> dict[str, Reader]:
    """List the words of a table, with their readers."""
    return {
        field.name: field.metadata["read"]
        for field in dataclasses.fields(kind)
        if "read" in field.metadata
    }
