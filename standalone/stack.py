"""The processes of one run: start them, notice when one dies, stop them all.

No process outlives the run. In an orderly end each gets SIGTERM, time to drain, and at last
SIGKILL; after any other end of this program the reaper does the same (see `reaper.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where services are run from, whatever the current directory is."""

GRACE = 12.0
"""Seconds from SIGTERM to SIGKILL; a service gives up draining after 10 by itself."""

PATIENCE = 4.0
"""Seconds to wait for the home of a run that was killed; its reaper needs about two."""

LOG_BYTES = 10_000_000
"""Bytes at which a log becomes NAME.log.1, in place of the former one, and is begun anew."""

_TURN = 0.3
"""Seconds that one process may drain before the next is asked to stop as well."""


class Failed(Exception):
    """The stack could not do what it was started for; the message is for the user."""


class Child:
    """One process of the stack; its output goes to a log file."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path):
        self.name = name
        self.log = log
        self._command = command
        self._environ = environ
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process else None

    @property
    def ended(self) -> str | None:
        """How the process ended, None while it runs."""
        status = self._process.returncode if self._process else None
        if status is None:
            return None
        if status >= 0:
            return f"exit status {status}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
        return f"killed by signal {-status}"

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def rotate(self) -> None:
        """Begin the log anew if it is long; the process goes on writing to it."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size < LOG_BYTES:
                return
            # It is opened for appending. A line that comes between the two steps is lost.
            shutil.copyfile(self.log, former(self.log))
            os.truncate(self.log, 0)

    async def start(self, group: int) -> None:
        """Start the process in the process group `group`, or start it again."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=self._environ,
                cwd=ROOT,
                process_group=group,
            )

    async def stop(self, grace: float = GRACE) -> None:
        """Send SIGTERM, after `grace` seconds SIGKILL, and wait until the process is gone."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        done = asyncio.ensure_future(self._process.wait())
        await asyncio.wait([done], timeout=grace)
        if not done.done():
            self._signal(signal.SIGKILL)
            await done

    def hang_up(self) -> None:
        """Send SIGHUP: services that have a file of feeds read it again."""
        self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class Stack:
    """All processes of a run; use it as an async context manager.

    `home` holds logs and data, and is locked for as long as a process of the run lives, so
    that no two servers ever write the same data.
    """

    def __init__(self, home: Path, grace: float = GRACE) -> None:
        self.home = home
        self.children: list[Child] = []
        self._grace = grace
        self._lock: IO[str] | None = None
        self._reaper: Process | None = None

    async def __aenter__(self) -> Stack:
        """Lock the home and start the reaper; raises Failed if that cannot be."""
        try:
            (self.home / "logs").mkdir(parents=True, exist_ok=True)
            self._lock = await _locked(self.home / "lock")
        except OSError as error:
            raise Failed(
                f"cannot write to {self.home}: {error.strerror}; --home names another directory"
            ) from error
        self._reaper = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            str(ROOT / "standalone" / "reaper.py"),
            stdin=PIPE,
            stdout=DEVNULL,
            process_group=0,
            # It is the last to go, so the home is free again only when everything is gone.
            pass_fds=[self._lock.fileno()],
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything."""
        try:
            await self.stop()
        finally:
            await self._dismiss()

    async def start(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> Child:
        """Start a process called `name`, with an empty log; that of the last run is kept."""
        assert self._reaper is not None
        log = self.home / "logs" / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            log.replace(former(log))
        log.write_bytes(b"")
        child = Child(name, command, environ, log)
        self.children.append(child)
        await child.start(self._reaper.pid)
        return child

    async def restart(self, child: Child) -> None:
        """Start a process that has ended again."""
        assert self._reaper is not None
        await child.start(self._reaper.pid)

    def check(self) -> None:
        """Raise Failed, with the ends of their logs, if processes have ended."""
        ended = [
            f"{child.name} ended: {child.ended}; its log ends with\n{child.tail()}"
            for child in self.children
            if child.ended
        ]
        if ended:
            raise Failed("\n".join(ended))

    async def stop(self) -> None:
        """Stop the processes, the last started first; the first started once all others are gone.

        Each is asked when the one after it has drained or had its turn, so that an
        orderly stop keeps its order and a stuck process does not keep the others waiting.
        """
        stopping = []
        for child in reversed(self.children[1:]):
            stopping.append(asyncio.ensure_future(child.stop(self._grace)))
            await asyncio.wait([stopping[-1]], timeout=_TURN)
        await asyncio.gather(*stopping)
        if self.children:
            await self.children[0].stop(self._grace)

    async def _dismiss(self) -> None:
        """Kill whatever is left in the group, the reaper included, and unlock the home."""
        if self._reaper is not None:
            if self._reaper.returncode is None:
                os.killpg(self._reaper.pid, signal.SIGKILL)
            await self._reaper.wait()
        if self._lock is not None:
            self._lock.close()


def former(log: Path) -> Path:
    """Name what a log becomes when it is begun anew."""
    return log.with_name(f"{log.name}.1")


async def _locked(path: Path) -> IO[str]:
    """Lock the file at `path`; a run that was just killed is given `PATIENCE` seconds to end."""
    file = path.open("a")
    with contextlib.suppress(PermissionError):
        os.fchmod(file.fileno(), 0o600)  # who may read it may lock it
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                file.close()
                raise Failed(f"another run is using {path.parent}") from None
            await asyncio.sleep(0.1)
        else:
            return file
