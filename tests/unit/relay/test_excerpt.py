"""How the beginning of a frame is written for a person."""

from __future__ import annotations

from relay.excerpt import excerpt


def test_long_frames_are_cut() -> None:
    """One frame would fill the screen, or the terminal do what a feed says."""
    for most in (80, 100):
        assert len(excerpt(b"x" * 10_000, most)) == most
        assert excerpt("я".encode() * 10_000, most) == "я" * (most - 1) + "…"
        assert excerpt(b"x" * most, most) == "x" * most
        assert excerpt("🐺".encode() * (most + 1), most)[-1] == "…"
    assert excerpt(b"\x1b[2J\r\n\xff\xe2\x80\xae", 80) == "·[2J··\ufffd·"


def test_what_is_hidden_is_hidden_before_it_is_cut() -> None:
    """Half of a secret would be shown where a frame is cut."""

    def hide(text: str) -> str:
        return text.replace("s3cr3t", "***")

    assert excerpt(b"x" * 78 + b"s3cr3t", 80, hide) == "x" * 78 + "*…"
    assert excerpt(b"s3cr3t" * 1000, 80, hide) == "*" * 79 + "…"
