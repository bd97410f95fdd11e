"""Under which names a process may be asked."""

from __future__ import annotations

import pytest

from chassis.hosts import is_expected, names


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("", True),
        ("127.0.0.1:4000", True),
        ("192.0.2.7", True),
        ("[::1]:4000", True),
        ("localhost:4000", True),
        ("LOCALHOST", True),
        ("chat.localhost:4000", True),
        ("chat:9100", True),
        ("chat.example", True),
        ("Chat.Example.:443", True),
        ("evil.example:4000", False),
        ("sub.chat.example", False),
        ("chat.example.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example@localhost", False),
        ("localhost,evil.example", False),
        ("[", False),
    ],
)
def test_whose_name_a_host_is(host: str, is_ours: bool) -> None:
    """A page whose name was led to this machine could read all, or nobody could read anything."""
    assert is_expected(host, names("chat.example")) is is_ours


def test_any_name() -> None:
    """Who cannot know the names would have to list them."""
    assert is_expected("evil.example", names("*"))


@pytest.mark.parametrize("value", ["https://chat.example", "chat.example:4000", "*.example", "a/b"])
def test_what_is_no_name(value: str) -> None:
    """A name would be set that never matches, and nobody be told."""
    with pytest.raises(ValueError, match="neither \\* nor a host name"):
        names(value)
