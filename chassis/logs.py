"""Structured logs: an event and its fields, JSON unless a person is looking.

For example:

    log = logs.get("orderer")
    log.warning("gap given up", feed="default", first=7, last=9)
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from .output import escaped, visible


class Log:
    """Write events of one service; fields are keyword arguments."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        exc_info = fields.pop("exc_info", None)
        self._logger.log(level, event, exc_info=exc_info, extra={"fields": fields})

    def debug(self, event: str, **fields: Any) -> None:
        """Log what only a developer wants to see."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log a change of state."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what an operator should know; some counter counts it too."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log what needs somebody's hand."""
        self._write(logging.ERROR, event, fields)


def get(name: str) -> Log:
    """Get the log of a service."""
    return Log(name)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return escaped(orjson.dumps(entry, default=str).decode())


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        line = visible(
            f"{when} {record.levelname:<7} {record.name:<9} {record.getMessage()}{fields}"
        )
        if record.exc_info:
            # What was raised may bear a peer's words, and none of them may look like an entry.
            raised = visible(self.formatException(record.exc_info), lines=True)
            line += "\n  " + raised.replace("\n", "\n  ")
        return line


def configure(level: str, style: str) -> None:
    """Send all logs to standard error.

    `level` is debug, info, warning or error; `style` is json, text or auto (text on a
    terminal). Libraries speak from warning on.
    """
    if style == "auto":
        style = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if style == "text" else _Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in ("websockets", "asyncio", "redis"):
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
