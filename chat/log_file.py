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
    messages.json.1      what the visible file was before it would have become too long

A reader that takes longer than the time between two appends may still see a file being
written to; whoever appends should leave a while between them (see `PAUSE`).

A symbolic link is followed: all of them lie where it points. A file that cannot be replaced,
because it is a mount point (Docker's `-v file:file`), is written to in its place; only then may a
reader find it half-written.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
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
BLANK: tuple[list[bytes], ...] = ([], [b"[]"], [b"[", b"]"])
"""What is in a file without a record, in words."""

PAUSE = 0.25
"""Seconds that should go by between two appends."""

ROOM = 64 * 1024
"""Bytes that are left to others on a disk that gets full."""

LONGEST = 4 * 1024 * 1024
"""Bytes at the end of the file among which the last record is looked for."""


class Locked(Exception):
    """Another process is writing this file."""


class LogFile:
    """Append records to the array in `path`. One process at a time may hold it open."""

    def __init__(self, path: Path, most: float = math.inf) -> None:
        """Keep the array in `path` no longer than `most` bytes, or one append."""
        path = path.resolve()
        self.path = path
        self._most = most
        self._in_place = False
        """Whether the visible file has to be written to, because nothing can take its place."""
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
        # Whoever may read it may lock it, and so keep the log from being written.
        lock = os.open(
            self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600
        )
        with contextlib.suppress(PermissionError):  # somebody else's: theirs to decide
            os.fchmod(lock, 0o600)
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
            if not self._in_place:
                self._append(data)
        except BaseException as error:
            self._forget()
            # It is of no use any more, and takes room from others.
            self._next.unlink(missing_ok=True)
            if not _pinned(error):
                raise
            self._in_place = True
        if self._in_place:
            self._append_in_place(data)

    def close(self) -> None:
        """Unlock the file, and remove the hidden one."""
        self._forget()
        if self._lock is not None:
            self._next.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    # Appending

    def _append(self, data: bytes) -> None:
        """Append by putting a longer file in the place of the visible one."""
        if self._hidden < 0 or self._touched():
            self._forget()
            self._last()  # mends what other hands may have left
            if _is_blank(self.path):
                self._create(data)
                return
            self._size = self.path.stat().st_size
        if self._size + len(BETWEEN + data) > self._most:
            self._forget()
            self._create(data, former=_former(self.path))
            return
        if self._hidden < 0:
            self._copy(len(data))
        added = self._made_up + BETWEEN + data
        self._write(added)
        self._size = self._end + len(added) + len(END)
        if self._show():
            self._swap(len(added), BETWEEN + data)
        else:
            self._forget()

    def _append_in_place(self, data: bytes) -> None:
        """Append to the visible file itself."""
        size = self.path.stat().st_size
        if size != self._size:
            self._last()
            size = 0 if _is_blank(self.path) else self.path.stat().st_size
        if size and size + len(BETWEEN + data) > self._most:
            shutil.copyfile(self.path, _former(self.path))
            size = 0
        end = max(0, size - len(END))
        piece = (BETWEEN if size else BEGIN) + data + END
        file = os.open(self.path, os.O_RDWR)
        try:
            os.ftruncate(file, end + len(END) if size else 0)
            _write_all(file, piece, end)
            self._size = end + len(piece)
        except OSError:
            os.ftruncate(file, end)
            if size:
                _write_all(file, END, end)
            raise
        finally:
            os.close(file)

    def _touched(self) -> bool:
        """Tell whether other hands have replaced, cut or removed the visible file."""
        try:
            seen = self.path.stat()
        except FileNotFoundError:
            return True
        return seen.st_size != self._size or seen.st_ino != os.fstat(self._visible).st_ino

    def _create(self, data: bytes, former: Path | None = None) -> None:
        """Make the visible file, whole with its first records; call the present one `former`."""
        with self._next.open("wb") as file:
            file.write(BEGIN + data + END)
        if former is not None:
            try:
                os.link(self.path, self._old)
                self._old.rename(former)
            except OSError:  # a file system without hard links: for a moment there is no file
                self.path.rename(former)
        self._next.rename(self.path)

    def _copy(self, more: int) -> None:
        """Make the hidden file a copy of the visible one, if there is room for it and `more`."""
        disk = os.statvfs(self.path.parent)
        wanted = self.path.stat().st_size + more + ROOM
        if disk.f_bavail * disk.f_frsize < wanted:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {wanted} bytes are needed")
        shutil.copy(self.path, self._next)  # with its permissions
        self._hidden = os.open(self._next, os.O_RDWR)
        self._visible = os.open(self.path, os.O_RDWR)
        self._size = os.fstat(self._hidden).st_size
        self._end = self._size - len(END)
        self._made_up = b""

    def _write(self, added: bytes) -> None:
        _write_all(self._hidden, added + END, self._end)

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
            size, tail = _tail(self.path)
        except FileNotFoundError:
            return last(self.path)
        record = _last_of(tail)
        return self._mend(size, tail) if record is None else _position(record)

    def _mend(self, size: int, tail: bytes) -> Position | None:
        """Write anew, up to its last whole record, a file that does not end as it should."""
        if tail.split() in BLANK:
            # Perhaps somebody has moved the former one away, and left this in its place.
            return last(_former(self.path))
        lines = tail.rstrip(b"\0").split(b"\n")
        while len(lines) > 1:
            record = _parse(lines[-1].removesuffix(b","))
            if record is not None and "seq" in record and size >= len(tail):
                keep = size - len(tail) + len(b"\n".join(lines).removesuffix(b","))
                self._keep(keep)
                return _position(record)
            lines.pop()
        self.broken = self.path.with_name(f"{self.path.name}.broken-{clock.wall_us()}")
        try:
            self.path.rename(self.broken)
        except OSError as error:
            if not _pinned(error):
                raise
            shutil.copyfile(self.path, self.broken)
            os.truncate(self.path, 0)
        return None

    def _keep(self, size: int) -> None:
        with self.path.open("rb") as whole, self._next.open("wb") as kept:
            shutil.copyfileobj(whole, kept)
            kept.truncate(size)
            kept.seek(size)
            kept.write(END)
        try:
            self._next.rename(self.path)
        except OSError as error:
            if not _pinned(error):
                raise
            self._next.unlink()
            with self.path.open("r+b") as file:
                file.truncate(size)
                file.seek(size)
                file.write(END)


def _write_all(file: int, data: bytes, at: int) -> None:
    written = os.pwrite(file, data, at)
    while written < len(data):
        written += os.pwrite(file, data[written:], at + written)


def _pinned(error: BaseException) -> bool:
    """Tell whether nothing can take the file's place because of what it is."""
    return isinstance(error, OSError) and error.errno == errno.EBUSY


def _is_blank(path: Path) -> bool:
    """Tell whether there is no record: no file, or an empty one."""
    try:
        return path.stat().st_size < 100 and path.read_bytes().split() in BLANK
    except FileNotFoundError:
        return True


def last(path: Path) -> Position | None:
    """Tell the position of the last record, without a lock; None if that cannot be told."""
    try:
        # Just before a crash the file may have become the former one.
        _, tail = _tail(_former(path) if _is_blank(path) else path)
    except OSError:
        return None
    record = _last_of(tail)
    return None if record is None else _position(record)


def _former(path: Path) -> Path:
    """Name what the file becomes when it would be too long."""
    return path.with_name(f"{path.name}.1")


def _tail(path: Path) -> tuple[int, bytes]:
    """Read the end of a file; returns its size, too."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - LONGEST))
        return size, file.read()


def _last_of(tail: bytes) -> dict[str, Any] | None:
    """Take the last record from the end of a whole file; None if it is not whole."""
    return _parse(tail[: -len(END)].rpartition(b"\n")[2]) if tail.endswith(END) else None


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _position(record: dict[str, Any]) -> Position | None:
    epoch, seq = record.get("epoch"), record.get("seq")
    return Position(epoch, seq) if isinstance(epoch, int) and isinstance(seq, int) else None
