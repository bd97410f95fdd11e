"""Where something stands in a feeds.toml, and the mistakes that were found there. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chassis.settings import SettingsError

SHOWN = 60
"""Characters of a value that a mistake shows."""


class FeedFileError(SettingsError):
    """Say what is wrong with a file of feeds: `mistakes` holds one line for each."""


@dataclass(frozen=True)
class Place:
    """A file, a table in it and a word in that; mistakes are noted in a list for the whole file."""

    file: str
    mistakes: list[str]
    table: str = ""
    word: str = ""

    def at(self, word: str) -> Place:
        """Name a word, or a part of one, in the same table."""
        if self.word:
            word = f"{self.word}{word}" if word.startswith("[") else f"{self.word}.{word}"
        return Place(self.file, self.mistakes, self.table, word)

    def under(self, table: str) -> Place:
        """Name a table in this one."""
        return Place(self.file, self.mistakes, f"{self.table}.{table}")

    def wrong(self, why: str) -> None:
        """Note a mistake, as one line."""
        table = f"[{self.table}] " if self.table else ""
        word = f"{self.word}: " if self.word else ""
        line = re.sub(r"\s*[\r\n]+\s*", " ", f"{self.file}: {table}{word}{why}")
        if line not in self.mistakes:
            self.mistakes.append(line)


def named(name: str) -> str:
    """Write a name as TOML wants it in a table's header."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else repr(name).replace("'", '"')


def shown(value: Any) -> str:
    """Write a value for a mistake, short and on one line."""
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def nearest(word: str, known: Iterable[str]) -> str:
    """Tell which known word was probably meant, as the end of a sentence."""
    found = difflib.get_close_matches(word.lower(), list(known), 1, 0.6)
    return f"; did you mean {found[0]}?" if found else ""
