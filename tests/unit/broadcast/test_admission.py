"""Who may come in."""

from __future__ import annotations

import resource

import pytest

from broadcast.admission import Admission, origin_allowed, places


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "may"),
    [
        (None, "chat.example", ("same",), True),
        ("http://chat", "chat", ("same",), True),
        ("https://chat", "chat", ("same",), True),
        ("http://chat:80", "chat", ("same",), True),
        ("http://192.0.2.7:4000", "192.0.2.7:4000", ("same",), True),
        ("http://rebound.example", "rebound.example", ("same",), False),
        ("http://chat#@evil.example", "chat", ("same",), False),
        ("http://evil@chat", "chat", ("same",), False),
        ("capacitor://localhost", "chat.example", ("capacitor://localhost",), True),
        ("null", "chat.example", ("null",), True),
        ("http://localhost:4000", "localhost:4000", ("same",), True),
        ("http://LOCALHOST:4000", "localhost:4000", ("same",), True),
        ("http://localhost:4001", "localhost:4000", ("same",), False),
        ("https://chat", "chat:80", ("same",), False),
        ("http://evil.example", "chat.example", ("same",), False),
        ("http://chat.example.evil", "chat.example", ("same",), False),
        ("null", "chat.example", ("same",), False),
        ("file://", "chat.example", ("same",), False),
        ("http://[", "chat.example", ("same",), False),
        ("http://evil.example", None, ("same",), False),
        ("https://page.example", "chat.example", ("https://page.example",), True),
        ("http://chat.example", "chat.example", ("https://page.example",), False),
        ("http://evil.example", "chat.example", ("*",), True),
    ],
)
def test_origins(origin: str | None, host: str | None, allowed: tuple[str, ...], may: bool) -> None:
    """A foreign page could use a visitor's browser, or the own page could not connect."""
    assert origin_allowed(origin, host, allowed) is may


def test_places_are_given_back() -> None:
    """After a while nobody could come in any more."""
    admission = Admission(3, 2)
    assert [admission.enter("a") for _ in range(3)] == [None, None, "address"]
    assert [admission.enter("b") for _ in range(2)] == [None, "connections"]
    admission.leave("a")
    assert admission.enter("b") is None
    assert admission.count == 3


@pytest.mark.parametrize(
    ("files", "wanted", "there_are"),
    [(1024, 10_000, 896), (65_536, 10_000, 10_000), (128, 2000, 64), (64, 2000, 1), (-1, 9, 9)],
)
def test_there_are_as_many_places_as_files(
    monkeypatch: pytest.MonkeyPatch, files: int, wanted: int, there_are: int
) -> None:
    """The last connections would take the files that Redis, the log and health checks need."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert resource.RLIM_INFINITY == -1
    assert places(wanted) == there_are
