"""What `${NAME}` stands for, and what is told when it stands for nothing."""

from __future__ import annotations

import pytest

from relay.feedfile.secrets import Secrets

FILES = {"good": "péché\r\n".encode(), "empty": b"\n", "binary": b"\xff", "huge": b"x" * 70_000}


def read(name: str) -> bytes:
    if name not in FILES:
        raise PermissionError(13, "Permission denied", name)
    return FILES[name]


def test_from_the_environment_or_a_file() -> None:
    """A secret would be looked for where it is not, or get a line break at its end."""
    secrets = Secrets({"A": " x ", "B_FILE": "good", "C": "", "C_FILE": "good"}, read)
    assert secrets.get("A") == " x "
    assert secrets.get("B") == "péché"
    assert secrets.get("C") == "péché"
    assert "péché" not in repr(secrets)
    assert repr(secrets) == "Secrets(A, B, C)"


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "${X} is not set, and neither is X_FILE"),
        ({"X": ""}, "${X} is not set, and neither is X_FILE"),
        ({"X": "s3cr3t", "X_FILE": "good"}, "${X}: both X and X_FILE are set"),
        (
            {"X_FILE": "/s3cr3t"},
            "${X}: the file that X_FILE names cannot be read (Permission denied)",
        ),
        ({"X_FILE": "empty"}, "${X}: the file that X_FILE names is empty"),
        ({"X_FILE": "binary"}, "${X}: the file that X_FILE names is no UTF-8 text"),
        ({"X_FILE": "huge"}, "${X}: the file that X_FILE names is too large"),
    ],
)
def test_mistakes(environ: dict[str, str], why: str) -> None:
    """A secret would be shown, or nobody be told why there is none."""
    with pytest.raises(ValueError, match=r"X") as error:
        Secrets(environ, read).get("X")
    assert str(error.value) == why
    assert "s3cr3t" not in str(error.value)
