"""The README says what is true: every setting stands in it as the code has it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from chassis.settings import IN_FILE, REQUIRED, Common
from chat.settings import Settings as Chat
from ingestor.settings import Settings as Ingestor
from orderer.settings import Settings as Orderer
from publisher.settings import Settings as Publisher
from simulator.settings import Settings as Simulator
from viewer.settings import Settings as Viewer
from wisdom.settings import Settings as Wisdom

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
KINDS: list[type[Common]] = [Ingestor, Orderer, Publisher, Chat, Wisdom, Viewer, Simulator]


def rows(kind: type[Common]) -> dict[str, str]:
    """Lay out each setting as the README's tables have it."""
    found = {}
    for field in dataclasses.fields(kind):
        variable = field.metadata["variable"]
        default = field.metadata["default"]
        shown = "required" if default is REQUIRED else f"`{default}`" if default else "none"
        found[variable] = f"| `{variable}` | {shown} | {field.metadata['doc']} |"
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__module__)
def test_every_setting_is_in_the_readme(kind: type[Common]) -> None:
    """A user would not find a setting, or would read a wrong default."""
    missing = [row for row in rows(kind).values() if row not in README]
    assert not missing, "these rows are not in README.md:\n" + "\n".join(missing)


def test_the_readme_names_no_setting_that_is_not() -> None:
    """A user would set something that stops the service with status 2."""
    known = {variable for kind in KINDS for variable in rows(kind)}
    known |= {f"{variable}{IN_FILE}" for variable in known if variable.endswith("_URL")}
    prefixes = "|".join({variable.partition("_")[0] for variable in known})
    named = set(re.findall(rf"\b(?:{prefixes})_[A-Z_]+\b", README))
    assert named - known <= {"REDIS_PASSWORD_ADMIN"}


def test_every_make_target_in_the_readme_exists() -> None:
    """A command of the README would fail."""
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
