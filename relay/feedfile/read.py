"""Read a file of feeds; every mistake is told, each with its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from . import check
from .place import FeedFileError, Place, named, nearest, shown
from .secrets import Secrets
from .values import Lookup
from .words import Connection, Endpoint, Feed, Resume, words

LARGEST = 4 * 1024 * 1024
"""Bytes of a file of feeds."""

_NAME = re.compile(r"[\w.-]{1,64}")

_FEED, _ENDPOINT, _RESUME = words(Feed), words(Endpoint), words(Resume)


def load(
    file: str, environ: Mapping[str, str], read: Callable[[str], bytes] | None = None,
    *, feeds: bool = True, endpoints: bool = True,
) -> dict[str, Feed]:  # fmt: skip
    """Read the feeds from a file, by their names in the file's order.

    `read` gets the content of a file, of secrets too. Who does not connect to `feeds`, or to
    `endpoints`, needs none of their secrets. Raises FeedFileError with one line for each mistake.
    """
    read = read or _read
    try:
        content = read(file)
    except OSError as error:
        raise FeedFileError(
            [f"{file}: cannot be read ({error.strerror or type(error).__name__})"]
        ) from None
    if len(content) > LARGEST:
        raise FeedFileError([f"{file}: is larger than {LARGEST} bytes"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FeedFileError([f"{file}: line {line} is not UTF-8"]) from None
    theirs = Secrets(environ, read, needed=endpoints)
    return parse(text, file, Secrets(environ, read, needed=feeds), theirs)


def parse(text: str, file: str, secrets: Secrets, theirs: Secrets | None = None) -> dict[str, Feed]:
    """Read the feeds from a text; `file` names it in mistakes. Raises FeedFileError.

    `theirs` are the secrets of endpoints, if not the same.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FeedFileError([f"{file}: is not TOML: {_first_line(error)}"]) from None
    except RecursionError:
        raise FeedFileError([f"{file}: is not TOML: nested too deeply"]) from None
    mistakes: list[str] = []
    top = Place(file, mistakes)
    for name, value in document.items():
        if name != "feed":
            there = f"[{named(name)}]" if isinstance(value, dict) else _plain(name)
            top.wrong(f"{there} stands outside of [feed.NAME], where all feeds stand")
    tables = document.get("feed", {})
    feeds = {}
    if not isinstance(tables, dict):
        top.wrong(f"feed: {shown(tables)} is not a table; feeds stand under [feed.NAME]")
    elif not tables:
        if not mistakes:
            top.wrong("names no feed; feeds stand under [feed.NAME]")
    else:
        for name, table in tables.items():
            place = Place(file, mistakes, f"feed.{named(name)}")
            feeds[name] = _feed(name, table, place, secrets, theirs or secrets)
    if mistakes:
        raise FeedFileError(mistakes)
    return {name: feed for name, feed in feeds.items() if feed is not None}


def _feed(name: str, table: Any, place: Place, secrets: Secrets, theirs: Secrets) -> Feed | None:
    if not _named(name, table, place, "a feed"):
        return None
    endpoints, resume = table.pop("endpoint", {}), table.pop("resume", None)
    found = _words(Feed, _FEED, table, place, _lookup(table, secrets))
    check.check_feed(table, found, place)
    if resume is not None:
        found["resume"] = _resume(resume, table, place, secrets)
    sinks: list[Endpoint] = []
    if not isinstance(endpoints, dict) or not all(
        isinstance(value, dict) for value in endpoints.values()
    ):
        place.at("endpoint").wrong(f"endpoints stand under [{place.table}.endpoint.NAME]")
        endpoints = {}
    for sink, words_ in endpoints.items():
        there = place.under(f"endpoint.{named(sink)}")
        if not _named(sink, words_, there, "an endpoint"):
            continue
        values = _words(Endpoint, _ENDPOINT, words_, there, _lookup(words_, theirs))
        check.check_endpoint(words_, values, there)
        if "url" in values:
            sinks.append(Endpoint(name=sink, **values))
    if "url" not in found:
        return None
    feed = Feed(name=name, endpoints=tuple(sinks), **found)
    check.check_ids(found, feed.texts, place)
    if feed.resume is not None:
        check.check_ids(found, feed.resume.texts, place.under("resume"))
    return feed


def _resume(table: Any, feed: dict[str, Any], place: Place, secrets: Secrets) -> Resume | None:
    there = place.under("resume")
    if not isinstance(table, dict):
        place.at("resume").wrong(f"{shown(table)} is not a table")
        return None
    values = _read_words(Resume, _RESUME, table, there, _lookup(feed, secrets))
    if not table:
        there.wrong(f"nothing is said in it; known are {', '.join(_RESUME)}")
    return Resume(**values)


def read_words(table: dict[str, Any], place: Place, secrets: Secrets) -> dict[str, Any]:
    """Read some words of a feed by themselves; what contradicts itself is not looked for."""
    return _read_words(Feed, _FEED, table, place, _lookup(table, secrets))


def _words(
    kind: type[Connection],
    known: dict[str, Any],
    table: dict[str, Any],
    place: Place,
    lookup: Lookup,
) -> dict[str, Any]:
    """Read the words of a feed or an endpoint."""
    if "url" not in table and not any(nearest(word, ["url"]) for word in table.keys() - known):
        place.at("url").wrong("is missing")
    found = _read_words(kind, known, table, place, lookup)
    check.check_connection(table, place)
    return found


def _read_words(
    kind: type, known: dict[str, Any], table: dict[str, Any], place: Place, lookup: Lookup
) -> dict[str, Any]:
    """Read a table's words; those with a mistake are left out."""
    found = {}
    for word, value in table.items():
        if word not in known:
            place.at(_plain(word)).wrong(_unknown(word, kind, known))
            continue
        before = len(place.mistakes)
        read = known[word](value, place.at(word), lookup)
        if len(place.mistakes) == before:
            found[word] = read
    return found


def _unknown(word: str, kind: type, known: dict[str, Any]) -> str:
    """Say that there is no such word here, and which one was meant, as far as one can tell."""
    if kind is not Feed and word in _FEED:
        return f"is a word of [feed.NAME], there is no such word {_where(kind)}"
    if kind is not Endpoint and word in _ENDPOINT:
        return f"is a word of [feed.NAME.endpoint.NAME], there is no such word {_where(kind)}"
    hint = nearest(word, [*known, *(("resume", "endpoint") if kind is Feed else ())])
    if not hint and kind is Resume:
        hint = f"; known are {', '.join(known)}"
    return f"there is no such word {_where(kind)}{hint}"


def _where(kind: type) -> str:
    return {Feed: "for a feed", Endpoint: "for an endpoint"}.get(kind, "for `resume`")


def _named(name: str, table: Any, place: Place, what: str) -> bool:
    """Tell whether this is a table with a good name."""
    if not isinstance(table, dict):
        place.wrong(f"{shown(table)} is not a table")
        return False
    if not _NAME.fullmatch(name):
        place.wrong(f"{name!r} is not a name of {what} (1 to 64 letters, digits, _ . -)")
    return True


def _lookup(table: dict[str, Any], secrets: Secrets) -> Lookup:
    """Look up names; what is not set may come from the table's credentials command."""
    if "credentials" not in table:
        return secrets.get

    def get(name: str) -> str | None:
        try:
            return secrets.get(name)
        except ValueError:
            if secrets.known(name):
                raise
            return None

    return get


def _plain(word: str) -> str:
    return word if re.fullmatch(r"[\w-]+", word) else repr(word)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _read(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read(LARGEST + 1)
