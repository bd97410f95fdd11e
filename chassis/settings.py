"""Typed settings from environment variables; every mistake is reported at once.

A service declares a frozen dataclass that extends `Common`; each field is made by `setting()`,
which carries the variable's name, its parser, its default and one line of documentation.
`load()` turns a mapping into an instance or raises `SettingsError` with one line per mistake.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

S = TypeVar("S", bound="Common")
T = TypeVar("T")

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
) -> T:
    """Declare a field read from `variable`.

    `default` is text as a user would write it and goes through `parse` too; `REQUIRED` means
    that there is none. `parse` raises ValueError with a message that completes
    "VARIABLE: ...". A `secret` value is shown without its password.
    """
    field: Any = dataclasses.field(
        metadata={
            "variable": variable,
            "parse": parse,
            "default": default,
            "doc": doc,
            "secret": secret,
        }
    )
    return field  # type: ignore[no-any-return]


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
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"{redact(value)!r} is not a URL ({error})") from None
        if parts.scheme not in schemes:
            raise ValueError(
                f"{redact(value)!r} does not start with "
                + " or ".join(f"{scheme}://" for scheme in schemes)
            )
        if not parts.hostname and parts.scheme != "unix":
            raise ValueError(f"{redact(value)!r} names no host")
        return value

    return parse


_SECRET_PARAMETER = re.compile(
    r"([?&][^=&#]*(?:pass|secret|token|key|auth|sig)[^=&#]*=)[^&#]*", re.IGNORECASE
)


def redact(value: str) -> str:
    """Replace the password in a URL, and what looks like one in its query, with `***`."""
    value = _SECRET_PARAMETER.sub(r"\1***", value)
    try:
        parts = urlsplit(value)
        password = parts.password
    except ValueError:
        return re.sub(r":[^:@/]*@", ":***@", value)
    if not password:
        return value
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


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
        url("redis", "rediss", "unix"),
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

    A variable that is set to nothing counts as not set, as Compose files leave it. Raises
    SettingsError for bad values, missing required ones, and unknown variables that carry the
    service's prefix (`ORDERER_…` for `orderer`).
    """
    mistakes = []
    values = {}
    for field in dataclasses.fields(kind):
        variable = field.metadata["variable"]
        default = field.metadata["default"]
        value = environ.get(variable, "").strip() or default
        if value is REQUIRED:
            mistakes.append(f"{variable}: must be set ({field.metadata['doc']})")
            continue
        try:
            values[field.name] = field.metadata["parse"](value)
        except ValueError as error:
            mistakes.append(f"{variable}: {error}")
    known = set(variables(kind))
    prefix = service.upper() + "_"
    mistakes += [
        f"{variable}: there is no such setting"
        for variable in sorted(environ)
        if variable.startswith(prefix) and variable not in known
    ]
    if mistakes:
        raise SettingsError(mistakes)
    return kind(**values)


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
