"""Programs of the system that tests drive, where they are installed."""

from __future__ import annotations

import os

import pytest


def needed(program: str | None, name: str) -> str:
    """Hand on a program that was found; else skip the test, or fail it if CI is true."""
    if program is None:
        reason = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program
