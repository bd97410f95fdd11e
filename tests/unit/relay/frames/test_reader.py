"""Frames, read by the words of feeds."""

from __future__ import annotations

import dataclasses
import gzip
import sys
from typing import Any

import pytest

from relay.feedfile import parse
from relay.feedfile.secrets import Secrets
from relay.frames.path import parse_path
from relay.frames.reader import REASONS, Message, Other, Reader, Words
from tests.support.transcripts import NAMES, Transcript, transcript


def reader(words: str) -> Reader:
    feed = parse(f'[feed.a]\nurl = "ws://h"\n{words}', "feeds.toml", Secrets({}))["a"]
    return Reader(feed.reading)


def read(words: str, frame: bytes) -> list[Message | Other]:
    found = reader(words).read(frame)
    assert all(isinstance(item, Message) or item.reason in REASONS for item in found)
    return found


def check(script: Transcript, reading: Reader) -> None:
    """Hold what is read from a transcript's frames against what must come of them."""
    messages: dict[str, set[tuple[int, str]]] = {}
    others = []
    for line, frame in script.frames:
        for item in reading.read(frame):
            if isinstance(item, Message):
                messages.setdefault(item.key, set()).add((item.id, item.data.decode()))
            else:
                others.append(line)
                assert item.reason in ("ignored", "missing")
    assert sorted(set(others)) == script.expect["ignored"]
    output = script.expect["output"]
    assert messages.keys() == output.keys()
    for key, wanted in output.items():
        assert {(id, text) for id, text in wanted} <= messages[key]
        late = [*script.expect["late"], *script.expect["repeated"]]
        assert len(messages[key]) <= len(wanted) + len(late)


@pytest.mark.parametrize("name", NAMES)
def test_transcripts(name: str) -> None:
    """A documented feed's messages would be taken for something else, or have other bytes."""
    script = transcript(name)
    check(script, Reader(script.feed.reading))


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("binance", "key"),
        ("coinbase-exchange", "ignore"),
        ("coinbase-exchange", "id"),
        ("coinbase-exchange", "key"),
        ("graphql-ws", "id"),
        ("htx", "decompress"),
        ("htx", "key"),
        ("okx", "key"),
        ("stocks", "messages"),
        ("stocks", "key"),
    ],
)
def test_each_word_matters(name: str, word: str) -> None:
    """A word would do nothing, and nobody notice."""
    script = transcript(name)
    plain = Words(id=parse_path("id"))
    words = dataclasses.replace(script.feed.reading, **{word: getattr(plain, word)})
    with pytest.raises(AssertionError):
        check(script, Reader(words))


@pytest.mark.parametrize(
    ("words", "frame", "items"),
    [
        ("", b'{"id":1}', [Message(b'{"id":1}', 1)]),
        ("", b' {"id":1} \n', [Message(b' {"id":1} \n', 1)]),
        ("", b'{"id":"7"}', [Message(b'{"id":"7"}', 7)]),
        ("", b'{"id":1.0}', [Other(b'{"id":1.0}', "type", "id")]),
        ("", b'{"id":-1}', [Other(b'{"id":-1}', "range", "id")]),
        ("", b'{"x":1}', [Other(b'{"x":1}', "missing", "id")]),
        ("", b"[1]", [Other(b"[1]", "missing", "id")]),
        ("", b"pong", [Other(b"pong", "json")]),
        ("", b'{"id":1,"x":"\xff"}', [Other(b'{"id":1,"x":"\xff"}', "json")]),
        ("", b"", [Other(b"", "json")]),
        ('id = "a.b"', b'{"a":{"b":1},"a":{"b":2}}', [Message(b'{"a":{"b":1},"a":{"b":2}}', 2)]),
        ('id = "a.b"', b'{"a":"{\\"b\\":3}"}', [Message(b'{"a":"{\\"b\\":3}"}', 3)]),
        ('id = "-1"', b'[5,"te",9]', [Message(b'[5,"te",9]', 9)]),
        ('id = "-1"\nignore = { event = "*" }\ndrop = { 1 = "hb" }', b'[5,"hb",9]',
         [Message(b'[5,"hb",9]', 9, drop=True)]),
        ('id = "-1"\nignore = { event = "*" }\ndrop = { 1 = "hb" }', b'{"event":"info"}',
         [Other(b'{"event":"info"}', "ignored", "{ event = '*' }")]),
        ('ignore = "pong"', b"pong\n", [Other(b"pong\n", "ignored", "'pong'")]),
        ('ignore = "{}"', b"{}", [Other(b"{}", "ignored", "'{}'")]),
        ('ignore = { type = "hb" }', b'{"type":"hb","id":1}',
         [Other(b'{"type":"hb","id":1}', "ignored", "{ type = 'hb' }")]),
        ('key = "s"', b'{"id":1,"s":"W"}', [Message(b'{"id":1,"s":"W"}', 1, "W")]),
        ('key = "s"', b'{"id":1,"s":5}', [Message(b'{"id":1,"s":5}', 1, "5")]),
        ('key = "s"', b'{"id":1}', [Other(b'{"id":1}', "key", "s")]),
        ('key = "s"', b'{"id":1,"s":{}}', [Other(b'{"id":1,"s":{}}', "key", "s")]),
        ('key = ["s", "t"]', b'{"id":1,"s":"W","t":2}',
         [Message(b'{"id":1,"s":"W","t":2}', 1, "W 2")]),
        ('key = ["s", "t"]', b'{"id":1,"s":"W"}', [Other(b'{"id":1,"s":"W"}', "key", "t")]),
        ('previous = "p"', b'{"id":1,"p":-1}', [Message(b'{"id":1,"p":-1}', 1, "", -1)]),
        ('previous = "p"', b'{"id":1}', [Message(b'{"id":1}', 1)]),
        ('previous = "p"', b'{"id":1,"p":"x"}', [Other(b'{"id":1,"p":"x"}', "link", "p")]),
        ('restarts = { t = "S" }', b'{"id":1,"t":"S"}',
         [Message(b'{"id":1,"t":"S"}', 1, restart=True)]),
        ('restarts = { t = "S" }', b'{"t":"S"}', [Other(b'{"t":"S"}', "missing", "id", True)]),
        ('restarts = { t = "S" }\nignore = { t = "S" }', b'{"t":"S"}',
         [Other(b'{"t":"S"}', "ignored", "{ t = 'S' }", True)]),
        ('messages = "lines"', b'{"id":1}\n{"id": 2}\r\nx',
         [Message(b'{"id":1}', 1), Message(b'{"id": 2}', 2), Other(b"x", "json")]),
        ('messages = "[]"', b'[{"id":1}, {"id" : 2}]',
         [Message(b'{"id":1}', 1), Message(b'{"id" : 2}', 2)]),
        ('messages = "[]"', b'{"id":1}', [Message(b'{"id":1}', 1)]),
        ('messages = "[]"', b"[]", []),
        ('messages = "data[]"\nkey = "s"', b'{"s":"W","data":[{"id":1},{"id":2,"s":"P"}]}',
         [Message(b'{"id":1}', 1, "W"), Message(b'{"id":2,"s":"P"}', 2, "P")]),
        ('messages = "data[]"\nignore = { c = "hb" }', b'{"c":"hb","data":[{"id":1}]}',
         [Other(b'{"c":"hb","data":[{"id":1}]}', "ignored", "{ c = 'hb' }")]),
        ('messages = "data[]"\nignore = { c = "hb" }', b'{"c":"x","data":[{"id":1,"c":"hb"}]}',
         [Other(b'{"id":1,"c":"hb"}', "ignored", "{ c = 'hb' }")]),
        ('messages = "data[]"\nkey = "s"\nrestarts = { c = "S" }\ndrop = { d = 1 }',
         b'{"c":"S","d":1,"data":[{"id":1,"s":"W"},{"id":2,"s":"W"},{"id":3,"s":"P"}]}',
         [Message(b'{"id":1,"s":"W"}', 1, "W", drop=True, restart=True),
          Message(b'{"id":2,"s":"W"}', 2, "W", drop=True),
          Message(b'{"id":3,"s":"P"}', 3, "P", drop=True, restart=True)]),
        ('decompress = "gzip"', gzip.compress(b'{"id":1}', mtime=0), [Message(b'{"id":1}', 1)]),
        ('decompress = "gzip"', b"\xff", [Other(b"\xff", "compressed")]),
        ("max_message_size = 8", b'{"id":12}', [Other(b'{"id":12}', "oversized")]),
    ],
)  # fmt: skip
def test_items(words: str, frame: bytes, items: list[Any]) -> None:
    """A frame would be taken for something else than it is."""
    assert read(words, frame) == items


def test_bombs() -> None:
    """A small frame would fill the memory."""
    bomb = gzip.compress(b"0" * 10_000_000)
    [item] = read('decompress = "gzip"\nmax_message_size = 100000', bomb)
    assert isinstance(item, Other)
    assert item.reason == "oversized"
    assert item.data == bomb


def test_long_keys() -> None:
    """Somebody would fill the memory with the names of keys."""
    frame = b'{"id":1,"s":"%s"}' % (b"x" * 300)
    assert read('key = "s"', frame) == [Other(frame, "key", "s")]


def test_numbers_of_simple_feeds() -> None:
    """The quick way would give other ids than the slow one."""
    simple = reader('id = "a.b"')
    assert simple.simple
    frames = [b'{"a":{"b":%d}}' % at for at in range(5)]
    assert simple.numbers(frames) == ([0, 1, 2, 3, 4], [])
    mixed = [frames[0], b"x", b'{"a":{"b":"7"}}', b'{"a":{"b":true}}', b'{"a":{"b":2},"x":"\xff"}']
    assert simple.numbers(mixed) == ([0, 7], [(1, "json"), (3, "type"), (4, "json")])
    assert simple.numbers([]) == ([], [])
    assert simple.numbers([b'{"a":{"b":3},"x":"\xc3\xbc"}']) == ([3], [])
    assert not reader('key = "s"').simple


@pytest.mark.parametrize("depth", [900, 1000, 1100, 100_000])
def test_depth_is_the_same_everywhere(depth: int) -> None:
    """A frame would be a message for the one who reads it, and none for the one who reads again."""
    frame = b'{"id":1,"deep":%s%s}' % (b"[" * depth, b"]" * depth)
    reading = reader("")

    def deeper(levels: int) -> list[Message | Other]:
        return deeper(levels - 1) if levels else reading.read(frame)

    room = sys.getrecursionlimit() - 300
    assert reading.read(frame) == deeper(room)
    assert isinstance(reading.read(frame)[0], Message) == (depth < 1023)
