"""Frames of all kinds, hostile ones among them, against plain ways of reading them."""

from __future__ import annotations

import contextlib
import gzip
import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.feedfile import parse
from relay.feedfile.secrets import Secrets
from relay.frames.cut import parse_cut
from relay.frames.inflate import FORMATS, Unreadable, inflate
from relay.frames.path import Path, parse_path
from relay.frames.reader import REASONS, Message, Reader
from relay.frames.shape import Shape
from relay.frames.template import Values, parse_template
from relay.messages import Rejected, sequence_number

NAMES = st.sampled_from(["a", "b", "id", "0", "-1", "é", 'q"', "\n"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(max_size=5)
)  # fmt: skip


def _within(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(NAMES, values, max_size=4)
    return st.lists(values, max_size=3) | objects | objects.map(json.dumps)


DOCUMENTS = st.recursive(SCALARS, _within, max_leaves=12)
STEPS = st.sampled_from(["a", "b", "id", "0", "1", "-1", "é", 'q"'])
PATHS = st.lists(st.lists(STEPS, min_size=1, max_size=3).map(".".join), min_size=1, max_size=4)


def same(one: Any, two: Any) -> bool:
    """Compare what was decoded: 1, true and 1.0 are three things."""
    return repr(one) == repr(two)


@given(DOCUMENTS, PATHS, st.booleans())
def test_a_shape_finds_what_paths_lead_to(document: Any, texts: list[str], spaced: bool) -> None:
    """An id would be another one for being read the quick way."""
    frame = json.dumps(document, indent=1 if spaced else None).encode()
    paths = [parse_path(text) for text in texts]
    shape = Shape(paths)
    values = shape.pick(frame)
    decoded = orjson.loads(frame)
    for path in paths:
        assert same(values[shape.at[path]], path.find(decoded)), path


@given(st.lists(st.tuples(DOCUMENTS, st.text(" \t\r\n", max_size=2)), max_size=5))
def test_a_cut_keeps_the_bytes(elements: list[tuple[Any, str]]) -> None:
    """A message would go out with other bytes than it came with."""
    texts = [json.dumps(value, ensure_ascii=len(space) > 1) for value, space in elements]
    spaced = [space + text + space for (_, space), text in zip(elements, texts, strict=True)]
    array = f"[{','.join(spaced)}]"
    wanted = [text.encode() for text in texts]
    assert parse_cut("[]").messages(array.encode()) == wanted
    assert parse_cut("a.b[]").messages(f'{{"x":[1],"a":{{"b": {array} }}}}'.encode()) == wanted
    inside = json.dumps({"a": array})
    assert parse_cut("a[]").messages(inside.encode()) == wanted
    lines = parse_cut("lines").messages("\r\n".join(texts).encode())
    assert lines == wanted


WORDS = {
    "plain": "",
    "nested": 'id = "a.id"',
    "array": 'id = "a.-1.id"\nkey = ["b", "id"]\nprevious = "b"',
    "cut": 'messages = "a[]"\nkey = "b"\nignore = ["pong", { a = "*" }]\ndrop = { b = 1 }',
    "lines": 'messages = "lines"\nignore = { a = "x" }\nrestarts = { b = true }',
    "packed": 'decompress = "gzip"\nmessages = "[]"\nmax_message_size = 5000',
}
READERS = {
    name: Reader(parse(f'[feed.a]\nurl = "ws://h"\n{text}', "feeds.toml", Secrets({}))["a"].reading)
    for name, text in WORDS.items()
}

HOSTILE = [
    b"", b"{", b"[", b'"', b"\x00", b"\xef\xbb\xbf{}", b"\xff\xfe", b'{"id":}', b"nul", b"-",
    b"1e999",
    b'{"id":' + b"9" * 5000 + b"}", b'{"id":1e400}', b'{"id":-0}', b'{"id":1,"id":"2"}',
    b"[" * 3000, b"[" * 990 + b"]" * 990, b'{"a":' * 990 + b"1" + b"}" * 990,
    b'{"a":"' + b"\\u0061" * 500 + b'"}', b'{"a":"\\ud800"}', b'{"id":"\\ud83d\\ude00"}',
    gzip.compress(b"[" * 100_000), gzip.compress(b'[{"id":1}]')[:-4], gzip.compress(b"") * 50,
]  # fmt: skip


def _spoilt(frame: bytes, cuts: list[tuple[int, bytes]]) -> bytes:
    for at, piece in cuts:
        place = at % (len(frame) + 1)
        frame = frame[:place] + piece + frame[place + len(piece) // 2 :]
    return frame


FRAMES = st.one_of(
    st.sampled_from(HOSTILE),
    st.binary(max_size=40),
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    st.builds(
        _spoilt,
        DOCUMENTS.map(lambda document: json.dumps(document, ensure_ascii=False).encode())
        | st.sampled_from(HOSTILE),
        st.lists(
            st.tuples(
                st.integers(0, 10_000),
                st.sampled_from([b"", b'"', b"\\", b"{", b"]", b",", b"\xff", b"9", b"\x80", b"e"]),
            ),
            min_size=1,
            max_size=4,
        ),
    ),
    DOCUMENTS.map(lambda document: gzip.compress(json.dumps(document).encode())),
)


@pytest.mark.parametrize("name", WORDS)
@given(frame=FRAMES)
def test_hostile_frames(name: str, frame: bytes) -> None:
    """A frame would end the service, or what goes out would not be part of what came."""
    reader = READERS[name]
    items = reader.read(frame)
    assert items == reader.read(frame)
    for item in items:
        if isinstance(item, Message):
            orjson.loads(item.data)
            assert 0 <= item.id < 2**63
            assert name == "packed" or item.data in frame or b"\\" in frame
        else:
            assert item.reason in REASONS
    assert reader.read_all([b'{"id":1,"a":{"id":2},"b":3}', frame]) == [
        *reader.read(b'{"id":1,"a":{"id":2},"b":3}'),
        *items,
    ]
    if reader.simple:
        ids, bad = reader.numbers([frame, b"{}"])
        assert ids == [item.id for item in items if isinstance(item, Message)]
        assert len(ids) + len(bad) == 2


@given(FRAMES)
@example(b'{"id":7}')
@example(b'{"id":7,"x":"\xff"}')
def test_a_plain_feed_is_read_as_it_always_was(frame: bytes) -> None:
    """A feed of before would lose messages, or have other ones accepted."""
    try:
        id: int | None = sequence_number(frame, "id")
    except Rejected as rejected:
        id = None
        if rejected.reason == "json":
            # What stands beside the id may be beyond a double's range: it is nobody's business.
            assert b"e" in frame.lower() or not isinstance(READERS["plain"].read(frame)[0], Message)
    [item] = READERS["plain"].read(frame)
    if id is not None:
        assert isinstance(item, Message)
        assert item.id == id
        assert item.data is frame


@given(DOCUMENTS, st.text(max_size=10))
def test_an_answer_is_json_whatever_fills_it(document: Any, secret: str) -> None:
    """Somebody could say what they like in our name, by what they put into a frame."""

    def find(_: Path) -> Any:
        return document

    text = '{"a":{{x}},"b":"-{{x}}-","c":"${SECRET}","d":{{$count}}}'
    template = parse_template(text, "json", lambda _: secret, words=("path",))
    sent = template.render(Values(find=find, count=5))
    if document is None:
        assert sent is None
        return
    assert sent is not None
    said = json.loads(sent)
    assert list(said) == ["a", "b", "c", "d"]
    assert said["a"] == document
    if isinstance(document, str):
        assert said["b"] == f"-{document}-"
    assert said["c"] == secret


@given(st.binary(max_size=2000))
def test_unpacking_never_says_too_much(data: bytes) -> None:
    """A frame would be unpacked beyond what may be."""
    for format in FORMATS:
        unpacked = b""
        with contextlib.suppress(Unreadable):
            unpacked = inflate(data, format, 3000)
        assert len(unpacked) <= 3000
