"""The time that the chat's script writes, in real Lua."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

from chat.log import PUBLISH_LUA

BEGIN = PUBLISH_LUA.index("local function iso(")
END = PUBLISH_LUA.index("\nend\n", BEGIN)
ISO = LuaRuntime().execute(f"{PUBLISH_LUA[BEGIN:END]}\nend return iso")
"""The script's function that makes ISO 8601 of seconds and microseconds."""

DAY = 86_400


def expected(seconds: int, us: int) -> str:
    time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=us)
    return time.isoformat(timespec="milliseconds")


@given(st.integers(0, 253_402_300_799), st.integers(0, 999_999))
@example(951_782_400, 0)  # 2000-02-29
@example(4_107_542_399, 999_999)  # the end of 2100-02-28, after which comes March
@example(1_798_761_599, 999_999)  # the end of a year
@example(253_402_300_799, 999_999)  # the end of the year 9999
def test_the_time_is_that_of_a_calendar(seconds: int, us: int) -> None:
    """Messages would bear a day that is none, or another."""
    assert ISO(seconds, us) == expected(seconds, us)


def test_every_day_of_a_cycle() -> None:
    """The calendar repeats after 400 years, and one day in them would be wrong."""
    for day in range(146_097):
        assert ISO(day * DAY, 0) == expected(day * DAY, 0)
