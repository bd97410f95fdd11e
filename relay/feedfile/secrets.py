"""What `${NAME}` stands for: a variable, or the content of the file that NAME_FILE names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

LARGEST = 64 * 1024
"""Bytes of a secret's file."""


class Unneeded(str):
    """A name that stands for itself, because whoever reads the file connects to nobody with it."""

    __slots__ = ()


class Secrets:
    """Looks up names; what is found is shown nowhere."""

    def __init__(
        self, environ: Mapping[str, str], read: Callable[[str], bytes] | None = None,
        *, needed: bool = True,
    ) -> None:  # fmt: skip
        """Look up in `environ`; `read` gets the content of a file or raises OSError.

        Who connects to nobody has no secrets, and needs none: then each name stands for itself.
        """
        self._environ = environ
        self._needed = needed
        self._read = read or (lambda name: Path(name).read_bytes())
        self._found: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._found))})"

    def get(self, name: str) -> str:
        """Get what a name stands for; raises ValueError with what is wrong.

        What is set to nothing counts as not set, as for all settings.
        """
        if not self._needed:
            return Unneeded(name)
        if name not in self._found:
            self._found[name] = self._look_up(name)
        return self._found[name]

    def known(self, name: str) -> bool:
        """Tell whether anything is said about a name, even if it is of no use."""
        return bool(self._environ.get(name) or self._environ.get(f"{name}_FILE"))

    def _look_up(self, name: str) -> str:
        value, file = self._environ.get(name, ""), self._environ.get(f"{name}_FILE", "")
        if value and file:
            raise ValueError(f"${{{name}}}: both {name} and {name}_FILE are set")
        if not file:
            if not value:
                raise ValueError(f"${{{name}}} is not set, and neither is {name}_FILE")
            return value
        try:
            content = self._read(file)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ValueError(
                f"${{{name}}}: the file that {name}_FILE names cannot be read ({why})"
            ) from None
        if len(content) > LARGEST:
            raise ValueError(f"${{{name}}}: the file that {name}_FILE names is too large")
        try:
            text = content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(
                f"${{{name}}}: the file that {name}_FILE names is no UTF-8 text"
            ) from None
        if not text:
            raise ValueError(f"${{{name}}}: the file that {name}_FILE names is empty")
        return text
