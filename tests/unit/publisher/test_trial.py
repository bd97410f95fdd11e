"""What a person is told who tries an endpoint's words."""

from __future__ import annotations

import pytest

from publisher.trial import SHOWN, Trial
from relay.conversation import Conversation
from relay.feedfile import parse
from relay.feedfile.secrets import Secrets

COUNTED = """
    message = '[2,"{{$count}}",{{$message}}]'
    ack = { 0 = 3, 1 = "{{$count}}" }
"""
OPENING = 'open_message = \'[2,"{{$count}}","boot"]\'\n'


def trial(words: str) -> Trial:
    text = f'[feed.a]\nurl = "ws://h"\n[feed.a.endpoint.e]\nurl = "ws://h/${{KEY}}"\n{words}'
    [endpoint] = parse(text, "feeds.toml", Secrets({"KEY": "s3cr3t"}))["a"].endpoints
    conversation = Conversation(endpoint)
    conversation.opened(0.0, 0)
    return Trial(endpoint, conversation)


@pytest.mark.parametrize(
    ("words", "frame", "line"),
    [
        (COUNTED, '[3,"17",{}]', '< confirms message 17  [3,"17",{}]'),
        (COUNTED, '[4,"17"]', '< does not fit `ack`, confirms nothing  [4,"17"]'),
        (COUNTED, "no JSON", "< does not fit `ack`, confirms nothing  no JSON"),
        ("ack = 'ok'", "ok", "< confirms the oldest message on its way  ok"),
        (
            COUNTED + OPENING,
            '[3,"1",{}]',
            '< confirms no message: 1 is the count of something else that was sent  [3,"1",{}]',
        ),
        (COUNTED + OPENING, '[3,"2",{}]', '< confirms message 2  [3,"2",{}]'),
        ("", "hello", "< its own words  hello"),
        ("", "\x1b[2J" + "x" * SHOWN, "< its own words  ·[2J" + "x" * (SHOWN - 5) + "…"),
        ("", "s3cr3t", "< its own words  ***"),
    ],
)
def test_lines(words: str, frame: str, line: str) -> None:
    """Somebody who writes an endpoint's words would have to guess what they do."""
    assert trial(words).heard(frame.encode(), []) == [line]


def test_what_is_answered() -> None:
    """A reply would stand there, and nobody could tell to what."""
    assert trial("").heard(b"{}", ["x"]) == ["< its own words, answered  {}"]
    assert trial(COUNTED).heard(b'[3,"7"]', ["x"]) == ['< confirms message 7, answered  [3,"7"]']
    assert trial("").said('{"k":"s3cr3t"}') == '> {"k":"***"}'


def test_summary() -> None:
    """Nobody would know in the end how much came of what."""
    tried = trial(COUNTED + OPENING)
    tried.said("boot")
    tried.ponged(0.0012)
    tried.heard(b'[3,"1"]', [])
    for _ in range(3):
        tried.heard(b"[]", [])
    tried.heard(b"{}", ["x"])
    assert tried.good
    assert tried.summary() == [
        "5 frames, 1 sent, a pong after 1.2 ms",
        "  3 does not fit `ack`, confirms nothing",
        "  1 fits `ack` for something else that was sent",
        "  1 does not fit `ack`, confirms nothing, answered",
        "`ack` is set, and was not tried: no message was sent that could be confirmed",
    ]


def test_an_ack_that_fits_too_much() -> None:
    """What answers the opening would confirm messages that nobody has taken."""
    tried = trial("ack = { status = 'ok' }")
    tried.heard(b'{"status":"ok"}', [])
    tried.heard(b'{"status":"ok"}', ["x"])
    assert tried.summary()[-1] == "no message was sent, and `ack` fits 2: does it fit too much?"


def test_pongs_confirm_where_nothing_else_does() -> None:
    """An endpoint that sends no pongs would look fine, and be left again and again at work."""
    assert not trial("").good
    tried = trial("")
    assert "none came: nothing would count" in tried.summary()[-1]
    assert "only listens" in tried.summary()[-2]
    assert tried.ponged(0.003) == "< its pong, after 3.0 ms"
    assert tried.good
    assert "pongs count, and it sends them" in tried.summary()[-1]
    assert trial(COUNTED).good


def test_an_opening_without_an_answer() -> None:
    """A subscription in the wrong words would look like an endpoint that only listens."""
    assert "`open_message`" in trial("open_message = 'x'").summary()[1]
    assert "only listens" not in "".join(trial("open_message = 'x'").summary())


def test_an_end_before_its_time() -> None:
    """An endpoint that throws us out would look fine because it has sent a pong before."""
    for words in ("", COUNTED):
        tried = trial(words)
        tried.ponged(0.1)
        assert tried.closed("4001 no") == "closed: 4001 no"
        assert not tried.good
        assert tried.summary()[1].startswith("it has ended the connection: does it want")
    assert "none came" not in "".join(trial(COUNTED).summary())
