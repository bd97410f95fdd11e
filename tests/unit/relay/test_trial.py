"""What a person is told who tries a feed's words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from relay.feedfile import parse
from relay.feedfile.secrets import Secrets
from relay.trial import SHOWN, Trial
from tests.support.transcripts import NAMES, transcript


def trial(words: str, hide: Callable[[str], str] | None = None) -> Trial:
    feeds = parse(f'[feed.a]\nurl = "ws://h"\n{words}', "feeds.toml", Secrets({}))
    return Trial(feeds["a"], hide)


@pytest.mark.parametrize(
    ("words", "frame", "line"),
    [
        ("", '{"id":7}', '< message 7  {"id":7}'),
        ('key = "s"', '{"id":7,"s":"W"}', '< message 7 of W  {"id":7,"s":"W"}'),
        ('previous = "p"', '{"id":7,"p":6}', '< message 7 after 6  {"id":7,"p":6}'),
        ('first = "f"', '{"id":7,"f":5}', '< message 7 from 5 on  {"id":7,"f":5}'),
        ("drop = { d = 1 }", '{"id":7,"d":1}', '< message 7, not sent on  {"id":7,"d":1}'),
        ("restarts = { d = 1 }", '{"id":7,"d":1}', '< message 7, begins anew  {"id":7,"d":1}'),
        ("ignore = { t = 1 }", '{"t":1}', '< ignored by { t = 1 }  {"t":1}'),
        (
            "restarts = { t = 1 }",
            '{"t":1}',
            '< no message: nothing at `id`, all begins anew  {"t":1}',
        ),
        ("", '{"id":1.5}', '< no message: no number, digits or time at `id`  {"id":1.5}'),
        ("", "pong", "< no message: neither JSON nor known to a pattern  pong"),
        ('messages = "[]"', "[]", "< nothing in it  []"),
    ],
)
def test_lines(words: str, frame: str, line: str) -> None:
    """Somebody who writes a feed's words would have to guess what they do."""
    assert trial(words).heard(frame.encode()) == [line]


def test_an_array_has_a_line_for_each() -> None:
    """What is in a frame would be told as one thing."""
    assert trial('messages = "[]"').heard(b'[{"id":1},{"x":2}]') == [
        '< message 1  {"id":1}',
        '< no message: nothing at `id`  {"x":2}',
    ]


def test_secrets_are_not_shown() -> None:
    """A feed that repeats a token would bring it into a terminal, or half of it where it is cut."""
    tried = trial("", lambda text: text.replace("s3cr3t", "***"))
    [line] = tried.heard(b"x" * (SHOWN - 3) + b"s3cr3t")
    assert line.endswith("xxx***")
    assert tried.said('{"token":"s3cr3t"}') == '> {"token":"***"}'


def test_summary() -> None:
    """Nobody would know in the end how much came of what."""
    tried = trial('key = "s"\nignore = "pong"')
    tried.said("subscribe")
    for at in range(12):
        tried.heard(b'{"id":%d,"s":"%d"}' % (at, at % 6))
    tried.heard(b"pong")
    tried.heard(b'{"id":1}')
    assert tried.summary() == [
        "14 frames, 1 sent; 12 messages of 6 keys",
        "  2 of 0: 0 to 6",
        "  2 of 1: 1 to 7",
        "  2 of 2: 2 to 8",
        "  2 of 3: 3 to 9",
        "  2 of 4: 4 to 10",
        "  and 1 more keys",
        "  1 ignored by 'pong'",
        "  1 no message: no text and no number at `s`",
    ]


def test_silence() -> None:
    """Somebody would wait for what never comes without being asked."""
    [told, advice] = trial("").summary()
    assert told == "0 frames, 0 sent; 0 messages"
    assert "open_message" in advice


SUGGESTED = {
    "azure-webpubsub": "`sequenceId` looks like a number that grows by one",
    "binance": "`data.U` looks like the first of the numbers up to `data.u`",
    "coinbase-exchange": "`sequence` looks like a number that grows by one per `product_id`",
    "graphql-ws": "`payload.data.orders.seq` looks like a number that grows by one",
    "htx": "`tick.prevSeqNum` looks like the `tick.seqNum` of the message before",
    "jetstream": '`time_us` looks like a number that grows with holes: step = "any"',
    "okx": "`data.0.prevSeqId` looks like the `data.0.seqId` of the message before",
    "stocks": '`q` looks like a number that grows with holes per `ev`: step = "any"',
}


@pytest.mark.parametrize("name", NAMES)
def test_suggestions(name: str) -> None:
    """A new user would have to read a protocol's manual to find the number in it."""
    script = transcript(name)
    blind = trial(
        'id = "nothing"\n'
        + (f'decompress = "{script.feed.decompress}"\n' if script.feed.decompress else "")
        + (f'messages = "{script.feed.messages.text}"\n' if script.feed.messages else "")
    )
    seeing = Trial(script.feed)
    for _, frame in script.frames:
        blind.heard(frame)
        seeing.heard(frame)
    assert SUGGESTED[name] in blind.summary()
    assert not [line for line in seeing.summary() if "looks like" in line]


def test_a_wide_feed_does_not_take_long() -> None:
    """The summary would come a minute after the trial."""
    tried = trial("")
    for at in range(600):
        values: dict[str, int | str] = {f"n{name}": at * name for name in range(300)}
        values |= {f"k{name}": f"{at % 7}" for name in range(50)}
        tried.heard(json.dumps(values).encode())
    began = time.process_time()
    assert tried.summary()
    assert time.process_time() - began < 10


def test_noise_is_no_number() -> None:
    """Prices would be suggested as sequence numbers."""
    tried = trial("")
    for at in range(100):
        tried.heard(b'{"price":%d,"same":5,"name":"x%d","n":null}' % (at * 7919 % 101, at))
    assert not [line for line in tried.summary() if "looks like" in line]
