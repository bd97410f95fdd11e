"""A service's life: read the settings, run, drain on a signal, exit with a code that tells.

Exit codes: 0 drained after SIGTERM or SIGINT, 1 a bug or a drain that took too long,
2 misconfigured, or told to listen where it cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import platform
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import uvloop

from . import hosts, logs, output, settings
from .metrics import Gauge
from .network import Unusable
from .tasks import end
from .version import VERSION, build, version

S = TypeVar("S", bound=settings.Common)

BUILD = Gauge("build_info", "Always 1: which code runs", ["version", "build", "python"])

GRACE = 10.0
"""Seconds that draining may take after SIGTERM before the process gives up and exits 1."""


OPEN_FILES = 1 << 20
"""Files that a process asks to have open at most; each connection is one."""


class NotDrained(Exception):
    """Draining had to be given up; the message says what was lost."""


def run(
    service: str,
    kind: type[S],
    serve: Callable[[S, asyncio.Event], Awaitable[None]],
    *,
    verbs: str = "",
) -> NoReturn:
    """Run `serve(settings, stop)` until it returns, and exit the process.

    `stop` is set by SIGTERM or SIGINT; `serve` then drains and returns within `GRACE`. A
    second signal exits at once. `verbs` names other uses of the command, for `--help`.
    """
    output.forgive()
    config = configure(service, kind, sys.argv[1:], verbs)
    log = logs.get(service)

    async def main() -> int:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def on_signal(name: str) -> None:
            if stop.is_set():
                log.error("stopped at once by a second signal", signal=name)
                sys.stderr.flush()
                os._exit(1)
            log.info("stopping", signal=name)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal, number.name)
        log.info("started", pid=os.getpid(), version=VERSION, build=build())
        serving = asyncio.ensure_future(serve(config, stop))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await asyncio.wait([serving], timeout=GRACE)
        stopping.cancel()
        if not serving.done():
            log.error("draining took too long", seconds=GRACE)
            await end(serving, within=1.0)
            sys.stderr.flush()
            os._exit(1)  # whatever is left may resist being cancelled
        serving.result()
        log.info("stopped")
        return 0

    BUILD.labels(VERSION, build(), platform.python_version()).set(1)
    raise_open_files()
    # What stands after start-up lives as long as the process: keep it out of every collection,
    # and collect seldom, since the frames in flight are many and none of them forms a cycle.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(main())
    except Unusable as error:
        log.error("misconfigured", error=str(error))
        status = 2
    except NotDrained as error:
        log.error("not drained", error=str(error))
        status = 1
    except Exception:
        log.error("failed", exc_info=True)
        status = 1
    sys.exit(status)


def raise_open_files() -> None:
    """Let this process have as many files open as it may, and `OPEN_FILES` at most.

    Shells and containers begin with 1024, for the sake of programs that still use select().
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems refuse what they say may be had; then it stays as it is.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def configure(service: str, kind: type[S], arguments: list[str], verbs: str = "") -> S:
    """Read the settings from the environment and set up the logs.

    Exits with status 0 after `--help` or `--version`, and with 2, one line per mistake, when
    something is wrong.
    """
    if "--help" in arguments or "-h" in arguments:
        print(f"usage: python -m {service} {verbs}".rstrip())
        print(f"\n{version()}")
        print("\nSettings are environment variables:\n")
        print(settings.describe(kind))
        sys.exit(0)
    if "--version" in arguments:
        print(version())
        sys.exit(0)
    if arguments:
        print(f"{service}: unknown argument {arguments[0]!r}; see --help", file=sys.stderr)
        sys.exit(2)
    try:
        config = settings.load(kind, service, os.environ)
    except settings.SettingsError as error:
        for mistake in error.mistakes:
            print(f"{service}: {mistake}", file=sys.stderr)
        sys.exit(2)
    hosts.configure(config.allowed_hosts)
    logs.configure(config.log_level, config.log_format)
    return config
