"""Conversations with feeds, in the shape of documented protocols, and what must come of them.

Each `NAME.ndjson` begins with a line about the feed; each connection begins with `connect`. A line
with `dir` "in" is a frame from the feed (`text`, or `base64` if it is binary), one with "out" is
what must be sent now; `keepalive` and `acks` say what must be sent again and again. In
`NAME.expect.json` stand the messages that must come out, by key, and the lines that are none.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.feedfile import Feed, load

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.ndjson"))


@dataclass(frozen=True)
class Transcript:
    """One feed's conversation."""

    name: str
    lines: list[dict[str, Any]]
    expect: dict[str, Any]
    feed: Feed

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The frames from the feed, each with its line from 1."""
        return [
            (at, frame(line)) for at, line in enumerate(self.lines, 1) if line.get("dir") == "in"
        ]


def frame(line: dict[str, Any]) -> bytes:
    """Get the bytes of a frame."""
    return line["text"].encode() if "text" in line else base64.b64decode(line["base64"])


def transcript(name: str) -> Transcript:
    """Read a transcript, with the feed's words."""
    lines = [json.loads(line) for line in (FOLDER / f"{name}.ndjson").read_text().splitlines()]
    expect = json.loads((FOLDER / f"{name}.expect.json").read_text())
    return Transcript(name, lines, expect, feed(name, expect["env"]))


def feed(name: str, environ: dict[str, str]) -> Feed:
    """Read a feed's words from the tables."""
    file = FOLDER.parent / "feeds.toml"
    names = re.findall(r"\$\{(\w+)\}", file.read_text())
    return load(str(file), dict.fromkeys(names, "unused") | environ)[name]


def fits(value: Any, pattern: Any) -> bool:
    """Tell whether `value` has all that `pattern` has: "*" is anything, {"from", "to"} a range."""
    if pattern == "*":
        return value is not None
    if isinstance(pattern, dict) and pattern.keys() >= {"from", "to"}:
        if value is None:
            return bool(pattern.get("optional"))
        return bool(pattern["from"] <= int(value) <= pattern["to"])
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(fits(value.get(k), p) for k, p in pattern.items())
    if isinstance(pattern, list):
        return (
            isinstance(value, list)
            and len(value) == len(pattern)
            and all(map(fits, value, pattern))
        )  # fmt: skip
    return type(value) is type(pattern) and bool(value == pattern)


def wanted(message: str, line: dict[str, Any]) -> bool:
    """Tell whether a message to the feed is what a line describes."""
    if "text" in line:
        return bool(message == line["text"])
    try:
        return fits(json.loads(message), line["json"])
    except ValueError:
        return False
