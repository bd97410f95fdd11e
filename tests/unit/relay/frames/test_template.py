"""Texts with holes: what fills them, how it is written, and which cannot be."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from relay.frames.path import Path
from relay.frames.template import MESSAGE_HOLES, Template, Values, parse_template

SECRETS = {"TOKEN": 'a"b+/=', "PLAIN": "p", "BRACES": "{{x}}${PLAIN}"}
FRAME = {
    "ping": 18446744073709551617,
    "half": 1.5,
    "id": "m/1+ü=",
    "quoted": 'a"b\\',
    "lines": "a\r\nX: b",
    "none": None,
    "list": [1, "x"],
    "url": "wss://other.example",
    "deep": {"er": True},
}


def template(text: str, kind: str = "json", words: tuple[str, ...] = ("path", "id")) -> Template:
    return parse_template(text, kind, SECRETS.get, words=words)


def find(path: Path) -> Any:
    return path.find(FRAME)


VALUES = Values(find=find, settled={"": 41, "WOLF": 7}, count=3, now=1_900_000_000_000)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{"pong":{{ping}}}', '{"pong":18446744073709551617}'),
        ('{"pong":"{{ping}}"}', '{"pong":"18446744073709551617"}'),
        ('{"h":{{half}},"d":{{deep.er}}}', '{"h":1.5,"d":true}'),
        ('{"id":{{id}}}', '{"id":"m/1+ü="}'),
        ('{"id":"{{id}}"}', '{"id":"m/1+ü="}'),
        ('{"q":"{{quoted}}"}', '{"q":"a\\"b\\\\"}'),
        ('{"q":{{quoted}}}', '{"q":"a\\"b\\\\"}'),
        ('{"l":"{{list}}"}', '{"l":"[1,\\"x\\"]"}'),
        ('{"l":{{list}}}', '{"l":[1,"x"]}'),
        ('{"s":{{nothing}}}', '{"s":null}'),
        ('{"s":{{none}}}', '{"s":null}'),
        ('{"s":"{{nothing}}"}', None),
        ('{"a":"\\"{{quoted}}"}', '{"a":"\\"a\\"b\\\\"}'),
        ('[{{$count}},{{$now}},{{$id}},{{$id.WOLF}}]', "[3,1900000000000,41,7]"),
        ('[{{$id.NOBODY}}]', "[null]"),
        ("PONG {{id}} {{ping}}", "PONG m/1+ü= 18446744073709551617"),
        ("PONG {{lines}}", None),
        ("PONG {{nothing}}", None),
        ('{"t":"${TOKEN}"}', '{"t":"a\\"b+/="}'),
        ("TOKEN ${TOKEN}", 'TOKEN a"b+/='),
        ("${BRACES}", "{{x}}${PLAIN}"),
        ("a $${PLAIN} ${PLAIN}", "a ${PLAIN} p"),
        ('{"query":"subscription{a{b}}"}', '{"query":"subscription{a{b}}"}'),
    ],
)  # fmt: skip
def test_messages(text: str, sent: str | None) -> None:
    """A server would get what it does not understand, or what somebody put into a frame."""
    assert template(text).render(VALUES) == sent


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://h/?cursor={{$id}}", "wss://h/?cursor=41"),
        ("wss://h/?id={{id}}&x=1", "wss://h/?id=m%2F1%2B%C3%BC%3D&x=1"),
        ("{{url}}/?v=10", "wss://other.example/?v=10"),
        ("wss://h/?id={{nothing}}", None),
        ("wss://h/?t=${TOKEN}", "wss://h/?t=a%22b%2B/="),
        ("wss://${PLAIN}/x", "wss://p/x"),
    ],
)
def test_urls(text: str, url: str | None) -> None:
    """A token with a + in it would arrive as another one."""
    assert template(text, "url").render(VALUES) == url


def test_an_endpoint_s_message() -> None:
    """A message would arrive as something else than it was."""
    message = '{"a":"\\u00fc ü"}'.encode()
    values = dataclasses.replace(VALUES, message=message)

    def sent(text: str) -> str | None:
        return template(text, words=MESSAGE_HOLES).render(values)

    assert sent('{"n":{{$count}},"data":{{$message}}}') == '{"n":3,"data":{"a":"\\u00fc ü"}}'
    assert sent('{"data":{{$string}}}') == '{"data":"{\\"a\\":\\"\\\\u00fc ü\\"}"}'
    assert sent('{"data":"{{$message}}"}') == '{"data":"{\\"a\\":\\"\\\\u00fc ü\\"}"}'
    assert sent('{"data":"{{$base64}}"}') == '{"data":"eyJhIjoiXHUwMGZjIMO8In0="}'
    assert sent("say {{$message}}") == 'say {"a":"\\u00fc ü"}'


@pytest.mark.parametrize(
    "text",
    ["{{a", "${A", "${}", "${1}", "${A B}", "{{}}", "{{a..b}}", "{{$nothing}}", "{{$count.x}}",
     "{{$message}}", "{{$}}", "x {{a}} {{b"],
)  # fmt: skip
def test_impossible(text: str) -> None:
    """A hole that nothing fills would be sent as it stands."""
    with pytest.raises(ValueError, match=r"\w"):
        template(text)


def test_paths_where_nothing_has_come() -> None:
    """A first connection would want what only a frame can say."""
    with pytest.raises(ValueError, match="nothing has come yet"):
        template("{{a}}", words=())
    with pytest.raises(ValueError, match="no meaning here"):
        template("{{$id}}", words=())


def test_what_is_shown() -> None:
    """A secret would stand in a log."""
    shown = template('{"t":"${TOKEN}"}')
    assert repr(shown) == """Template('{"t":"${TOKEN}"}')"""
    assert SECRETS["TOKEN"] not in repr(shown.parts)
    assert "hunter2" not in repr(template("wss://u:hunter2@h/?token=hunter2", "url"))
    assert "hunter2" not in repr(Values(secrets={"A": "hunter2"}))


def test_what_comes_later() -> None:
    """A token of a command would be taken for missing, or an old one be sent."""
    late = parse_template('{"t":"${LATE}","n":{{$now}}}', "json", lambda _: None)
    assert late.render(VALUES) is None
    values = dataclasses.replace(VALUES, secrets={"LATE": 'x"'})
    assert late.render(values) == '{"t":"x\\"","n":1900000000000}'
    assert not late.fixed
    assert not late.counts
    assert template('{"n":{{$count}}}').counts
    assert template("fixed ${PLAIN}").fixed
