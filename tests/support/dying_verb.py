"""An operator's verb that is killed just before one of the things that it asks of Redis.

DIES_AT=3 python -m tests.support.dying_verb forget FEED
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import count
from typing import Any

from chassis.redis import Command, Link
from orderer import operator


def die_at(number: int) -> None:
    """Be killed before the request of this number, from 0."""
    asked = count()
    send, send_all = Link.send, Link.send_all

    def may_die() -> None:
        if next(asked) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    async def one(self: Link, *command: Any) -> Any:
        may_die()
        return await send(self, *command)

    async def several(self: Link, commands: Sequence[Command]) -> list[Any]:
        may_die()
        return await send_all(self, commands)

    Link.send, Link.send_all = one, several  # type: ignore[method-assign] # that is the point


if __name__ == "__main__":
    die_at(int(os.environ["DIES_AT"]))
    sys.exit(operator.main(sys.argv[1:]))
