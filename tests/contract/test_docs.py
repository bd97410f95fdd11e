"""The pages for operators say what is true: ports, commands, settings, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def test_every_published_port_is_told() -> None:
    """An operator would not know what can be reached."""
    ports = set(re.findall(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-(\d+)\}", COMPOSE))
    ports |= {"6379", "8405", "9100", "9121"}
    table = OPERATIONS.partition("## Upgrade")[0]
    assert not [port for port in ports if not re.search(rf"\b{port}\b", table)]


@pytest.mark.parametrize("text", [OPERATIONS, SECURITY], ids=["operations", "security"])
def test_what_is_named_exists(text: str) -> None:
    """A setting, a target, a service or a file would not be there."""
    known = COMPOSE + (ROOT / "README.md").read_text() + (ROOT / "feeds.example.toml").read_text()
    named = set(re.findall(r"\b(?:[A-Z]+_){1,3}[A-Z]+\b", text))
    assert not [name for name in named if name not in known]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert re.search(rf"(?m)^{target}:", makefile), target
    services = yaml.safe_load(COMPOSE)["services"]
    for service in re.findall(r"docker compose (?:exec|restart)(?: -T)? ([a-z]+)", text):
        assert service in services
    folder = ROOT / "docs" if text is OPERATIONS else ROOT
    for path, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", text):
        target_file = (folder / path).resolve()
        assert target_file.is_file(), path
        if anchor:
            titles = re.findall(r"(?m)^#+ (.+)$", target_file.read_text())
            assert anchor in {re.sub(r"[^\w-]", "", t.lower().replace(" ", "-")) for t in titles}
