"""What the page is told of what Redis holds."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from chassis.metrics import LATENCY
from relay import keys, ordered, raw
from viewer import picture
from viewer.picture import Order

NOW = 1_795_000_000_000_000
HUGE = 2**63 - 1

STATUS: dict[str, Any] = {
    "time": NOW, "full": False, "lines": ["a"], "useless": 0, "gaps": [], "open_gaps": 0,
}  # fmt: skip


def order(
    following: int | None = 7, epoch: int = 2, holder: str | None = "1:x", **told: Any
) -> Order:
    return Order(holder, epoch, following, 6, {**STATUS, **told})


def run(epoch: int, first: int, *times: int) -> picture.Entry:
    """Make an entry of `ordered` whose messages came at these times."""
    frames = [b"{}"] * len(times)
    values = ordered.pack("", first, frames, [(time, 1) for time in times], epoch, 1)
    entry = ordered.entry_id(1, 1).encode()
    return entry, [value if isinstance(value, bytes) else str(value).encode() for value in values]


def batch(entry: bytes, time: int, *frames: bytes) -> picture.Entry:
    """Make an entry of `raw`."""
    values = raw.pack_batch(time, "a", "c", 1.0, list(frames))
    return entry, [value if isinstance(value, bytes) else str(value).encode() for value in values]


def test_what_went_out_has_its_order_and_its_times() -> None:
    """The picture would show ids of an old numbering, or in another order than they went out."""
    entries = [run(2, HUGE - 1, 30, 20), run(2, 4, 10), run(1, 99, 5)]
    assert picture.released(entries, order()) == [
        ("4", 10),
        (str(HUGE - 1), 30),
        (str(HUGE), 20),
    ]
    many = [run(2, 5000 - 40 * at, *range(40)) for at in range(10)]
    shown = picture.released(many, order())
    assert len(shown) == picture.WINDOW
    assert shown[-1] == ("5039", 39)


def test_what_came_in_is_what_has_not_gone_out() -> None:
    """Duplicates and garbage would be drawn as messages that wait."""
    entries = [
        batch(b"2-0", 20, b'{"n":6}', b'{"n":9}', b"garbage"),
        batch(b"1-0", 10, b'{"n":12}', b'{"id":8}'),
    ]
    named = order(settings={"ORDERER_ID_FIELD": "n"})
    assert picture.arrivals(entries, named) == [("12", 10), ("9", 20)]


@pytest.mark.parametrize(
    ("state", "holder", "told"),
    [
        ("flowing", "1:x", {}),
        ("flowing", "1:x", {"gaps": [{"first": 7, "last": 7, "age": 0.01}]}),
        ("waiting", "1:x", {"gaps": [{"first": 7, "last": 7, "age": 0.6}]}),
        ("useless", "1:x", {"useless": 12}),
        ("unconnected", "1:x", {"lines": [], "useless": 12}),
        ("full", "1:x", {"full": True, "lines": []}),
        ("untold", "1:x", {"time": NOW - 11_000_000}),
        ("unordered", None, {"time": NOW - 11_000_000}),
    ],
)
def test_the_worst_that_holds(state: str, holder: str | None, told: dict[str, Any]) -> None:
    """A feed in need would pass for one that flows, or for one with a smaller need."""
    assert order(holder=holder, **told).state(NOW) == state


def test_a_feed_of_which_nothing_is_known() -> None:
    """The list would break on a feed that has just been named."""
    nothing = Order.read(None, None, None, None)
    assert nothing.state(NOW) == "unordered"
    assert Order.read(None, None, None, b"1:x").state(NOW) == "untold"
    assert picture.summary("new", nothing, NOW)["next"] is None
    assert picture.told(nothing)["delay"] is None
    assert picture.unreadable("odd")["state"] == "unreadable"


def test_delays_of_another_version_are_left_out() -> None:
    """Counts would be shown under bounds that are not theirs."""
    assert picture.told(order(delay=[1, 2]))["delay"] is None
    counts = list(range(len(LATENCY) + 1))
    assert picture.told(order(delay=counts))["delay"] == [
        *zip((*LATENCY, None), counts, strict=True)
    ]


def test_who_reads_the_lines() -> None:
    """A feed that nobody reads would look like one that two read, or a line be listed twice."""
    holders = {"lines:0": b"3:b", "lines:1": b"2:a", "lines:2": None}
    told = picture.lines(holders, holders, order(lines=["x", "y"]))
    assert [(line["name"], line["connected"]) for line in told] == [("x", True), ("y", True)]
    assert {line["ingestor"] for line in told} == {"2:a, 3:b"}
    told = picture.lines(["lines:0", "lines:2"], holders, order(lines=[]))
    assert [tuple(line.values()) for line in told] == [
        ("lines:0", False, "3:b"),
        ("lines:2", False, None),
    ]
    assert picture.lines([], {}, order(lines=["x"]))[0]["ingestor"] is None


def test_how_far_a_sink_is() -> None:
    """An endpoint that lags would seem to be level."""
    behind = picture.sink("there", b"3:p", b"4", NOW - 250_000, order(), NOW)
    assert (behind["name"], behind["publisher"]) == ("there", "3:p")
    assert (behind["confirmed"], behind["behind"], behind["lag"]) == ("4", 2, 0.25)
    level = picture.sink("there", None, b"6", None, order(), NOW)
    assert (level["publisher"], level["behind"], level["lag"]) == (None, 0, 0.0)
    fresh = picture.sink("there", None, None, NOW, order(), NOW)
    assert (fresh["confirmed"], fresh["behind"]) == (None, 6)


def test_all_that_is_told_is_text_in_json() -> None:
    """One odd byte in a rejected frame would take the whole page away."""
    values = [
        keys.REJECTED_REASON, b"json", keys.REJECTED_LINE, b"\xff", keys.REJECTED_SIZE, b"5000",
        keys.REJECTED_FRAME, b"\xe2\x82" * 300,
    ]  # fmt: skip
    shown = picture.reject(b"1795000000000-0", values)
    assert orjson.loads(orjson.dumps(shown)) == shown
    assert (shown["time"], shown["size"], shown["line"]) == (NOW, 5000, "\ufffd")
