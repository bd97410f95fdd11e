"""The words that an orderer leaves in Redis, and reads when the file has them no longer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relay.feedfile import Feed, left, parse
from relay.feedfile.secrets import Secrets
from relay.feedfile.words import words

ROOT = Path(__file__).resolve().parents[4]

ALL = r"""
decompress = "gzip"
messages = "data[].trades[]"
id = "data.0.seq\\.id"
key = ["symbol", "data.venue"]
ignore = ["hi", { kind = "beat", a.b = 1, "c.d" = 1.5, e = true, f = "${NAME}" }]
drop = { n = 99999999999999999999 }
previous = "prev"
restarts = [{ kind = "snapshot" }, { seq = -1 }]
first_id = 7
gap_timeout = 2.5
capacity = 12
max_message_size = 4321
"""

TABLES = {
    "all": ALL,
    "covering": 'first = "U"\nid = "u"\nkey = "s"\n',
    "any step": 'step = "any"\nrestarts = "connection"\n',
    "a step": 'step = 5\nrestarts = "never"\n',
    "never": 'gap_timeout = "never"\nignore = "ping"\n',
    "one pattern": "restarts = { kind = 'snapshot' }\n",
    "auto": 'gap_timeout = "auto"\nfirst_id = "auto"\nstep = 1\n',
}


def feed(table: str) -> Feed:
    text = f"[feed.x]\nurl = 'wss://feed.example/?t=${{TOKEN}}'\n{table}"
    return parse(text, "feeds.toml", Secrets({}, needed=False))["x"]


def same(one: Feed, other: Feed) -> bool:
    return all(getattr(one, word) == getattr(other, word) for word in left.ORDER)


@pytest.mark.parametrize("name", TABLES)
def test_what_is_left_is_what_the_table_says(name: str) -> None:
    """What a removed feed holds would be read by words that are not quite its own."""
    found = feed(TABLES[name])
    text = left.write(found)
    again = left.read("x", text)
    assert same(again, found)
    assert again.reading == found.reading
    assert left.write(again) == text


def test_the_example_file() -> None:
    """A feed as people write them would be read otherwise once it is removed."""
    text = (ROOT / "feeds.example.toml").read_text()
    feeds = parse(text, "feeds.toml", Secrets({}, needed=False))
    assert len(feeds) >= 5
    for name, found in feeds.items():
        assert same(left.read(name, left.write(found)), found), name


def test_nothing_else_is_left() -> None:
    """A URL or a token would stand in Redis."""
    assert left.write(feed("")) == "{}"
    spoken = "headers = { a = 'b' }\nopen_message = 'c'\ncredentials = ['d']\ncapacity = 9\n"
    assert left.write(feed(spoken)) == '{"capacity":9}'
    assert "${NAME}" in left.write(feed(ALL))


def test_each_word_of_a_feed_decides_or_does_not() -> None:
    """A new word about the order would be forgotten with the feed's table."""
    talk = {
        "url", "headers", "subprotocols", "proxy_url", "open_message", "ping_message",
        "ping_interval", "replies", "credentials", "connect_timeout", "message_timeout",
    }  # fmt: skip
    assert words(Feed).keys() == {*left.ORDER, *talk}


@pytest.mark.parametrize(
    "table", [["no table"], {"url": "ws://x/"}, {"id": ""}, {"step": "some"}, {"idd": "x"}]
)
def test_what_makes_no_sense(table: object) -> None:
    """What another version has left would be taken for something else."""
    with pytest.raises(ValueError, match="x"):
        left.read("x", json.dumps(table))
