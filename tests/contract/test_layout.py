"""The shape of the repository: who may import whom, and what files promise about themselves."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MAY_IMPORT = {
    "chassis": (),
    "relay": ("chassis",),
    "broadcast": ("chassis",),
    "ingestor": ("relay", "chassis"),
    "orderer": ("relay", "chassis"),
    "publisher": ("relay", "chassis"),
    "chat": ("broadcast", "chassis"),
    "wisdom": ("broadcast", "chassis"),
    "viewer": ("relay", "broadcast", "chassis"),
    "simulator": ("chassis",),
    "standalone": ("relay", "chassis"),
    "grafana": (),
}
"""The packages, and which others each may import: libraries of fewer words, never a service."""

PROJECT = {*MAY_IMPORT, "tests"}

KEYS = ("chassis/lease.py", "chassis/shares.py", "relay/keys.py", "chat/keys.py", "wisdom/keys.py")
"""Where the names of Redis keys and of their fields are spelled."""

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
    """Collect the dotted names that a module of `package` imports: modules, and what is in them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(package):
                found.add("outside of its package")
                continue
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", ""))
            in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return found


def within(name: str, rooms: Iterable[str]) -> bool:
    """Tell whether a dotted name, or a file, is in one of these packages or modules."""
    return any(name == room or name.startswith((f"{room}.", f"{room}/")) for room in rooms)


def sources(package: str) -> list[tuple[str, str]]:
    """List a package's modules: path, text."""
    return [
        (str(path.relative_to(ROOT)), path.read_text())
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_they_may(package: str) -> None:
    """A service would depend on another one's code, or a library on a service."""
    allowed = {package, *MAY_IMPORT[package]}
    strangers = {}
    for name, text in sources(package):
        found = {module.partition(".")[0] for module in imports(text, Path(name).parts[:-1])}
        wrong = found & (PROJECT | {"outside of its package"}) - allowed
        if wrong:
            strangers[name] = sorted(wrong)
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
        "orderer.reorder",
        "publisher",
        "publisher.sink",
        "simulator",
        "simulator.settings",
        "chat.client",
        "outside of its package",
    }
    assert "orderer.feed" in imports("from ..feed import Feed", ("orderer", "reorder"))
    assert "chassis.clock" in imports("from chassis import clock", ("orderer",))
    assert "redis.exceptions" in imports("def f():\n    import redis.exceptions", ("chat",))


ROOMS = {
    "redis": ("chassis/redis", "standalone"),
    "websockets": (
        "chassis/websocket", "chassis/ops.py", "chassis/http.py", "broadcast", "chat/client",
    ),
    # The reaper is a script by itself and imports nothing of the project.
    "time": ("chassis/clock.py", "standalone/reaper.py"),
    "random": ("chassis/clock.py",),
    "secrets": ("chassis/clock.py",),
}  # fmt: skip
"""What may be imported in these rooms only: everybody else goes through their doors."""


@pytest.mark.parametrize("module", ROOMS)
def test_doors(module: str) -> None:
    """There would be no place for a fault, a cluster or a simulation: somebody goes round it."""
    elsewhere = [
        name
        for package in MAY_IMPORT
        for name, text in sources(package)
        if not within(name, ROOMS[module])
        and any(within(found, [module]) for found in imports(text, Path(name).parts[:-1]))
    ]
    assert not elsewhere


WORLD = ("asyncio", "redis", "websockets", "time", "random", "chassis.clock", "chassis.redis")

PURE = (
    "orderer/reorder", "orderer/feed.py", "orderer/lane.py", "orderer/clock.py", "orderer/lines.py",
    "orderer/checkpoint.py", "publisher/window.py", "publisher/retention.py",
    "publisher/contiguity.py", "publisher/entries.py", "publisher/confirmations.py",
    "publisher/trial.py", "publisher/leaving.py",
    "ingestor/backlog.py", "ingestor/listening.py", "viewer/picture.py", "relay",
)  # fmt: skip
"""Values in, values out: these know no loop, no clock, no Redis and no socket."""


IMPURE = (
    "relay/rejected.py", "relay/allowance.py", "relay/lanes.py", "relay/reading.py",
    "relay/talking.py", "relay/trying.py",
)  # fmt: skip


def pure() -> list[tuple[str, str]]:
    """List the modules that are pure."""
    return [
        (name, text)
        for package in MAY_IMPORT
        for name, text in sources(package)
        if within(name, PURE) and name not in IMPURE
    ]


def test_the_pure_modules_know_nothing_of_the_world() -> None:
    """A decision would depend on more than what was read, and could not be repeated."""
    assert len(pure()) > 25
    strangers = {}
    for name, text in pure():
        wrong = {m for m in imports(text, Path(name).parts[:-1]) if within(m, WORLD)}
        if wrong:
            strangers[name] = sorted(wrong)
    assert not strangers


def test_the_core_knows_itself_only() -> None:
    """What decides would no longer be read, tested and trusted by itself."""
    for name, text in sources("orderer/reorder"):
        ours = {m for m in imports(text, Path(name).parts[:-1]) if m.partition(".")[0] in PROJECT}
        known = ["orderer.reorder", "relay.entry", "relay.prints"]
        assert all(within(m, known) for m in ours), (name, ours)


def test_nothing_waits_or_asserts_in_the_core() -> None:
    """A decision would stop in the middle, or a state have no name but an assertion."""
    kinds = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Assert)
    for name, text in pure():
        found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
        assert not found, name


def constants(source: str) -> set[str | bytes]:
    """Collect a module's texts and bytes, but not its docstrings."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str | bytes)
        and id(node) not in docs
    }


def key_beginnings(source: str) -> set[str]:
    """Collect what the keys begin with that a module's functions make."""
    return {
        str(node.value.values[0].value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Return)
        and isinstance(node.value, ast.JoinedStr)
        and isinstance(node.value.values[0], ast.Constant)
        and ":" in str(node.value.values[0].value)
    }


def fields(source: str) -> set[bytes]:
    """Collect the names of fields, and words in them, that a module defines."""
    return {
        node.value.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, bytes)
    }


def made(source: str, name: str) -> bool:
    """Tell whether a module calls `name` itself, as a class is called that is made."""
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == name
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize("name", KEYS)
def test_keys_and_fields_are_spelled_once(name: str) -> None:
    """Two modules would write and read different keys when one of them is changed."""
    source = (ROOT / name).read_text()
    beginnings, names = key_beginnings(source), fields(source)
    assert beginnings
    library = name.partition("/")[0]
    again = {}
    for package, others in MAY_IMPORT.items():
        for path, text in sources(package) if library in (package, *others) else ():
            found = constants(text) if path != name else set()
            spelled = {
                word
                for word in found
                if word in names
                or (isinstance(word, str) and any(key in word for key in beginnings))
            }
            if spelled:
                again[path] = spelled
    assert not again


def test_close_codes_are_spelled_once() -> None:
    """A code would mean one thing here and another there, or lack its words on the page."""
    makers = {
        path
        for package in MAY_IMPORT
        for path, text in sources(package)
        if made(text, "CloseReason")
    }
    assert makers == {"broadcast/closing.py", "chat/closing.py", "wisdom/closing.py"}


def test_the_spelling_check_sees_what_it_should() -> None:
    """The checks above would pass over a name that is spelled again."""
    source = (
        '"""raw:{feed}"""\n'
        "T = b't'\n"
        "def raw(feed):\n"
        "    return f'raw:{{{feed}}}'\n"
        "def f():\n"
        "    'seen'\n"
        "    return CloseReason('seen', 1000), b'seen'\n"
    )
    assert key_beginnings(source) == {"raw:{"}
    assert fields(source) == {b"t"}
    assert constants(source) == {b"t", "raw:{", "}", "seen", b"seen"}
    assert made(source, "CloseReason")
    assert not made(source, "Close")


def test_unit_tests_mirror_the_tree() -> None:
    """Nobody would find the tests of a module, or the module that a test is of."""
    tests = [
        path.relative_to(ROOT / "tests/unit")
        for path in tracked()
        if path.match("test_*.py") and path.is_relative_to(ROOT / "tests/unit")
    ]
    assert tests
    modules = [ROOT / path.with_name(path.name.removeprefix("test_")) for path in tests]
    assert [module for module in modules if not module.is_file()] == []


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
