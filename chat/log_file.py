"""A JSON array in a file that grows by appending and is whole at every instant.

To append to an array its last `]` must be overwritten, and neither a reader who comes by at that
moment nor a process killed in the middle of a long write would leave or find a whole one. So the
file that people see is never written to. There are two files with the same beginning: what is
new goes to the hidden one, to which a rename then gives the visible name, while the one that
was visible becomes the hidden one and is made up for with the next append. Each record is
written twice, and nothing is ever copied but once after a start.

    messages.json        the visible file
    .messages.json.next  the hidden one; may be anything after a crash, and is then made anew
    .messages.json.lock  locked by the process that writes

A reader that takes longer than the time between two appends may still see a file being
written to; whoever appends should leave a while between them (see `PAUSE`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from chassis import clock

from .records import Position

BEGIN = b"[\n"
BETWEEN = b",\n"
END = b"\n]\n"

PAUSE = 0.25
"""Seconds that should go by between two appends."""

LONGEST = 4 * 1024 * 1024
"""Bytes at the end of the file among which the last record is looked for."""


class Locked(Exception):
    """Another process is writing this file."""


class LogFile:
    """Append records to the array in `path`. One process at a time may hold it open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = path.with_name(f".{path.name}.next")
        self._old = path.with_name(f".{path.name}.old")
        self._lock: int | None = None
        self._hidden = -1
        """The hidden file, open for writing; -1 = to be made."""
        self._visible = -1
        self._end = 0
        """Where in the hidden file the last record ends."""
        self._size = 0
        """Bytes of the visible file, as this process has left it."""
        self._made_up = b""
        """What the visible file has and the hidden one has not."""
        self.broken: Path | None = None
        """Where a file went that was no log."""

    def open(self) -> Position | None:
        """Lock the file, mend it if need be, and tell its last record's position.

        None if there is no record. Raises Locked, and OSError.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(
            self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Locked(str(self.path)) from None
        self._lock = lock
        try:
            self._old.unlink(missing_ok=True)
            self._next.unlink(missing_ok=True)
            return self._last()
        except BaseException:
            self.close()
            raise

    def append(self, records: Sequence[bytes]) -> None:
        """Append JSON objects, and show them. After an OSError the file is as it was before."""
        assert self._lock is not None
        if not records:
            return
        data = BETWEEN.join(records)
        try:
            if self._hidden < 0 or self._touched():
                self._forget()
                self._last()  # mends what other hands may have left
                if not self.path.exists():
                    self._create(data)
                    return
                self._copy()
            added = self._made_up + BETWEEN + data
            self._write(added)
            self._size = self._end + len(added) + len(END)
            if self._show():
                self._swap(len(added), BETWEEN + data)
            else:
                self._forget()
        except BaseException:
            self._forget()
            raise

    def close(self) -> None:
        """Unlock the file, and remove the hidden one."""
        self._forget()
        if self._lock is not None:
            self._next.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    # Appending

    def _touched(self) -> bool:
        """Tell whether other hands have replaced, cut or removed the visible file."""
        try:
            seen = self.path.stat()
        except FileNotFoundError:
            return True
        return seen.st_size != self._size or seen.st_ino != os.fstat(self._visible).st_ino

    def _create(self, data: bytes) -> None:
        """Make the visible file, whole with its first records."""
        with self._next.open("wb") as file:
            file.write(BEGIN + data + END)
        self._next.rename(self.path)

    def _copy(self) -> None:
        """Make the hidden file a copy of the visible one."""
        shutil.copyfile(self.path, self._next)
        self._hidden = os.open(self._next, os.O_RDWR)
        self._visible = os.open(self.path, os.O_RDWR)
        self._size = os.fstat(self._hidden).st_size
        self._end = self._size - len(END)
        self._made_up = b""

    def _write(self, added: bytes) -> None:
        data = added + END
        written = os.pwrite(self._hidden, data, self._end)
        while written < len(data):
            written += os.pwrite(self._hidden, data[written:], self._end + written)

    def _show(self) -> bool:
        """Give the hidden file the visible name, and the other way round.

        False on a file system that knows no hard links: then there is no hidden file now.
        """
        try:
            os.link(self.path, self._old)
        except OSError:
            self._next.rename(self.path)
            return False
        self._next.rename(self.path)
        self._old.rename(self._next)
        return True

    def _swap(self, added: int, lacks: bytes) -> None:
        """Note that the other file is the hidden one now, and that it `lacks` what is new."""
        self._hidden, self._visible = self._visible, self._hidden
        self._end += added - len(lacks)
        self._made_up = lacks

    def _forget(self) -> None:
        """Have the hidden file made anew."""
        for file in (self._hidden, self._visible):
            if file >= 0:
                os.close(file)
        self._hidden = self._visible = -1
        self._old.unlink(missing_ok=True)

    # Opening

    def _last(self) -> Position | None:
        """Find the last record, mending what was left by a power failure or by other hands."""
        try:
            size = self.path.stat().st_size
            with self.path.open("rb") as file:
                file.seek(max(0, size - LONGEST))
                tail = file.read()
        except FileNotFoundError:
            return None
        if tail.endswith(END):
            record = _parse(tail[: -len(END)].rpartition(b"\n")[2])
            if record is not None:
                return _position(record)
        return self._mend(size, tail)

    def _mend(self, size: int, tail: bytes) -> Position | None:
        """Write anew, up to its last whole record, a file that does not end as it should."""
        if tail.split() in ([], [b"[]"], [b"[", b"]"]):
            self.path.unlink()
            return None
        lines = tail.rstrip(b"\0").split(b"\n")
        while len(lines) > 1:
            record = _parse(lines[-1].removesuffix(b","))
            if record is not None and "seq" in record and size >= len(tail):
                keep = size - len(tail) + len(b"\n".join(lines).removesuffix(b","))
                self._keep(keep)
                return _position(record)
            lines.pop()
        self.broken = self.path.with_name(f"{self.path.name}.broken-{clock.wall_us()}")
        self.path.rename(self.broken)
        return None

    def _keep(self, size: int) -> None:
        with self.path.open("rb") as whole, self._next.open("wb") as kept:
            shutil.copyfileobj(whole, kept)
            kept.truncate(size)
            kept.seek(size)
            kept.write(END)
        self._next.rename(self.path)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _position(record: dict[str, Any]) -> Position | None:
    epoch, seq = record.get("epoch"), record.get("seq")
    return Position(epoch, seq) if isinstance(epoch, int) and isinstance(seq, int) else None
