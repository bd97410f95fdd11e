"""Settings: all mistakes at once, nothing secret shown, nothing misspelled overlooked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from chassis import settings
from chassis.settings import (
    REQUIRED,
    SettingsError,
    WithEnviron,
    WithRedis,
    either,
    integer,
    load,
    number,
    one_of,
    redact,
    setting,
    url,
)
from ingestor.settings import Settings as IngestorSettings
from orderer.settings import Settings as OrdererSettings
from publisher.settings import Settings as PublisherSettings


@dataclass(frozen=True, kw_only=True, repr=False)
class Example(WithRedis):
    """Settings of a service that does not exist."""

    size: int = setting("EXAMPLE_SIZE", integer(1, 10), "3", "how large")
    name: str = setting("EXAMPLE_NAME", one_of("this", "that"), REQUIRED, "which one")
    wait: float | None = setting("EXAMPLE_WAIT", either("never", number(0, 5)), "never", "how long")


def mistakes(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(Example, "example", environ)
    assert str(error.value) == "\n".join(error.value.mistakes)
    return error.value.mistakes


def _several(value: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    if value == "broken":
        raise SettingsError(["file: this is wrong", "file: that, too"])
    return tuple([environ.get(name, "") for name in value.split()])


@dataclass(frozen=True, kw_only=True, repr=False)
class Elsewhere(WithRedis):
    """Settings of which one says all that another does."""

    url: tuple[str, ...] = setting(
        "EXAMPLE_URL", lambda text: (text,), REQUIRED, "which one", unless=("SEVERAL", ())
    )
    several: tuple[str, ...] = setting("SEVERAL", WithEnviron(_several), "", "which ones")


def test_one_setting_in_place_of_another() -> None:
    """Who names feeds in a file would have to name one in the environment, too."""
    with pytest.raises(SettingsError, match="EXAMPLE_URL: must be set"):
        load(Elsewhere, "example", {})
    assert load(Elsewhere, "example", {"EXAMPLE_URL": "x"}).url == ("x",)
    loaded = load(Elsewhere, "example", {"SEVERAL": "A B", "A": "1", "EXAMPLE_URL": "x"})
    assert (loaded.url, loaded.several) == ((), ("1", ""))


def test_mistakes_of_a_file() -> None:
    """Of several mistakes in a file, one would be told, or under a wrong name."""
    with pytest.raises(SettingsError) as error:
        load(Elsewhere, "example", {"SEVERAL": "broken", "LEASE_TTL": "x"})
    assert error.value.mistakes == [
        "LEASE_TTL: 'x' is not a number", "file: this is wrong", "file: that, too",
    ]  # fmt: skip


def test_defaults() -> None:
    """A service would not start without being told everything."""
    loaded = load(Example, "example", {"EXAMPLE_NAME": "this", "OTHER_NAME": "x", "PATH": "y"})
    assert (loaded.size, loaded.name, loaded.wait) == (3, "this", None)
    assert (loaded.redis_url, loaded.lease_ttl) == ("redis://127.0.0.1:6379/0", 3.0)
    assert (loaded.ops_host, loaded.ops_port) == ("0.0.0.0", 9100)
    assert (loaded.log_level, loaded.log_format) == ("info", "auto")


def test_values() -> None:
    """What the user sets would not arrive."""
    loaded = load(
        Example,
        "example",
        {"EXAMPLE_NAME": " that ", "EXAMPLE_SIZE": "1_0", "EXAMPLE_WAIT": "2.5", "OPS_PORT": "0"},
    )
    assert (loaded.size, loaded.name, loaded.wait, loaded.ops_port) == (10, "that", 2.5, 0)


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_set_to_nothing(empty: str) -> None:
    """`NAME=` in a Compose file would be a mistake, or hide that a required one is missing."""
    loaded = load(Example, "example", {"EXAMPLE_NAME": "this", "EXAMPLE_SIZE": empty})
    assert loaded.size == 3
    assert mistakes(EXAMPLE_NAME=empty) == ["EXAMPLE_NAME: must be set (which one)"]


def test_all_mistakes_at_once() -> None:
    """A user with three mistakes would need four starts."""
    assert mistakes(
        EXAMPLE_SIZE="11",
        EXAMPLE_WAIT="soon",
        EXAMPLE_SIZES="5",
        EXAMPLE="6",
        EXAMPLE_="7",
        OPS_PORT="65536",
        LOG_LEVEL="loud",
    ) == [
        "OPS_PORT: 65536 is not between 0 and 65535",
        "LOG_LEVEL: 'loud' is not one of debug, info, warning, error",
        "EXAMPLE_SIZE: 11 is not between 1 and 10",
        "EXAMPLE_NAME: must be set (which one)",
        "EXAMPLE_WAIT: 'soon' is not a number, nor is it 'never'",
        "EXAMPLE_: there is no such setting",
        "EXAMPLE_SIZES: there is no such setting",
    ]


@pytest.mark.parametrize(
    "value", ["x", "1.5", "0x10", "-", "--1", "1e3", "0", "11", "-3", "9" * 5000, "٣"]
)
def test_wrong_integers(value: str) -> None:
    """Something that is no number in range would be taken for one."""
    with pytest.raises(ValueError, match=r"."):
        integer(1, 10)(value)


def test_grouped_digits() -> None:
    """Large numbers could not be written legibly."""
    assert integer(0, 10**7)("1 000_000") == 1_000_000


@pytest.mark.parametrize("value", ["x", "nan", "inf", "-1", "5.1", "1,5"])
def test_wrong_numbers(value: str) -> None:
    """Something that is no number in range would be taken for one; nan compares with nothing."""
    with pytest.raises(ValueError, match=r"."):
        number(0, 5)(value)


@pytest.mark.parametrize(
    "value", ["redis://h", "redis://:p@h:1/2", "rediss://[::1]:6379", "unix:///tmp/socket?db=0"]
)
def test_urls(value: str) -> None:
    """A good address would be refused."""
    assert url("redis", "rediss", "unix")(value) == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://h", "does not start with redis:// or unix://"),
        ("h:6379", "does not start with"),
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://h:port", "is not a URL"),
        ("redis://h:99999", "is not a URL"),
        ("redis://[::1", "is not a URL"),
    ],
)
def test_wrong_urls(value: str, words: str) -> None:
    """A bad address would be noticed only when it is used."""
    with pytest.raises(ValueError, match=words):
        url("redis", "unix")(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://h/0", "redis://h/0"),
        ("redis://token@h/0", "redis://***@h/0"),
        ("ws://h:9/ws/a@b", "ws://h:9/ws/a@b"),
        ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
        ("rediss://user:secret@[::1]:1/0?a=b", "rediss://user:***@[::1]:1/0?a=***"),
        ("redis://user:sec@ret@h/0", "redis://user:***@h/0"),
        ("redis://user:secret@[::1/0", "redis://…"),
        ("unix://user:secret@/tmp/socket", "unix://user:***@/tmp/socket"),
        ("redis://h/0?password=secret&db=1", "redis://h/0?password=***&db=***"),
        ("ws://h/feed?token=secret", "ws://h/feed?token=***"),
        ("ws://h/feed?t=secret&secret#secret", "ws://h/feed?t=***&***#***"),
    ],
)
def test_redacted(value: str, shown: str) -> None:
    """A password would stand in a log."""
    assert redact(value) == shown


@pytest.mark.parametrize(
    "value",
    [
        "ws://u:se/secret@h/x", "ws://u:a#secret@h/x", "ws://u:a?secret@h", "u:secret@h/x",
        "ws:/u:secret@h/x", "http://u:secret@h/x", "http://u:1/secret@h/x", "ws://u:secret@h:x/",
        "ws://secret@h:x/", "ws://h:x/?jwt=secret", "ws://u:secret@[/x", "ws://u:secret@",
        "ws://secret@h/x",
    ],
)  # fmt: skip
def test_no_secret_in_misspelt_addresses(value: str) -> None:
    """A misspelt address would print its password where the service was started."""
    with pytest.raises(
        ValueError, match=r"not a URL|does not start|names (no host|a user)"
    ) as raised:
        url("ws", "wss")(value)
    assert "secret" not in str(raised.value)
    assert "se/" not in str(raised.value)


def test_no_secret_in_representations() -> None:
    """A password would stand in a log or in a traceback."""
    redis = {"REDIS_URL": "redis://user:secret@h/0"}
    peers = "ws://user:secret@h/a feed=wss://user:secret@h/b?token=secret"
    for loaded in (
        load(OrdererSettings, "orderer", redis),
        load(IngestorSettings, "ingestor", {**redis, "INGESTOR_URL": peers}),
        load(PublisherSettings, "publisher", {**redis, "PUBLISHER_URL": peers}),
    ):
        assert "secret" not in repr(loaded)
        assert "secret" not in str(loaded)
        assert "redis://user:***@h/0" in repr(loaded)


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_URL": "http://user:secret@h/0"},
        {"REDIS_URL": "redis://user:secret@h:port/0"},
        {"REDIS_URL": "redis://user:secret@[::1/0"},
        {"INGESTOR_URL": "http://user:secret@h/0"},
        {"INGESTOR_URL": "ws://user:secret@"},
    ],
)
def test_no_secret_in_mistakes(environ: dict[str, str]) -> None:
    """A password would be printed because of another mistake beside it."""
    with pytest.raises(SettingsError) as error:
        load(IngestorSettings, "ingestor", {"INGESTOR_URL": "ws://h", **environ})
    assert "secret" not in str(error.value)
    assert len(error.value.mistakes) == 1


def test_description_has_every_setting() -> None:
    """`--help` would not tell of a setting, or not what it is by default."""
    lines = settings.describe(Example).splitlines()
    assert [line.split()[0] for line in lines] == settings.variables(Example)
    assert re.search(r"EXAMPLE_NAME +required ", settings.describe(Example))
    for line in lines:
        assert len(line.split(maxsplit=2)) == 3


def python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a service that must end by itself."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ORDERER_", "INGESTOR_", "PUBLISHER_"))
    }
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        ("orderer", OrdererSettings),
        ("ingestor", IngestorSettings),
        ("publisher", PublisherSettings),
    ],
)
def test_help(service: str, kind: type[WithRedis]) -> None:
    """A user could not find out what there is to set."""
    shown = python(service, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for variable in settings.variables(kind):
        assert f"  {variable} " in shown.stdout


def test_three_bad_settings() -> None:
    """A misconfigured service would start, fail with a traceback, or tell only one mistake."""
    ended = python(
        "orderer", ORDERER_FIRST_ID="one", ORDERER_CAPACITY="0", ORDERER_TIMEOUT="3", LOG_LEVEL=""
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    first, capacity, timeout = ended.stderr.splitlines()
    assert first == "orderer: ORDERER_FIRST_ID: 'one' is not a whole number, nor is it 'auto'"
    assert capacity == "orderer: ORDERER_CAPACITY: 0 is not between 1 and 10000000"
    assert timeout == "orderer: ORDERER_TIMEOUT: there is no such setting"


def test_unknown_argument() -> None:
    """A verb that is misspelled would start another orderer."""
    ended = python("orderer", "stauts")
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line == "orderer: unknown argument 'stauts'; see --help"


def test_a_secret_in_a_file(tmp_path: Path) -> None:
    """Whoever may look at a container's environment would see the passwords."""
    file = tmp_path / "url"
    file.write_text("ws://u:pa55@h/x\n")
    loaded = load(IngestorSettings, "ingestor", {"INGESTOR_URL_FILE": str(file)})
    assert loaded.lines[0].url == "ws://u:pa55@h/x"
    for environ, words in (
        ({"INGESTOR_URL_FILE": str(file), "INGESTOR_URL": "ws://h"}, "one of them is enough"),
        ({"INGESTOR_URL_FILE": str(tmp_path / "none")}, "No such file"),
        ({"INGESTOR_URL_FILE": str(tmp_path)}, "Is a directory"),
        ({"INGESTOR_URL_FILE": os.devnull}, "there is nothing in"),
        ({"INGESTOR_URL_FILE": str(file), "INGESTOR_BACKLOG_FILE": str(file)}, "no such setting"),
    ):
        with pytest.raises(SettingsError, match=words) as error:
            load(IngestorSettings, "ingestor", environ)
        assert "pa55" not in str(error.value)
