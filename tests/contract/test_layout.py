"""The shape of the repository: who may import whom, and what files promise about themselves."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SERVICES = ("ingestor", "orderer", "publisher", "chat", "wisdom", "simulator", "standalone")
PROJECT = {*SERVICES, "chassis", "tests"}

LIMIT = 500
SOURCES = (".py", ".lua", ".js", ".css", ".html", ".sh", ".cfg", ".yml", ".yaml", "Makefile")


def tracked() -> list[Path]:
    """List what is, or would be, in the repository: all but the ignored files."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = listed.stdout.split("\0")
        return sorted({ROOT / name for name in names if name and (ROOT / name).is_file()})
    # An archive of the sources: dot directories are the ones that come into being here.
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(ROOT).parts[:-1])
    )


def imports(source: str, package: tuple[str, ...]) -> set[str]:
    """Collect the top-level names that a module of `package` imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level > len(package):
            found.add("outside of its package")
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", ""))
            in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value).partition(".")[0])
    return found


@pytest.mark.parametrize("package", [*SERVICES, "chassis"])
def test_packages_import_only_what_they_may(package: str) -> None:
    """A service would depend on another one's code, or the chassis on a service."""
    allowed = {package} if package == "chassis" else {package, "chassis"}
    strangers = {}
    for path in (ROOT / package).rglob("*.py"):
        parents = path.relative_to(ROOT).parts[:-1]
        found = imports(path.read_text(), parents)
        wrong = found & (PROJECT | {"outside of its package"}) - allowed
        if wrong:
            strangers[str(path.relative_to(ROOT))] = sorted(wrong)
    assert not strangers


def test_the_import_check_sees_every_form() -> None:
    """The check above would pass over a forbidden import."""
    source = (
        "import orderer.reorder\n"
        "def f():\n"
        "    from publisher import sink\n"
        "    from . import settings\n"
        "    from .. import ingestor\n"
        "    importlib.import_module('chat.client')\n"
    )
    assert imports(source, ("simulator",)) == {
        "orderer",
        "publisher",
        "chat",
        "outside of its package",
    }


def test_no_source_file_is_too_long() -> None:
    """A file would have grown until nobody reads it from top to bottom."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in tracked()
        if path.name.endswith(SOURCES)
    }
    assert lengths
    assert not {name: lines for name, lines in lengths.items() if lines >= LIMIT}


@pytest.mark.parametrize("name", ["runtime", "standalone", "dev"])
def test_requirements_are_locked(name: str) -> None:
    """An install would follow an address in the file, or take a package nobody had checked."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--\w*index\w*|--find-links|--extra-index-url)\b", text, re.M)
    packages = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text))
    for package in filter(None, map(str.strip, packages)):
        assert re.match(r"[\w.-]+==\S+", package), package
        assert "--hash=sha256:" in package, package


def test_requirements_agree() -> None:
    """The container, the demo and the tests would run different versions."""
    pins = {
        name: dict(
            re.findall(
                r"(?m)^([\w.-]+)==(\S+)", (ROOT / "requirements" / f"{name}.txt").read_text()
            )
        )
        for name in ("runtime", "standalone", "dev")
    }
    assert pins["runtime"].items() <= pins["standalone"].items() <= pins["dev"].items()


def test_make_help_lists_every_target() -> None:
    """A user would not learn from `make` that a target exists."""
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"(?m)^\.PHONY:\s*(.*)$", makefile)[0].split())
    helped = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shown = set(re.findall(r"(?m)^\s+make ([\w-]+)\s+\S", helped))
    assert shown == phony
