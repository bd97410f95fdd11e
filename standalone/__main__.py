"""Run the stack: `python -m standalone demo` or `python -m standalone up`.

Exit status: 0 all went well, 1 it did not, 2 what was asked for makes no sense, 130 the user
ended the demo.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from chassis import output
from chassis.settings import integer, number
from chassis.version import version

from . import demo, up
from .run import Refused, Stopped
from .stack import ROOT, Failed

T = TypeVar("T")

HOME = ROOT / ".seriatim"


def main(arguments: list[str]) -> int:
    """Parse the arguments, run what they ask for, and return the exit status."""
    output.forgive()
    # What was said and relayed, and the key of the chat's tokens, is the user's own.
    os.umask(0o077)
    with contextlib.suppress(OSError):
        HOME.chmod(0o700)  # of an earlier version
    options = parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except Refused as refused:
        print(f"standalone: {refused}", file=sys.stderr)
        return 2
    except Failed as failed:
        print(f"standalone: {failed}", file=sys.stderr)
        return 1
    except Stopped:
        print("Stopped before the end.")
        return 130 if options.command == "demo" else 0


async def _run(options: argparse.Namespace) -> int:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            # The reaper ends the processes.
            os._exit(130)
        stop.set()

    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(end, on_signal)
    if options.command == "demo":
        wanted = demo.Options(
            home=options.home or HOME / "demo",
            messages=options.messages,
            rate=options.rate,
            patience=options.patience,
            report=options.report,
        )
        return await demo.demo(wanted, os.environ, stop)
    return await up.up(up.Options(options.home or HOME, options.persist), os.environ, stop)


def parser() -> argparse.ArgumentParser:
    """Build the parser; defaults of the demo come from the simulator's variables if set."""
    top = argparse.ArgumentParser(
        prog="python -m standalone",
        description="The whole stack in one terminal, without Docker.",
        epilog="Services are configured by environment variables (python -m orderer --help and "
        "so on); what is set wins over the stack's own wiring. REDIS_URL names a server to use "
        "in place of the embedded one.",
    )
    top.add_argument("--version", action="version", version=version())
    commands = top.add_subparsers(dest="command", required=True, metavar="demo|up")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--home",
        type=lambda path: Path(path).absolute(),
        help="directory for logs and data (default: .seriatim in the checkout)",
    )

    one = commands.add_parser(
        "demo", parents=[shared], help="relay a number of messages and check that all are in order"
    )
    one.add_argument(
        "--messages",
        type=_argument(integer(1, 10**9)),
        default=os.environ.get("SIMULATOR_MESSAGES", "").strip() or "100000",
        help="how many (default: %(default)s)",
    )
    one.add_argument(
        "--rate",
        type=_argument(number(0, 10**7)),
        default=os.environ.get("SIMULATOR_RATE", "").strip() or "10000",
        help="messages per second, 0 = as fast as it goes (default: %(default)s)",
    )
    one.add_argument(
        "--patience",
        type=_argument(number(1, 86_400)),
        default="30",
        help="seconds without any progress after which it fails (default: %(default)s)",
    )

    one.add_argument(
        "--report",
        metavar="FILE.html",
        type=lambda path: Path(path).absolute(),
        help="write a page with plots there: order in against order out, delays",
    )

    other = commands.add_parser("up", parents=[shared], help="keep everything running")
    other.add_argument(
        "--persist",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the embedded server's data for the next time (default: yes)",
    )
    return top


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Have argparse report what `parse` says."""

    def convert(value: str) -> T:
        try:
            return parse(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
