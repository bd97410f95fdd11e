"""The demo's report."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

from standalone import plots
from standalone.report import Record, disorder, page
from standalone.summary import Outcome

ROWS = [(0.001, 900), (0.01, 99), (math.inf, 1)]


def drawn(svg: str, kind: str) -> int:
    """Count the marks of a kind in a plot, which has to be well-formed."""
    return sum(mark.get("class") == kind for mark in ElementTree.fromstring(svg).iter())


def test_the_report_needs_nothing_else() -> None:
    """Whoever opens the file elsewhere would see an empty page, or tell others that he did."""
    record = Record([2, 1, 3], [(0.5, [(0.001, 400), (0.01, 0), (math.inf, 0)]), (1.0, ROWS)])
    text = page(Outcome(sent=1000, delays=ROWS, unfinished="a <b> & c"), record)
    assert text.count("<svg") == 3
    assert "Not finished: a &lt;b&gt; &amp; c" in text
    assert not re.search(r"https?:|src=|href=|url\(|<script|<b>", text)


def test_a_run_of_which_nothing_is_known() -> None:
    """A demo that failed would fail once more over its report."""
    text = page(Outcome(), Record([], [(0.5, []), (1.0, [(1.0, 0)])]))
    assert "<svg" not in text
    assert text.count("Nothing was noted.") == 3


def test_order_in_against_order_out() -> None:
    """What was held back would not be told from what went out at once."""
    svg = plots.order([1, 3, 4, 2, 5])
    assert drawn(svg, "plain") == 3
    assert drawn(svg, "early") == 2
    assert "2 of 5 messages came before an earlier one" in svg
    assert drawn(plots.order([7]), "plain") == 1


def test_the_stretch_with_the_most_disorder() -> None:
    """The plot would show a straight line, and repeats as what they are not."""
    ids = [*range(500), 501, 500, 503, 502, 502, *range(504, 900)]
    assert set(disorder(ids)) >= {500, 501, 502, 503}
    assert disorder([3, 3, 1]) == [3, 1]


def test_round_values() -> None:
    """Axes would be crowded, empty or odd."""
    for high in (0.0004, 0.9, 1, 3.5, 6, 60, 199, 47519, 10**9):
        found = plots.steps(high)
        assert 2 <= len(found) <= 7, high
        assert found[0] == 0
        assert 0.5 * high <= found[-1] <= high
