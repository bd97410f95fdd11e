"""The names under which this process may be asked, in a request's `Host`.

A page of anybody's can have the name of its own server lead to this machine once it is loaded
("DNS rebinding"); for the browser it then talks with its own server, and may read what that says.
What gives it away is the name. An address, or a name that nobody outside can have, is no such name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

_names: tuple[str, ...] = ()


def configure(names: Sequence[str]) -> None:
    """Let this process be asked by these names, too; by any if `*` is one of them."""
    global _names  # the process has one set of names, as it has one log
    _names = tuple(names)


def expected(host: str) -> bool:
    """Tell whether the `Host` of a request is a name of this process."""
    return is_expected(host, _names)


def is_expected(host: str, names: Sequence[str]) -> bool:
    """Tell whether `host`, perhaps with a port, is one of `names` or can be nobody else's.

    Addresses can not, nor names without a dot, nor those below `localhost`. A request without a
    host is no browser's.
    """
    if not host or "*" in names:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return (
        name in names
        or ("." not in name and "@" not in host)
        or name.endswith(".localhost")
        or _is_address(name)
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def names(value: str) -> tuple[str, ...]:
    """Accept host names, separated by spaces, and `*`; raises ValueError."""
    words = tuple(word.lower().rstrip(".") for word in value.split())
    for word in words:
        if word != "*" and any(letter in word for letter in "/:*@?#"):
            raise ValueError(f"{word!r} is neither * nor a host name like chat.example.org")
    return words
