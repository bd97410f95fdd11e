"""Ends the stack's processes when the program that started them is gone, however it went.

Run as a script by `stack.py`, as the leader of a process group that all of the stack's
processes join. Its standard input is a pipe whose other end only the starting program holds, so
the kernel itself reports that program's death: by SIGKILL too, on every Unix, and without
depending on which thread started what (which Linux's PR_SET_PDEATHSIG does).
"""

from __future__ import annotations

import os
import signal
import time  # a script by itself: it imports nothing of the project

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL. Short: services may die at any instant without harm."""


def main() -> None:
    """Wait for the end of standard input, then end the group, this process included."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    os.kill(0, signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
