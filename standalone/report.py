"""The demo's report: one HTML file with its plots in it, which needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from itertools import pairwise

from . import histogram, plots, summary
from .histogram import Rows
from .summary import Outcome

SHOWN = 60
"""Messages of the plot of their order: the stretch with the most disorder."""

STYLE = resources.files(__package__).joinpath("report.css").read_text()


@dataclass
class Record:
    """What was noted on the way."""

    ids: list[int] = field(default_factory=list)
    """Ids of some messages in a row, as the feed sent them."""
    delays: list[tuple[float, Rows]] = field(default_factory=list)
    """Now and then: seconds, and the delays of all messages up to then."""


def page(result: Outcome, record: Record) -> str:
    """Write the report."""
    parts = [
        section(
            "In which order they came, and went out",
            'A message that came before an earlier one (<b class="held">amber</b>) is held back '
            'until the <b class="good">line</b> of what has gone out gets there.',
            plots.order(disorder(record.ids)) if record.ids else "",
        ),
        section(
            "Delay over time",
            'From receiving to sending: <b class="good">median</b> and '
            '<b class="held">99th percentile</b>.',
            delays(record.delays),
        ),
        section(
            "Delay",
            "How many messages took how long.",
            plots.bars(result.delays) if histogram.total(result.delays) else "",
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Seriatim: {summary.count(result.sent)} messages</title>"
        f"<style>{STYLE}</style></head>\n<body><main><h1>Seriatim: "
        f"{summary.count(result.sent)} messages</h1>\n"
        f"<pre>{escape(summary.figures(result))}</pre>\n{''.join(parts)}</main></body></html>\n"
    )


def section(title: str, text: str, plot: str) -> str:
    """Lay out a plot with what it shows."""
    return (
        f"<section><h2>{title}</h2><p>{text}</p>{plot or '<p>Nothing was noted.</p>'}</section>\n"
    )


def disorder(ids: Sequence[int]) -> Sequence[int]:
    """Choose the stretch in which the most messages came before an earlier one, each id once."""
    ids = list(dict.fromkeys(ids))
    late = [one > other for one, other in pairwise(ids)]
    starts = range(max(1, len(ids) - SHOWN + 1))
    best = max(starts, key=lambda at: sum(late[at : at + SHOWN - 1]))
    return ids[best : best + SHOWN]


def delays(noted: Sequence[tuple[float, Rows]]) -> str:
    """Plot the delays between one note and the next; empty if there is nothing to plot."""
    spans = [
        (time, histogram.since(before, now))
        for (_, before), (time, now) in pairwise([(0.0, ()), *noted])
    ]
    spans = [(time, rows) for time, rows in spans if histogram.total(rows)]
    if not spans:
        return ""
    median, high = (
        [(time, histogram.quantile(rows, share)) for time, rows in spans] for share in (0.5, 0.99)
    )
    return plots.over_time(median, high)
