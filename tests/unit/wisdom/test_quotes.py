"""Which files of quotes are taken, and which quote comes next."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from wisdom import quotes
from wisdom.quotes import draw, load


def test_the_built_in_quotes() -> None:
    """The service would not start without a file, repeat itself, or overflow a phone's screen."""
    found = load("built-in")
    file = (Path(quotes.__file__).parent / "quotes.txt").read_text()
    lines = [line for line in file.splitlines() if line and not line.startswith("#")]
    assert list(found) == lines, "a quote stands there twice, or has spaces around it"
    assert len(found) >= 60
    assert max(map(len, found)) <= 200
    # Typed, not typeset: straight quotation marks, hyphens for dashes, dots for an ellipsis.
    assert not [quote for quote in found if '"' in quote or " - " in quote or "..." in quote]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("раз\nдва\n", ("раз", "два")),
        ("раз\nдва", ("раз", "два")),
        ("\ufeff# тихо\r\n\r\n  раз \t\r\nдва\r\n", ("раз", "два")),
        ("  # тихо\nраз\n\n \nраз # и ещё\nраз\n", ("раз", "раз # и ещё")),
        ("\ufeffраз\n", ("раз",)),
        ("в" * 1000, ("в" * 1000,)),
        ("👨‍👩‍👧 и волк\n", ("👨‍👩‍👧 и волк",)),
    ],
)
def test_files_that_are_taken(tmp_path: Path, data: str, expected: tuple[str, ...]) -> None:
    """A user's file would be refused, or its quotes would come out otherwise than written."""
    path = tmp_path / "my.txt"
    path.write_bytes(data.encode())
    assert load(str(path)) == expected


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        (b"", "has no quotes in it"),
        (b"\xef\xbb\xbf", "has no quotes in it"),
        (b"# one\n\n   \n", "has no quotes in it"),
        (b"one\ntwo \xff\n", "line 2: this is not UTF-8"),
        (b"# \xff\none\n", "line 1: this is not UTF-8"),
        ("волк\n".encode("cp1251"), "line 1: this is not UTF-8"),
        ("волк\n".encode("utf-16"), "line 1: this is not UTF-8"),
        ("wolf\n".encode("utf-16-le"), "line 1: control character U+0000"),
        (b"one\n\ntwo\tthree\n", "line 3: control character U+0009"),
        (b"one\rtwo\r", "line 1: control character U+000D"),
        (b"\x1b[31mred\n", "line 1: control character U+001B"),
        ("one\u2028two\n".encode(), "line 1: control character U+2028"),
        ("one\x85two\n".encode(), "line 1: control character U+0085"),
        (b"one\n" + b"x" * 1001, "line 2: the quote is longer than 1000 characters"),
        (b"".join(b"%d\n" % n for n in range(100_001)), "line 100001: there are more than 100000"),
        (b"#" * (16 * 1024 * 1024 + 1), "is larger than 16 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_refused(tmp_path: Path, data: bytes, mistake: str) -> None:
    """A user would not learn what is wrong with the file and where, or all would see it."""
    path = tmp_path / "my.txt"
    path.write_bytes(data)
    refused(path, mistake)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """The service would hang at its start, fill the memory, or end with a traceback."""
    refused(tmp_path / "none.txt", "cannot be read (No such file or directory)")
    refused(tmp_path, "cannot be read (Is a directory)")
    refused(tmp_path / ("x" * 300), "cannot be read (File name too long)")
    refused(Path("/dev/zero"), "is no regular file")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, "is no regular file")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(tmp_path):
        listening.bind("socket")
        refused(Path("socket"), "cannot be read (No such device or address)")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """A wrongly mounted file would end the start with a traceback."""
    path = tmp_path / "my.txt"
    path.write_text("one\n")
    path.chmod(0)
    with nobody():
        refused(path, "cannot be read (Permission denied)")


def refused(path: Path, mistake: str) -> None:
    """Check that the file is refused in one line that names it."""
    with pytest.raises(ValueError, match=re.escape(mistake)) as error:
        load(str(path))
    assert str(error.value).startswith(repr(str(path)))
    assert "\n" not in str(error.value)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Be a user who may not read everything, as root may."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


NAMES = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("names", "recent", "possible"),
    [
        (NAMES, [], "abcde"),
        (NAMES, ["b"], "acde"),
        (NAMES, ["b", "a"], "cde"),
        (NAMES, ["b", "a", "e", "d", "c"], "cde"),
        (NAMES, ["b", "b", "a"], "acde"),
        (NAMES, ["x", "y", "a"], "abcde"),
        (NAMES[:2], ["a", "b", "a"], "b"),
        (NAMES[:1], ["a", "a"], "a"),
        (NAMES[:3], ["a", "b", "c"], "bc"),
    ],
)
def test_what_may_be_drawn(names: tuple[str, ...], recent: list[str], possible: str) -> None:
    """Listeners would hear the same again soon, or some quotes never."""
    source = random.Random(7)
    drawn = Counter(draw(names, recent, source) for _ in range(3000))
    assert set(drawn) == set(possible)
    # Five deviations: with this seed it holds, and for an even draw it nearly always would.
    even = 3000 / len(possible)
    assert all(abs(count - even) <= 5 * even**0.5 for count in drawn.values())


def test_half_of_the_quotes_lie_between_repetitions() -> None:
    """Listeners would hear the same again soon."""
    source = random.Random(1)
    names = load("built-in")
    heard: list[str] = []
    for _ in range(1000):
        heard.insert(0, draw(names, heard, source))
    half = len(names) // 2
    assert all(heard[at] not in heard[at + 1 : at + 1 + half] for at in range(len(heard)))
    assert set(heard) == set(names)
