"""The bill of materials."""

from __future__ import annotations

import re

from standalone.sbom import bill
from standalone.stack import ROOT


def test_everything_is_on_the_bill() -> None:
    """Whoever looks for a package with a hole would not find it."""
    listed = {(each["name"], each["version"]): each for each in bill()["components"]}
    runtime = (ROOT / "requirements" / "runtime.txt").read_text()
    locked = re.findall(r"(?m)^([\w.-]+)==([\w.+-]+)", runtime)
    assert len(locked) >= 5
    for pair in locked:
        assert listed[pair]["hashes"], pair
    hashes = sum(len(each.get("hashes", ())) for each in listed.values())
    assert hashes == runtime.count("--hash=sha256:")
    compose = (ROOT / "docker-compose.yml").read_text()
    others = set(re.findall(r"image: ([^\s:]+):([^\s$]+)$", compose, re.MULTILINE))
    assert len(others) >= 5
    assert others | {("python", "3.13-slim-trixie")} <= set(listed)
