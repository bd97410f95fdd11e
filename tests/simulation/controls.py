"""Orderers and publishers with one promise broken on purpose: schedules must find each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest import mock

from chassis.redis import Script
from orderer import commit
from orderer.commit import Step
from orderer.lane import Commit, Lane
from orderer.reorder.outputs import Origin
from orderer.store import Store
from publisher import aside
from publisher.session import Session
from relay.entry import position

FENCE = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end\n"
CONTIGUITY = "if (saved[2] or '') ~= ARGV[3] then return {'moved'} end\n"
STANDING = "    if (stood or '') ~= ARGV[7 + 3 * i] then return {'moved'} end\n"
SET_ASIDE = "redis.call('XADD', KEYS[3], upto, unpack(entry[2]))"
SEEN = "ARGV[changed + 2]"
TRIM = "redis.call('XTRIM', ARGV[5], 'MINID', '=', ARGV[6])"

Control = Callable[[], contextlib.AbstractContextManager[Any]]


def without(*checks: str) -> Control:
    """Leave checks out of the script that commits."""
    return changed(dict.fromkeys(checks, ""))


def changed(parts: Mapping[str, str]) -> Control:
    """Put other words into the script that commits."""

    def broken() -> contextlib.AbstractContextManager[Any]:
        source = commit.COMMIT_LUA
        for part, other in parts.items():
            assert part in source
            source = source.replace(part, other)
        return mock.patch.object(commit, "_COMMIT", Script(source))

    return broken


def checkpoint_too_early() -> contextlib.AbstractContextManager[Any]:
    """Take for settled what was read."""
    made = Lane.commit

    def early(self: Lane, *, checkpoint: bool = True) -> Commit | None:
        found = made(self, checkpoint=checkpoint)
        if found is not None:
            self.committed = found.after._replace(raw=self.cursor)
            found = found._replace(after=self.committed)
        return found

    return mock.patch.object(Lane, "commit", early)


def reply_taken_for_granted() -> contextlib.AbstractContextManager[Any]:
    """Take a commit for done that nobody has answered."""

    async def once(self: Store, calls: Mapping[str, Step]) -> dict[str, Any]:
        try:
            replies = await self._link.send_all([step.command for step in calls.values()])
        except Exception as error:
            self._link.note(error)
            replies = [[b"done", *[b"0-1"] * len(step.rows)] for step in calls.values()]
        return dict(zip(calls, replies, strict=True))

    return mock.patch.object(Store, "_call", once)


def former_origin() -> contextlib.AbstractContextManager[Any]:
    """Take all for an epoch's that stands behind the first frame that was carried over."""

    def places(self: Origin, entry: bytes, frames: int) -> Sequence[int]:
        begin = min(
            self.carried, key=lambda place: (position(place.entry), place.at), default=self.last
        )
        return [
            at for at in range(frames)
            if (position(entry), at) >= (position(begin.entry), begin.at)
        ]  # fmt: skip

    return mock.patch.object(Origin, "places", places)


def position_before_the_pong() -> contextlib.AbstractContextManager[Any]:
    """Take for delivered what is about to be written to a connection."""
    write = Session._write

    async def saved_first(self: Session, entries: list[Any]) -> bool:
        last = entries[-1][0]
        await self._lane.save(self._peer, last, self._on_the_way[last][0])
        return await write(self, entries)

    return mock.patch.object(Session, "_write", saved_first)


def nothing_set_aside() -> contextlib.AbstractContextManager[Any]:
    """Say that it is set aside, and do not do so."""
    source = aside.COPY_LUA
    assert SET_ASIDE in source
    return mock.patch.object(aside, "_COPY", Script(source.replace(SET_ASIDE, "")))


CONTROLS: dict[str, Control] = {
    "fence off": without(FENCE),
    "contiguity off": without(CONTIGUITY, STANDING),
    "fence and contiguity off": without(FENCE, CONTIGUITY, STANDING),
    "checkpoint too early": checkpoint_too_early,
    "reply taken for granted": reply_taken_for_granted,
    "trimmed at what was read": changed({TRIM: TRIM.replace("ARGV[6]", SEEN)}),
    "origin as it was": former_origin,
    "position before the pong": position_before_the_pong,
    "nothing set aside": nothing_set_aside,
}

BEGIN = {"contiguity off": 800}
"""The schedule to begin with, where a fault is rare: the fence sees nearly all of what contiguity
would, and of the first thousand schedules it is 839 that needs it. Each check by itself has its own
test and control (`test_each_check_of_a_commit`)."""
