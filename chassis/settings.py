"""Typed settings from environment variables; every mistake is reported at once.

A service declares a frozen dataclass that extends `Common`; each field is made by `setting()`,
which carries the variable's name, its parser, its default and one line of documentation.
`load()` turns a mapping into an instance or raises `SettingsError` with one line per mistake.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

from . import hosts
from .redis import address

S = TypeVar("S", bound="Common")
T = TypeVar("T")

IN_FILE = "_FILE"
"""What is put behind the name of a URL's variable to name a file that holds it."""

REQUIRED: Any = object()
"""Default of a variable that must be set."""


class SettingsError(Exception):
    """Say what is wrong with the settings: `mistakes` holds one line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def setting(
    variable: str,
    parse: Callable[[str], T],
    default: str | Any,
    doc: str,
    *,
    secret: bool = False,
    unless: tuple[str, T] | None = None,
) -> T:
    """Declare a field read from `variable`.

    `default` is text as a user would write it and goes through `parse` too; `REQUIRED` means
    that there is none. `parse` raises ValueError with a message that completes
    "VARIABLE: ...", or SettingsError with lines of its own. A `secret` value is shown without its
    password. `unless` names another variable that says it all, and what the field is then.
    """
    field: Any = dataclasses.field(
        metadata={
            "variable": variable,
            "parse": parse,
            "default": default,
            "doc": doc,
            "secret": secret,
            "unless": unless,
        }
    )
    return field  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class WithEnviron(Generic[T]):
    """A parser that looks into the environment for more than its own variable."""

    parse: Callable[[str, Mapping[str, str]], T]

    def __call__(self, value: str) -> T:
        """Parse without anything else being set."""
        return self.parse(value, {})


# Parsers ------------------------------------------------------------------------------------


def text(value: str) -> str:
    """Accept any text."""
    return value


def integer(low: int, high: int) -> Callable[[str], int]:
    """Accept a whole number from `low` to `high`; underscores and spaces may group digits."""

    def parse(value: str) -> int:
        digits = value.replace(" ", "").replace("_", "")
        if not re.fullmatch(r"-?[0-9]+", digits):
            raise ValueError(f"{value!r} is not a whole number")
        number = int(digits)
        if not low <= number <= high:
            raise ValueError(f"{value} is not between {low} and {high}")
        return number

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Accept a decimal number from `low` to `high`."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a number") from None
        if not low <= number <= high:
            raise ValueError(f"{value} is not between {low:g} and {high:g}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Accept one of `choices`."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return parse


def either(word: str, parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """Accept `word`, which becomes None, or whatever `parse` accepts."""

    def parse_either(value: str) -> T | None:
        if value == word:
            return None
        try:
            return parse(value)
        except ValueError as error:
            raise ValueError(f"{error}, nor is it {word!r}") from None

    return parse_either


def url(*schemes: str) -> Callable[[str], str]:
    """Accept a URL with one of `schemes` and, but for unix sockets, a host."""

    def parse(value: str) -> str:
        shown = _of_mistaken(value)
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            # Its own words may be a part of the password.
            what = "port is no number up to 65535" if "ort " in str(error) else "host is none"
            raise ValueError(f"{shown!r} is not a URL: its {what}; {_ESCAPES}") from None
        if parts.scheme not in schemes:
            raise ValueError(
                f"{shown!r} does not start with "
                + " or ".join(f"{scheme}://" for scheme in schemes)
            )
        if not parts.hostname and parts.scheme != "unix":
            raise ValueError(f"{shown!r} names no host")
        if parts.username and parts.password is None and parts.scheme in ("ws", "wss"):
            raise ValueError(
                f"{shown!r} names a user without a password (without one, write NAME:@)"
            )
        return value

    return parse


def redis_url(value: str) -> str:
    """Accept a URL of a Redis server, whose certificates can be read if it names any."""
    value = url("redis", "rediss", "unix")(value)
    try:
        address(value)
    except ValueError as error:
        raise ValueError(f"{redact(value)!r} cannot be used ({error})") from None
    return value


_ESCAPES = "/ ? # @ in a password are written %2F %3F %23 %40"


def redact(value: str) -> str:
    """Replace a URL's password, or its only name, and all values of its query with `***`."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return _of_mistaken(value)
    if not ("@" in parts.netloc or parts.query or parts.fragment):
        return value
    user, found, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    # A name alone may be a token.
    hidden = f"{name}:***" if password else "***" if name else user
    query = "&".join(re.sub("(=|^(?!.*=)).*", r"\1***", pair) for pair in parts.query.split("&"))
    return urlunsplit(
        parts._replace(
            netloc=f"{hidden}{found}{host}",
            query=query if parts.query else "",
            fragment="***" if parts.fragment else "",
        )
    )


def _of_mistaken(value: str) -> str:
    """Show what can be no secret of a URL that may be misspelt: nobody knows where what begins."""
    try:
        parts = urlsplit(value)
        _ = parts.port
        if parts.hostname and "@" not in parts.path:
            return redact(value)
    except ValueError:
        pass
    if not re.search("[@?#]", value):
        return value
    scheme = re.match("[a-z]+://", value, re.IGNORECASE)
    return f"{scheme[0] if scheme else ''}…"


# The settings that all services share -------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Common:
    """Settings that every service has."""

    ops_host: str = setting(
        "OPS_HOST", text, "0.0.0.0", "address that /metrics, /healthz and /readyz listen on"
    )
    ops_port: int = setting(
        "OPS_PORT",
        integer(0, 65535),
        "9100",
        "port of the same; 0 = any free port, which is logged",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "ALLOWED_HOSTS",
        hosts.names,
        "",
        "host names it may be asked by, beside addresses and names without a dot; * = any",
    )
    log_level: str = setting(
        "LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info", "least level to log"
    )
    log_format: str = setting(
        "LOG_FORMAT", one_of("auto", "json", "text"), "auto", "auto = text on a terminal, else json"
    )

    def __repr__(self) -> str:
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata.get("secret"):
                value = redact(str(value))
            shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class WithRedis(Common):
    """Settings of the services that share their work through Redis."""

    redis_url: str = setting(
        "REDIS_URL",
        redis_url,
        "redis://127.0.0.1:6379/0",
        "Redis or Valkey: redis://, rediss:// (TLS) or unix://",
        secret=True,
    )
    lease_ttl: float = setting(
        "LEASE_TTL",
        number(0.5, 60),
        "3",
        "seconds after which a standby replaces a silent instance",
    )


def load(kind: type[S], service: str, environ: Mapping[str, str]) -> S:
    """Read `kind` from `environ`.

    A variable that is set to nothing counts as not set, as Compose files leave it; a URL
    may be in a file, which `VARIABLE_FILE` names, and does not show in the environment. Raises
    SettingsError for bad values, missing required ones, and unknown variables that carry the
    service's prefix (`ORDERER_…` for `orderer`).
    """
    mistakes = []
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        variable = field.metadata["variable"]
        default = field.metadata["default"]
        other, instead = field.metadata["unless"] or ("", None)
        if environ.get(other, "").strip():
            values[field.name] = instead
            continue
        try:
            value = _given(variable, environ) or default
        except ValueError as error:
            mistakes.append(str(error))
            continue
        if value is REQUIRED:
            mistakes.append(f"{variable}: must be set ({field.metadata['doc']})")
            continue
        parse = field.metadata["parse"]
        try:
            if isinstance(parse, WithEnviron):
                values[field.name] = parse.parse(value, environ)
            else:
                values[field.name] = parse(value)
        except SettingsError as error:
            mistakes += error.mistakes
        except ValueError as error:
            mistakes.append(f"{variable}: {error}")
    known = set(variables(kind)) | {
        field.metadata["variable"] + IN_FILE
        for field in dataclasses.fields(kind)
        if field.metadata["variable"].endswith("_URL")
    }
    prefix = service.upper() + "_"
    mistakes += [
        f"{variable}: there is no such setting"
        for variable in sorted(environ)
        if variable.startswith(prefix) and variable not in known
    ]
    if mistakes:
        raise SettingsError(mistakes)
    return kind(**values)


def _given(variable: str, environ: Mapping[str, str]) -> str:
    """Find what a variable is set to, itself or, if it is a URL, in a file that is named."""
    value = environ.get(variable, "").strip()
    path = environ.get(variable + IN_FILE, "").strip() if variable.endswith("_URL") else ""
    if not path:
        return value
    if value:
        raise ValueError(f"{variable}: {variable}{IN_FILE} is set, too; one of them is enough")
    try:
        value = Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{variable}{IN_FILE}: cannot read {path}: {why}") from None
    if not value:
        raise ValueError(f"{variable}{IN_FILE}: there is nothing in {path}")
    return value


def variables(kind: type[Common]) -> list[str]:
    """List the variables that `kind` is read from, in order of declaration."""
    return [field.metadata["variable"] for field in dataclasses.fields(kind)]


def describe(kind: type[Common]) -> str:
    """Lay out the variables, their defaults and what they mean, for `--help`."""
    rows = []
    for field in dataclasses.fields(kind):
        default = field.metadata["default"]
        shown = "required" if default is REQUIRED else default or "(empty)"
        rows.append((field.metadata["variable"], shown, field.metadata["doc"]))
    first = max(len(row[0]) for row in rows)
    second = min(28, max(len(row[1]) for row in rows))
    return "\n".join(f"  {name:<{first}}  {shown:<{second}}  {doc}" for name, shown, doc in rows)
