"""What is said to feeds: held against transcripts of documented protocols, and word by word."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from relay.conversation import Conversation, Plan, Unready
from relay.feedfile import Feed, parse
from relay.feedfile.secrets import Secrets
from relay.frames.reader import Message, Reader
from tests.support.transcripts import NAMES, Transcript, fits, frame, transcript, wanted

WALL = 1_900_000_000_000


class Played:
    """Plays a transcript against a conversation, as strictly as the real server."""

    def __init__(self, script: Transcript, without: str = "") -> None:
        settings = script.expect["settings"]
        feed = script.feed
        if without:
            plain: Any = Feed(name=feed.name, url=feed.url)
            left_out: dict[str, Any] = {without: getattr(plain, without)}
            feed = dataclasses.replace(feed, **left_out)
        if "ping_interval" in settings:
            feed = dataclasses.replace(feed, ping_interval=settings["ping_interval"])
        self.talk = Conversation(feed)
        self.reader = Reader(feed.reading)
        self.now = 100.0
        self.sent: list[str] = []
        self.fresh = 0
        """Of what was sent, how much had been sent before the last frame came."""
        self.refusals = 0
        self.keepalive: dict[str, Any] | None = None
        self.alive = 0.0
        self.acks: dict[str, Any] | None = None

    def play(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if "connect" in line:
                self.connect(line["connect"])
            elif "keepalive" in line:
                self.keepalive, self.alive = line["keepalive"], self.now
            elif "acks" in line:
                self.acks = line["acks"]
            elif line.get("dir") == "out":
                self.expect(line)
            elif line.get("dir") == "in":
                self.hear(line)
            elif "wait_ms" in line:
                self.wait(line["wait_ms"] / 1000)
            elif "close" in line or "drop" in line:
                assert self.sent == []
                self.talk.ended()
        assert self.sent == []

    def connect(self, server: dict[str, Any]) -> None:
        self.keepalive = self.acks = None
        for _ in range(2):
            plan = self.talk.plan(WALL)
            if self.suits(plan, server):
                self.sent = self.talk.opened(self.now, WALL)
                return
            self.refusals += 1
            self.talk.opened(self.now, WALL)
            self.talk.ended(refused=True)
        pytest.fail(f"{plan.url} does not suit {server}")

    @staticmethod
    def suits(plan: Plan, server: dict[str, Any]) -> bool:
        parts = urlsplit(plan.url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        names = server.get("query", {})
        return (
            parts.path in (server.get("path", parts.path), server.get("path", "").rstrip("/"))
            and all(fits(query.get(name), pattern) for name, pattern in names.items())
            and query.keys() <= names.keys()
            and server.get("subprotocol") in (None, *plan.subprotocols)
        )

    def expect(self, line: dict[str, Any]) -> None:
        for at, message in enumerate(self.sent):
            if wanted(message, line):
                assert at >= self.fresh or "early" not in line
                del self.sent[at]
                return
        pytest.fail(f"{line} is not among {self.sent}")

    def hear(self, line: dict[str, Any]) -> None:
        self.wait(line["after_ms"] / 1000)
        data = frame(line)
        self.fresh = len(self.sent)
        self.sent += self.talk.heard(data, WALL)
        for item in self.reader.read(data):
            if isinstance(item, Message):
                before = self.talk.settled.get(item.key, 0)
                self.talk.settled = {**self.talk.settled, item.key: max(before, item.id)}
        if "ack" in line and self.acks:
            acks = [text for text in self.sent if wanted(text, self.acks)]
            assert [json.loads(text)[self.acks["value"]] for text in acks] == [line["ack"]]
            self.sent = [text for text in self.sent if text not in acks]

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.talk.due <= end:
            self.now = self.talk.due
            pings = self.talk.ping(self.now, WALL)
            assert all(self.keepalive and wanted(text, self.keepalive) for text in pings)
            self.alive = self.now if pings else self.alive
        self.now = end
        if self.keepalive:
            assert self.now - self.alive <= self.keepalive["within_ms"] / 1000


@pytest.mark.parametrize("name", NAMES)
def test_transcripts(name: str) -> None:
    """A documented feed would refuse us, or cut us off."""
    script = transcript(name)
    played = Played(script)
    played.play(script.lines[1:])
    assert played.refusals == script.expect["refusals"]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("azure-webpubsub", "replies"),
        ("azure-webpubsub", "resume"),
        ("azure-webpubsub", "subprotocols"),
        ("coinbase-exchange", "open_message"),
        ("graphql-ws", "open_message"),
        ("graphql-ws", "replies"),
        ("graphql-ws", "subprotocols"),
        ("htx", "decompress"),
        ("htx", "open_message"),
        ("htx", "replies"),
        ("okx", "open_message"),
        ("okx", "ping_message"),
        ("stocks", "messages"),
        ("stocks", "open_message"),
        ("stocks", "replies"),
    ],
)
def test_each_word_matters(name: str, word: str) -> None:
    """A word would do nothing, and nobody notice."""
    script = transcript(name)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        Played(script, without=word).play(script.lines[1:])


@pytest.mark.parametrize("name", NAMES)
def test_heartbeats(name: str) -> None:
    """What keeps a line alive would be taken for a message, or the other way round."""
    script = transcript(name)
    talk = Conversation(script.feed)
    beats = [line for line, data in script.frames if talk.is_heartbeat(data)]
    assert set(beats) <= set(script.expect["ignored"])
    # What has no number is no message either, whether a pattern knows it or not.
    if name not in ("binance", "coinbase-exchange"):
        assert beats == script.expect["ignored"]


def conversation(words: str, environ: dict[str, str] | None = None) -> Conversation:
    text = words if "[feed.a]" in words else f'[feed.a]\nurl = "ws://h/x"\n{words}'
    return Conversation(parse(text, "feeds.toml", Secrets(environ or {}))["a"])


def fruitful(talk: Conversation) -> bool:
    return talk.fruitful


def opened(talk: Conversation) -> list[str]:
    talk.plan(WALL)
    return talk.opened(0.0, WALL)


def test_a_plain_feed_says_nothing() -> None:
    """Feeds of before would cost more than they did."""
    talk = conversation("")
    assert not talk.listens
    assert talk.plan(WALL) == Plan("ws://h/x", (), (), None, False)
    assert talk.opened(0.0, WALL) == []
    assert talk.heard(b'{"id":1}', WALL) == []
    assert talk.ping(1e9, WALL) == []
    assert not conversation('ignore = { type = "hb" }\nkey = "x"').listens
    assert conversation("replies = { on = 'a', send = 'b' }").listens


def test_pings_at_intervals() -> None:
    """A feed would cut us off, or get more pings than it allows."""
    talk = conversation('ping_message = \'{"n":{{$count}},"t":{{$now}}}\'\nping_interval = 10')
    talk.plan(WALL)
    talk.opened(100.0, WALL)
    assert talk.due == 110.0
    assert talk.ping(109.9, WALL) == []
    assert talk.ping(110.0, WALL) == ['{"n":1,"t":1900000000000}']
    assert talk.ping(110.0, WALL) == []
    assert talk.ping(125.0, WALL + 1) == ['{"n":2,"t":1900000000001}']
    assert talk.due == 135.0
    talk.ended()
    assert talk.ping(1e9, WALL) == []
    opened(talk)
    assert talk.ping(10.0, WALL) == ['{"n":1,"t":1900000000000}']


def test_the_frame_first_then_the_latest() -> None:
    """A heartbeat would name a number of long ago, or none."""
    talk = conversation('ping_message = \'{"d":{{s}}}\'\nping_interval = 1\n'
                        'replies = { on = { op = 1 }, send = \'{"d":{{s}}}\' }')  # fmt: skip
    opened(talk)
    assert talk.ping(1.0, WALL) == ['{"d":null}']
    assert talk.heard(b'{"op":0,"s":5}', WALL) == []
    assert talk.heard(b'{"op":0,"s":7}', WALL) == []
    assert talk.heard(b'{"op":11,"s":null}', WALL) == []
    assert talk.ping(2.0, WALL) == ['{"d":7}']
    assert talk.heard(b'{"op":1,"s":9}', WALL) == ['{"d":9}']
    assert talk.heard(b'{"op":1,"s":null}', WALL) == ['{"d":9}']
    talk.ended()
    opened(talk)
    assert talk.ping(1.0, WALL) == ['{"d":null}']  # an older session's number


def test_several_answers() -> None:
    """Of two steps that one frame asks for, one would be left out."""
    talk = conversation(
        "[[feed.a.replies]]\non = { a = 1 }\nsend = ['x', 'y']\n"
        "[[feed.a.replies]]\non = [{ b = 1 }, { a = 1 }]\nsend = 'z'\n[feed.a]\nurl = 'ws://h'"
    )
    opened(talk)
    assert talk.heard(b'{"a":1}', WALL) == ["x", "y", "z"]
    assert talk.heard(b'{"b":1}', WALL) == ["z"]
    assert talk.heard(b"\xff", WALL) == []
    assert talk.heard(b"[" * 100_000, WALL) == []


def test_answers_to_what_is_in_a_frame() -> None:
    """A login's reply would not be found in its array, or be answered twice."""
    talk = conversation('messages = "data[]"\nreplies = { on = { t = "*" }, send = "{{t}}" }')
    opened(talk)
    assert talk.heard(b'{"data":[{"t":1},{"u":2},{"t":3}]}', WALL) == ["1", "3"]
    assert talk.heard(b'{"t":0,"data":[{"t":1}]}', WALL) == ["0"]
    lines = conversation('messages = "lines"\nreplies = { on = "{}", send = "{}" }')
    opened(lines)
    assert lines.heard(b'{"a":1}\n{}\n', WALL) == ["{}"]
    assert lines.heard(b"{}", WALL) == ["{}"]


def test_what_cannot_be_filled_is_not_sent() -> None:
    """A server would get a text with a hole in it."""
    talk = conversation('replies = { on = { a = 1 }, send = \'{"x":"{{b}}"}\' }')
    opened(talk)
    assert talk.heard(b'{"a":1}', WALL) == []
    assert talk.heard(b'{"a":1,"b":"\\""}', WALL) == ['{"x":"\\""}']


RESUMED = """
[feed.a]
url = "ws://h/x"
open_message = "hello"
replies = [{ on = { t = "hello" }, send = "login" }]
ignore = { t = "*" }
[feed.a.resume]
url = "ws://h/x?session={{session}}&from={{$id}}"
replies = [{ on = { t = "hello" }, send = "resume {{$id}}" }]
"""


def test_going_on() -> None:
    """What was sent during an outage would be lost, or a session be asked for that is gone."""
    talk = conversation(RESUMED)
    assert opened(talk) == ["hello"]
    assert talk.heard(b'{"t":"hello","session":"s+1"}', WALL) == ["login"]
    assert not fruitful(talk)
    assert talk.heard(b'{"id":7}', WALL) == []
    assert fruitful(talk)
    talk.ended()
    assert not talk.plan(WALL).resumed  # nothing is settled
    assert not fruitful(talk)
    talk.settled = {"": 7}
    plan = talk.plan(WALL)
    assert (plan.url, plan.resumed) == ("ws://h/x?session=s%2B1&from=7", True)
    assert talk.opened(0.0, WALL) == ["hello"]
    assert talk.heard(b'{"t":"hello"}', WALL) == ["resume 7"]
    assert talk.heard(b'{"id":8}', WALL) == []
    talk.ended()
    talk.settled = {"": 8}
    assert talk.plan(WALL).url.endswith("from=8")
    assert talk.plan(WALL).url.endswith("from=8")  # nobody had answered
    talk.opened(0.0, WALL)
    assert talk.heard(b'{"t":"gone"}', WALL) == []
    talk.ended()
    assert talk.plan(WALL) == Plan("ws://h/x", (), (), None, False)  # it brought no message
    talk.opened(0.0, WALL)
    talk.ended()
    assert not talk.plan(WALL).resumed
    talk.opened(0.0, WALL)
    assert talk.heard(b'{"t":"hello","session":"s2"}', WALL) == ["login"]
    assert talk.heard(b'{"id":1}', WALL) == []
    talk.ended()
    assert talk.plan(WALL).resumed
    talk.ended(refused=True)
    assert not talk.plan(WALL).resumed


def test_going_on_where_no_id_is_named() -> None:
    """While nothing is settled, what a server keeps for whoever comes back would be lost."""
    text = '[feed.a]\nurl = "ws://h/x"\nignore = { t = "*" }\nresume = { url = "ws://h/{{s}}" }'
    talk = conversation(text)
    opened(talk)
    assert talk.heard(b'{"t":"hello","s":"one"}', WALL) == []
    talk.ended()
    assert not talk.plan(WALL).resumed  # no message has come
    talk.opened(0.0, WALL)
    assert talk.heard(b'{"t":"hello","s":"two"}', WALL) == []
    assert talk.heard(b'{"id":1}', WALL) == []
    talk.ended()
    assert talk.plan(WALL).url == "ws://h/two"


def test_going_on_by_keys() -> None:
    """A feed with a numbering for each key would be asked for another one's."""
    talk = conversation('key = "s"\n[feed.a.resume]\nurl = "ws://h/?w={{$id.WOLF}}"')
    talk.settled = {"PACK": 1}
    assert not talk.plan(WALL).resumed
    talk.settled = {"PACK": 1, "WOLF": 2}
    assert talk.plan(WALL).url == "ws://h/?w=2"


def test_what_a_command_says() -> None:
    """A connection would be made with a token that has expired, or with none."""
    talk = conversation(
        '[feed.a]\ncredentials = ["./sign"]\nurl = "ws://h/?t=${TOKEN}"\n'
        'headers = { X-Key = "${KEY}", X-Sign = "${SIGN}" }\n',
        {"KEY": "k"},
    )
    with pytest.raises(Unready, match=r"url: \$\{TOKEN\} was not said"):
        talk.plan(WALL)
    talk.secrets = {"TOKEN": "t", "SIGN": "s3cr3t"}
    plan = talk.plan(WALL)
    assert plan.headers == (("X-Key", "k"), ("X-Sign", "s3cr3t"))
    assert plan.url == "ws://h/?t=t"
    assert "s3cr3t" not in repr(plan)
    talk.secrets = {"TOKEN": "t2", "SIGN": "s2"}
    assert talk.plan(WALL).url == "ws://h/?t=t2"


def test_secrets_are_hidden_in_what_others_say() -> None:
    """A feed's complaint would carry our token into the log."""
    talk = conversation(
        '[feed.a]\ncredentials = ["./sign"]\nurl = "ws://h/?t=${TOKEN}&s=${SIGN}"\n'
        'open_message = \'{"k":"${KEY}"}\'\nproxy_url = "http://u:${PASS}@p"\n',
        {"TOKEN": "t/0ken", "KEY": "k3yk3y", "PASS": "w0rd"},
    )
    talk.secrets = {"SIGN": "s+gn"}
    said = "no t/0ken, t%2F0ken, k3yk3y, w0rd, s+gn, s%2Bgn at h"
    assert talk.hide(said) == "no ***, ***, ***, ***, ***, *** at h"


def test_secrets_are_hidden_however_they_are_written() -> None:
    """A quote in a password, or a pattern that names it, would be enough to show it."""
    talk = conversation(
        '[feed.a]\nurl = "ws://h/?t=${TOKEN}"\nopen_message = \'{"k":"${KEY}"}\'\n'
        'replies = [{ on = { t = "${SAID}" }, send = "x" }]\nignore = "a ${HEARD}"\n',
        {"TOKEN": "to ken=", "KEY": 'k"é\n', "SAID": "s4id", "HEARD": "h3ard"},
    )
    assert talk.plan(WALL).url == "ws://h/?t=to%20ken="
    said = 'to%20ken=, {"k":"k\\"é\\n"}, k\\"\\u00e9\\n, s4id, a h3ard'
    assert talk.opened(0.0, WALL) == ['{"k":"k\\"é\\n"}']
    assert talk.hide(said) == '***, {"k":"***"}, ***, ***, ***'


def test_an_endpoint_s_secrets_are_hidden() -> None:
    """An endpoint that repeats a message, or confirms it, would bring a secret into the log."""
    text = (
        '[feed.a]\nurl = "ws://h"\n[feed.a.endpoint.e]\nurl = "ws://e"\n'
        'message = \'{"k":"${KEY}","m":{{$message}}}\'\nack = { to = "${WHO}" }\n'
    )
    [words] = parse(text, "feeds.toml", Secrets({"KEY": "k3yk3y", "WHO": "wh0m"}))["a"].endpoints
    assert Conversation(words).hide('{"k":"k3yk3y"}, wh0m') == '{"k":"***"}, ***'


def test_endpoints_talk_too() -> None:
    """An endpoint that wants a login would get messages only."""
    text = """
        [feed.a]
        url = "ws://h"
        [feed.a.endpoint.b]
        url = "ws://e"
        open_message = '{"id":{{$count}},"connect":{}}'
        replies = [{ on = "{}", send = "{}" }]
    """
    [words] = parse(text, "feeds.toml", Secrets({}))["a"].endpoints
    talk = Conversation(words)
    assert opened(talk) == ['{"id":1,"connect":{}}']
    assert talk.count() == 2
    assert talk.heard(b"{}", WALL) == ["{}"]
    assert not talk.is_heartbeat(b"{}")
