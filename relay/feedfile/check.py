"""Words that contradict each other. Pure."""

from __future__ import annotations

from typing import Any

from relay.frames.pattern import COUNT
from relay.frames.template import MESSAGE_HOLES, Template

from .place import Place

_PAIRS = (
    ("ping_message", "ping_interval", "how often it is sent"),
    ("ping_interval", "ping_message", "what is sent"),
)


def check_connection(table: dict[str, Any], place: Place) -> None:
    """Note what does not go together in the words of a connection, as TOML has them."""
    for word, other, what in _PAIRS:
        if word in table and other not in table:
            place.at(word).wrong(f"`{other}` is missing, which says {what}")


def check_feed(table: dict[str, Any], values: dict[str, Any], place: Place) -> None:
    """Note what does not go together in a feed, as TOML has it and as it was read."""
    if "first" in table and "previous" in table:
        place.at("first").wrong("stands beside `previous`; a message says one or the other")
    for word in ("first", "previous"):
        if word in table and values.get("step", 1) != 1:
            place.at("step").wrong(f"stands beside `{word}`, which says what follows what")
        if values.get(word) is not None and values.get(word) == values.get("id"):
            place.at(word).wrong("is the same path as `id`")
    if values.get("id") in values.get("key", ()):
        place.at("key").wrong("is the same path as `id`: each message would have its own order")
    ignored = values.get("ignore") or ()
    for pattern in values.get("drop") or ():
        if pattern in ignored:
            place.at("drop").wrong(f"{pattern.shown} is what `ignore` leaves out already")


def check_ids(values: dict[str, Any], texts: list[tuple[str, Template]], place: Place) -> None:
    """Note where the id of a key is asked for and there are no keys."""
    for word, text in texts:
        for hole in text.holes:
            if hole.word == "id" and hole.key and "key" not in values:
                place.at(word).wrong(
                    f"{{{{$id.{hole.key}}}}}: the feed has no `key`; write {{{{$id}}}}"
                )


def check_endpoint(table: dict[str, Any], values: dict[str, Any], place: Place) -> None:
    """Note what does not go together in an endpoint, as TOML has it and as it was read."""
    message, ack = values.get("message"), values.get("ack")
    if isinstance(message, Template) and not any(
        hole.word in MESSAGE_HOLES for hole in message.holes
    ):
        place.at("message").wrong(
            "the message is not in it: {{$message}}, {{$string}} or {{$base64}}"
        )
    counted = ack is not None and any(COUNT in str(want.value) for want in ack.wants)
    if counted and "message" not in table:
        place.at("ack").wrong("names {{$count}}, and there is no `message` that says it")
    elif counted and isinstance(message, Template) and not message.counts:
        place.at("ack").wrong("names {{$count}}, which `message` does not say")
