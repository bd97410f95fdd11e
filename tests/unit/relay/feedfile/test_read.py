"""Files of feeds: good ones become words, broken ones a line for each mistake."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest

from relay.feedfile import ANY, Feed, FeedFileError, load, parse
from relay.feedfile.secrets import Secrets
from relay.feedfile.words import Endpoint, Resume, words
from relay.frames.template import Values
from tests.support.processes import ROOT

TABLES = (ROOT / "tests/support/feeds.toml").read_text()
EXAMPLE = (ROOT / "feeds.example.toml").read_text()
SECRET = "s3cr3t"

ENVIRON = {
    "KEY": SECRET,
    "URL": f"https://h/{SECRET}",
    "TWO_LINES": f"{SECRET}\nX: {SECRET}",
    "SPACED": f"{SECRET} and more",
    "BOTH": SECRET,
    "BOTH_FILE": "both",
    "GONE_FILE": "gone",
    "EMPTY_FILE": "empty",
    "BINARY_FILE": "binary",
    "HUGE_FILE": "huge",
}
FILES = {"empty": b"\n", "binary": b"\xff\xfe", "huge": b"x" * 100_000}


def reading(text: str) -> Callable[[str], bytes]:
    """Make what reads `feeds.toml` and the secrets' files."""

    def read(name: str) -> bytes:
        if name == "feeds.toml":
            return text.encode()
        if name not in FILES:
            raise FileNotFoundError(2, "No such file or directory", name)
        return FILES[name]

    return read


def feeds(text: str, environ: dict[str, str] | None = None) -> dict[str, Feed]:
    return load("feeds.toml", ENVIRON if environ is None else environ, reading(text))


def mistakes(text: str) -> list[str]:
    with pytest.raises(FeedFileError) as error:
        feeds(text)
    assert str(error.value) == "\n".join(error.value.mistakes)
    assert SECRET not in str(error.value)
    for line in error.value.mistakes:
        assert line.startswith("feeds.toml: ")
        assert "\n" not in line
    return [line.removeprefix("feeds.toml: ") for line in error.value.mistakes]


def environ_of(text: str) -> dict[str, str]:
    return {name: f"{SECRET}-{name}" for name in re.findall(r"\$\{(\w+)\}", text)}


def test_all_tables_load() -> None:
    """A feed that can be served could not be written down."""
    found = feeds(TABLES, environ_of(TABLES))
    assert len(found) == 44
    assert len(found["orders"].endpoints) == 8
    assert found["jetstream"].step == ANY
    assert found["kraken-futures"].key == (
        dataclasses.replace(found["gemini"].id, **_path("feed")),
        dataclasses.replace(found["gemini"].id, **_path("product_id")),
    )
    assert found["discord"].resume is not None
    assert found["discord"].resume.open_message is None
    assert SECRET not in repr(found)


def _path(text: str) -> dict[str, Any]:
    [key] = feeds(f'[feed.a]\nurl = "ws://h"\nkey = "{text}"')["a"].key
    return {"text": key.text, "steps": key.steps}


def test_the_tables_have_every_word() -> None:
    """A word would be read by nothing that the tests see, or be missing from the tables."""
    known = {*words(Feed), *words(Endpoint), *words(Resume)}
    assert len(known) == 30  # and `resume`, which is a table
    used = {word for word in known if re.search(rf"(?m)^{word} = ", TABLES + EXAMPLE)}
    assert known - used == {"proxy_url", "connect_timeout", "max_message_size", "capacity"}


def test_the_example_loads() -> None:
    """A new user's first file would be refused."""
    found = feeds(EXAMPLE, environ_of(EXAMPLE))
    assert len(found) == 5
    assert sum(len(feed.endpoints) for feed in found.values()) >= 1
    names = re.findall(r"(?m)^# +([A-Z_]+)=", EXAMPLE)
    assert {*names, "NAME"} == set(environ_of(EXAMPLE))


def test_a_url_alone() -> None:
    """The simplest table would want more than a URL."""
    feed = feeds('[feed.trades]\nurl = "wss://feed.example/trades"')["trades"]
    assert (feed.name, feed.url.render(Values())) == ("trades", "wss://feed.example/trades")
    assert (feed.id.text, feed.key, feed.step, feed.restarts) == ("id", (), 1, "auto")
    assert (feed.first_id, feed.gap_timeout, feed.capacity) == (None, None, None)


def test_one_or_several() -> None:
    """A list of one would be something else than the one."""
    one = """
        open_message = "a"
        subprotocols = "b"
        key = "c"
        ignore = { d = 1 }
        restarts = { e = 1 }
        replies = { on = { f = 1 }, send = "g" }
    """
    several = """
        open_message = ["a"]
        subprotocols = ["b"]
        key = ["c"]
        ignore = [{ d = 1 }]
        restarts = [{ e = 1 }]
        replies = [{ on = [{ f = 1 }], send = ["g"] }]
    """
    table = '[feed.x]\nurl = "ws://h"\n'
    assert feeds(table + one) == feeds(table + several)


def test_what_goes_together() -> None:
    """A file that makes sense would be refused."""
    feed = feeds("""
        [feed.a]
        url = "ws://h/?cursor={{$now}}"
        open_message = "{\\"a\\":1}\\n{\\"b\\":{{$count}}}"
        id = "q"
        key = "s"
        first = "p"
        step = 1
        first_id = 1
        resume = { url = "ws://h/?cursor={{$id}}&w={{$id.WOLF}}" }
        max_message_size = 200_000_000
        [feed.a.endpoint.b]
        url = "ws://e"
        ack = { ok = true }
        delivery = "at-most-once"
    """)["a"]
    assert feed.first is not None
    assert feed.endpoints[0].ack is not None


def test_secrets_in_patterns() -> None:
    """An account's name would have to stand in the file, or be shown."""
    text = """
        [feed.a]
        url = "ws://h"
        ignore = [{ account = "${KEY}-x", t = 1 }, "${KEY}"]
    """
    feed = feeds(text)["a"]
    [table, whole] = feed.ignore
    assert table.fits(b"", lambda path: {"account": "s3cr3t-x", "t": 1}[path.text])
    assert whole.fits(b"s3cr3t", lambda _: None)
    assert SECRET not in repr(feed)
    assert table.shown == "{ account = '${KEY}-x', t = 1 }"
    assert whole.shown == "'${KEY}'"
    assert feeds(text, {"KEY": "other"})["a"] != feed


def test_special_values() -> None:
    """The words that stand for numbers would not be taken."""
    feed = feeds(
        '[feed.a]\nurl = "ws://h"\nstep = "any"\ngap_timeout = "never"\nfirst_id = "auto"\n'
        'restarts = "connection"\n'
    )["a"]
    assert (feed.step, feed.gap_timeout, feed.first_id) == (ANY, float("inf"), None)
    assert feed.restarts == "connection"


def test_a_changed_secret_is_a_changed_feed() -> None:
    """A reload would not see that a token was renewed."""
    text = '[feed.a]\nurl = "ws://h/?token=${KEY}"\n[feed.b]\nurl = "ws://h"\n'
    one, two = feeds(text, {"KEY": "1"}), feeds(text, {"KEY": "2"})
    assert one["a"] != two["a"]
    assert one["b"] == two["b"]
    assert one["a"] == feeds(text, {"KEY": "1"})["a"]


def test_whole_urls_from_the_environment() -> None:
    """A service would have to be told the addresses of those whom it does not connect to."""
    text = """
        [feed.a]
        url = "${FEED_URL}"
        replies = [{ on = "${KEY}", send = "x" }]
        [feed.a.endpoint.b]
        url = "wss://h:${PORT}/"
    """
    environ = {"FEED_URL": "ws://f", "KEY": "k", "PORT": "1"}
    read = reading(text)
    assert list(load("feeds.toml", {}, read, feeds=False, endpoints=False)) == ["a"]
    theirs = load("feeds.toml", {"PORT": "1"}, read, feeds=False)["a"].endpoints[0]
    assert theirs.url.render(Values()) == "wss://h:1/"
    assert load("feeds.toml", environ, read)["a"].url.render(Values()) == "ws://f"
    with pytest.raises(FeedFileError, match="does not start with ws:// or wss://"):
        load("feeds.toml", {**environ, "FEED_URL": "f"}, read)
    with pytest.raises(FeedFileError, match="is not a URL"):
        load("feeds.toml", {"PORT": "x"}, read, feeds=False)


def test_what_credentials_say_need_not_be_set() -> None:
    """A token that is fetched before each connect would have to stand in the environment."""
    feed = feeds(
        '[feed.a]\ncredentials = ["./token", "${KEY}"]\nurl = "ws://h/?t=${FETCHED}&k=${KEY}"\n'
        'resume = { url = "ws://h/again?t=${FETCHED}" }\n'
    )["a"]
    assert feed.url.render(Values()) is None
    assert feed.url.render(Values(secrets={"FETCHED": "f+1"})) == f"ws://h/?t=f%2B1&k={SECRET}"
    assert [text.render(Values()) for text in feed.credentials] == ["./token", SECRET]


IN_A_TABLE = [
    (
        "ping_intervall = 20",
        "ping_intervall: there is no such word for a feed; did you mean ping_interval?",
    ),
    (
        'first = "data.U"\nprevious = "data.pu"',
        "first: stands beside `previous`; a message says one or the other",
    ),
    (
        'previous = "p"\nstep = "any"',
        "step: stands beside `previous`, which says what follows what",
    ),
    ('id = "data..u"', "id: 'data..u': there is no name between two dots, or a space at its end"),
    (
        'id = "data[0].u"',
        "id: 'data[0].u': places in arrays are written with dots; write 'data.0.u'",
    ),
    ('id = "$.data.u"', "id: '$.data.u': a path begins with a name; write 'data.u'"),
    ('id = ""', "id: an empty path leads nowhere"),
    ('id = ["a", "b"]', "id: ['a', 'b'] is not a text"),
    ('key = ["a", 5]', "key[1]: 5 is not a text"),
    (
        'messages = "data[]trades"',
        "messages: 'data[]trades': behind [] comes a dot and a name, or nothing",
    ),
    ('decompress = "brotli"', 'decompress: \'brotli\' is not one of "gzip", "zlib", "deflate"'),
    ("step = 0", "step: 0 is not between 1 and 1000000000"),
    ('step = "all"', "step: 'all' is neither \"any\" nor a number"),
    (
        'restarts = "nevr"',
        'restarts: \'nevr\' is not one of "auto", "never", "connection", nor a table of '
        "paths and values; did you mean never?",
    ),
    ('ignore = "{{x}}"', "ignore: '{{x}}': a pattern is fixed, it takes no {{…}}"),
    ('ignore = { a = "${NOPE}" }', "ignore: ${NOPE} is not set, and neither is NOPE_FILE"),
    ("ignore = {}", "ignore: an empty table fits every frame"),
    (
        'ignore = [{ type = ["a", "b"] }]',
        "ignore[0]: at 'type' stands ['a', 'b'], which is no text and no number",
    ),
    ('ignore = "*"', 'ignore: "*" fits every frame'),
    (
        'ignore = { type = "hb" }\ndrop = { type = "hb" }',
        "drop: { type = 'hb' } is what `ignore` leaves out already",
    ),
    (
        'replies = [{ on = { type = "ping" }, sent = "pong" }]',
        "replies[0].sent: there is no such word in a reply; did you mean send?",
    ),
    (
        'ping_message = "ping"',
        "ping_message: `ping_interval` is missing, which says how often it is sent",
    ),
    ('ping_interval = "20s"\nping_message = "ping"', "ping_interval: '20s' is not a number"),
    ('open_message = "{\\"a\\":{{id}"', "open_message: a {{ or a ${ is not closed"),
    ('open_message = "{{$message}}"', "open_message: {{$message}} has no meaning here"),
    (
        'open_message = "{{$cuont}}"',
        "open_message: there is no {{$cuont}}; known here: $count, $now, $id",
    ),
    ('open_message = "a ${NOT A NAME}"', "open_message: ${NOT A NAME} names no variable"),
    ('headers = { "X Y" = "1" }', "headers: 'X Y' cannot be a header's name"),
    (
        'headers = { X-Key = "${TWO_LINES}" }',
        "headers.X-Key: a header's value cannot hold a line break or a control character",
    ),
    (
        'headers = { Sec-WebSocket-Protocol = "x" }',
        "headers.Sec-WebSocket-Protocol: is what `subprotocols` says",
    ),
    (
        'subprotocols = ["a b"]',
        "subprotocols[0]: 'a b' has characters that a subprotocol cannot have",
    ),
    (
        'proxy_url = "ftp://h"',
        "proxy_url: 'ftp://h' does not start with http:// or socks5:// or socks5h://",
    ),
    ("credentials = []", "credentials: an empty list has no command in it"),
    (
        'message = "x{{$message}}"',
        "message: is a word of [feed.NAME.endpoint.NAME], there is no such word for a feed",
    ),
    ("capacity = true", "capacity: true is not a whole number"),
    ('gap_timeout = "soon"', 'gap_timeout: \'soon\' is neither "auto" nor "never" nor a number'),
    ("first_id = -1", "first_id: -1 is not between 0 and 9223372036854775807"),
    ("max_message_size = 0", "max_message_size: 0 is not between 1 and 268435456"),
]

WHOLE = [
    (
        '[feed.a]\nurl = "wss://h"\nopen_message = "{{$id.WOLF}}"',
        "[feed.a] open_message: {{$id.WOLF}}: the feed has no `key`; write {{$id}}",
    ),
    (
        '[feed.a]\nurl = "wss://h"\nurl = "wss://h"\n',
        "is not TOML: Cannot overwrite a value (at line 3, column 16)",
    ),
    (
        '[feed.a]\nuri = "wss://h"',
        "[feed.a] uri: there is no such word for a feed; did you mean url?",
    ),
    (
        '[feed.a]\nurl = "https://h/x"',
        "[feed.a] url: 'https://h/x' does not start with ws:// or wss://",
    ),
    ("[feed.a]\nurl = 5", "[feed.a] url: 5 is not a text"),
    ('[feed.a]\nurl = "wss:///x"', "[feed.a] url: 'wss:///x' names no host"),
    (
        '[feed.a]\nurl = "wss://h/?token=${NOPE}"',
        "[feed.a] url: ${NOPE} is not set, and neither is NOPE_FILE",
    ),
    (
        '[feed.a]\nurl = "wss://h/{{data.id}}"',
        "[feed.a] url: {{data.id}}: nothing has come yet when this is used",
    ),
    ('[feed.a]\nid = "x"', "[feed.a] url: is missing"),
    (
        '[feed."a b"]\nurl = "wss://h"',
        "[feed.\"a b\"] 'a b' is not a name of a feed (1 to 64 letters, digits, _ . -)",
    ),
    ('[feeds.a]\nurl = "wss://h"', "[feeds] stands outside of [feed.NAME], where all feeds stand"),
    ("", "names no feed; feeds stand under [feed.NAME]"),
    ("feed = 3", "feed: 3 is not a table; feeds stand under [feed.NAME]"),
    ('[feed]\na = "wss://h"', "[feed.a] 'wss://h' is not a table"),
    (
        '[feed.a\nurl = "wss://h"',
        "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 8)",
    ),
    (
        '[feed.a]\nurl = "${GONE}"',
        "[feed.a] url: ${GONE}: the file that GONE_FILE names cannot be read (No "
        "such file or directory)",
    ),
    ('[feed.a]\nurl = "wss://h?${BOTH}"', "[feed.a] url: ${BOTH}: both BOTH and BOTH_FILE are set"),
    (
        '[feed.a]\nurl = "wss://h"\n[feed.a.endpoint.b]\nurl = "wss://e"\ngap_timeout = 3',
        "[feed.a.endpoint.b] gap_timeout: is a word of [feed.NAME], there is no such word "
        "for an endpoint",
    ),
    (
        '[feed.a]\nurl = "wss://h"\n[feed.a.endpoint.b]\nurl = "wss://e"\nmessage = "x"',
        "[feed.a.endpoint.b] message: the message is not in it: {{$message}}, {{$string}} "
        "or {{$base64}}",
    ),
    (
        '[feed.a]\nurl = "wss://h"\n[feed.a.endpoint.b]\nurl = "wss://e"\nmessage = '
        '"{{$message}}"\nack = { id = "{{$count}}" }',
        "[feed.a.endpoint.b] ack: names {{$count}}, which `message` does not say",
    ),
    (
        '[feed.a]\nurl = "wss://h"\n[feed.a.endpoint.b]\nurl = "wss://e"\ndelivery = '
        '"exactly-once"',
        "[feed.a.endpoint.b] delivery: 'exactly-once' is not one of \"at-least-once\", "
        '"at-most-once"',
    ),
    (
        '[feed.a]\nurl = "wss://h"\n[feed.a.resume]\nid = "x"',
        "[feed.a.resume] id: is a word of [feed.NAME], there is no such word for `resume`",
    ),
    (
        '[feed.a]\nurl = "wss://h"\n[feed.a.resume]',
        "[feed.a.resume] nothing is said in it; known are url, headers, open_message, replies",
    ),
]


@pytest.mark.parametrize(("text", "line"), IN_A_TABLE)
def test_mistakes_in_a_table(text: str, line: str) -> None:
    """A user would have to guess what is wrong, or where."""
    assert mistakes(f'[feed.a]\nurl = "wss://h"\n{text}\n') == [f"[feed.a] {line}"]


@pytest.mark.parametrize(("text", "line"), WHOLE)
def test_mistakes_in_a_file(text: str, line: str) -> None:
    """A user would have to guess what is wrong, or where."""
    assert mistakes(text) == [line]


def test_all_mistakes_at_once() -> None:
    """Mistakes would be told one after the other, with a start between them."""
    assert mistakes(
        '[feed.a]\nurl = "https://h"\nstep = 0\n[feed.b]\nkey = ""\n[feed.b.endpoint.c]\n'
        'url = "ws://h"\nrat = 5\n'
    ) == [
        "[feed.a] url: 'https://h' does not start with ws:// or wss://",
        "[feed.a] step: 0 is not between 1 and 1000000000",
        "[feed.b] url: is missing",
        "[feed.b] key: an empty path leads nowhere",
        "[feed.b.endpoint.c] rat: there is no such word for an endpoint; did you mean rate?",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'[feed.a]\nurl = "ws://\xff"', "line 2 is not UTF-8"),
        (b"#" * 5_000_000, "is larger than 4194304 bytes"),
    ],
)
def test_files_that_are_none(content: bytes, line: str) -> None:
    """A file of something else would end in a traceback."""
    with pytest.raises(FeedFileError) as error:
        load("feeds.toml", {}, lambda _: content)
    assert error.value.mistakes == [f"feeds.toml: {line}"]


def test_a_file_that_cannot_be_read(tmp_path: Any) -> None:
    """A wrong FEEDS_FILE would end in a traceback."""
    with pytest.raises(FeedFileError, match=r"nothing\.toml: cannot be read \(No such file"):
        load(str(tmp_path / "nothing.toml"), {})
    with pytest.raises(FeedFileError, match=r"cannot be read \(Is a directory\)"):
        load(str(tmp_path), {})
    (tmp_path / "feeds.toml").write_bytes(b'\xef\xbb\xbf[feed.a]\nurl = "ws://h"\n')
    assert list(load(str(tmp_path / "feeds.toml"), {})) == ["a"]


def test_nested_without_end() -> None:
    """A file would end the service with a traceback."""
    with pytest.raises(FeedFileError, match="is not TOML: nested too deeply"):
        parse("a = " + "[" * 100_000, "feeds.toml", Secrets({}))
