"""What Redis and its client raise: what trying again may mend, and what it cannot."""

from __future__ import annotations

import asyncio

from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

__all__ = ["ResponseError", "Unavailable", "reply_error", "transient"]

_TRANSIENT_WORDS = (
    "OOM", "MISCONF", "LOADING", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN",
    "NOREPLICAS", "BUSY ", "NOAUTH", "WRONGPASS", "UNBLOCKED",
)  # fmt: skip


class Unavailable(Exception):
    """Redis was away for too long while the service was stopping."""


def transient(error: BaseException) -> str | None:
    """Give the reason (a label value) if trying again may help, else None."""
    match error:
        case TimeoutError() | asyncio.TimeoutError():
            return "timeout"
        case OutOfMemoryError():
            return "memory"
        case BusyLoadingError() | ReadOnlyError():
            return "refused"
        case ConnectionError() | OSError():
            return "connection"
        case RuntimeError() if "the handler is closed" in str(error):
            return "connection"  # uvloop's word for writing to what was reset just now
        case ResponseError():
            message = str(error)
            if message.startswith("OOM") or "OOM command not allowed" in message:
                return "memory"
            within = "ACL failure in script" in message
            if message.startswith("NOPERM") or within or isinstance(error, NoPermissionError):
                return "forbidden"
            if message.startswith(_TRANSIENT_WORDS) or "MISCONF" in message:
                return "refused"
    return None


def reply_error(text: str) -> Exception:
    """Make the exception for an error that the server replied; its text is the server's."""
    if text.startswith("NOSCRIPT"):
        return NoScriptError(text)
    if text.startswith("ERR max number of clients"):  # and then the connection ends
        return ConnectionError(text)
    return ResponseError(text)
