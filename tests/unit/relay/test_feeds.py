"""Lists of peers and the names that they get."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis import logs
from relay.feeds import DEFAULT_FEED, Peer, feeds_file, peers


def parse(value: str) -> tuple[Peer, ...]:
    return peers(repeatable=True)(value)


@pytest.mark.parametrize(
    ("word", "feed", "name"),
    [
        ("ws://host", DEFAULT_FEED, "host"),
        ("ws://host/", DEFAULT_FEED, "host"),
        ("ws://host:8080/raw-messages", DEFAULT_FEED, "host:8080/raw-messages"),
        ("wss://Host.Example/Path/", DEFAULT_FEED, "host.example/Path"),
        ("ws://[::1]:9000/x", DEFAULT_FEED, "[::1]:9000/x"),
        ("ws://[fe80::1]", DEFAULT_FEED, "[fe80::1]"),
        ("ws://host/x?a=b&c=d", DEFAULT_FEED, "host/x"),
        ("ws://host/a=b", DEFAULT_FEED, "host/a_b"),
        ("prices=ws://host/x", "prices", "host/x"),
        ("prices=ws://host/x?a=b", "prices", "host/x"),
        ("a.b-c_1=ws://host", "a.b-c_1", "host"),
        ("цены=ws://host", "цены", "host"),
        ("ws://user:secret@host:1/x", DEFAULT_FEED, "host:1/x"),
        ("ws://host/%D0%B2{x}", DEFAULT_FEED, "host/_D0_B2_x_"),
    ],
)
def test_one(word: str, feed: str, name: str) -> None:
    """A URL would be cut at the wrong `=`, or get a name with a secret or a brace in it."""
    [peer] = parse(word)
    assert (peer.feed, peer.name) == (feed, name)
    assert word.endswith(peer.url)
    assert peer.url.startswith("ws")


def test_several() -> None:
    """Redundant lines would share a name, and with it a lease."""
    found = parse("ws://h/x a=ws://h/x\n ws://h/x  wss://h/x a=ws://h/y a=ws://h/x?2")
    assert [(peer.feed, peer.name) for peer in found] == [
        (DEFAULT_FEED, "h/x"),
        ("a", "h/x"),
        (DEFAULT_FEED, "h/x#2"),
        (DEFAULT_FEED, "h/x#3"),
        ("a", "h/y"),
        ("a", "h/x#2"),
    ]
    assert len(set(found)) == 6


def test_repeated_where_that_is_a_mistake() -> None:
    """Two sinks would share a confirmed position."""
    unique = peers(repeatable=False)
    assert len(unique("ws://h/x a=ws://h/x ws://h/y")) == 3
    with pytest.raises(ValueError, match=r"'ws://u:\*\*\*@h/x' is named twice for the feed 'a'"):
        unique("a=ws://h/x b=ws://h/x a=ws://u:secret@h/x")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "names no URL"),
        (" \n", "names no URL"),
        ("host:80", "does not start with ws:// or wss://"),
        ("http://host", "does not start with ws:// or wss://"),
        ("ws://", "names no host"),
        ("ws://h ws://", "names no host"),
        ("=ws://h", "'' is not a feed's name"),
        ("a{b}=ws://h", "is not a feed's name"),
        ("a*=ws://h", "is not a feed's name"),
        ("a" * 65 + "=ws://h", "is not a feed's name"),
        ("a=b=ws://h", "does not start with"),
        ("ws://h:99999", "is not a URL"),
        ("ws://[::1", "is not a URL"),
    ],
)
def test_wrong(value: str, words: str) -> None:
    """A mistake would be noticed only at the first connection, or make a key of its own."""
    with pytest.raises(ValueError, match=words):
        parse(value)


def test_secrets_do_not_show() -> None:
    """A password or a token would stand in a log."""
    [peer] = parse("ws://user:secret@host/x?token=secret")
    assert "secret" not in repr(peer)
    assert "secret" not in str(peer)
    assert "secret" in peer.url


def test_what_changes_in_an_endpoint_concerns_who_sends_to_it(tmp_path: Path) -> None:
    """A feed would be connected anew, and read anew, because an endpoint has another word."""
    file, table = tmp_path / "feeds.toml", "[feed.x]\nurl = 'ws://f/'\n[feed.x.endpoint.out]\n"
    log = logs.get("example")
    file.write_text(table + "url = 'ws://a/'")
    reading = feeds_file(feeds=True)(str(file), {})
    sending = feeds_file(endpoints=True)(str(file), {})
    file.write_text(table + "url = 'ws://b/'")
    for before, changed in ((reading, []), (sending, ["x"])):
        change = before.again(log)
        assert change is not None
        assert change.changed == changed
