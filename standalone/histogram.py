"""Delays as Prometheus counts them, in buckets: read, subtracted, drawn on a terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

Rows: TypeAlias = "Sequence[tuple[float, int]]"
"""For each bucket its upper bound, seconds, and how many are in it alone."""

WIDTH = 40
"""Characters of the longest bar."""

_EIGHTHS = " ▏▎▍▌▋▊▉"


def read(exposition: str, name: str) -> Rows:
    """Read the histogram `name`, which has no labels, from Prometheus' text format."""
    cumulative = [
        (float(sample.labels["le"]), int(sample.value))
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == f"{name}_bucket"
    ]
    return [
        (bound, count - before) for (_, before), (bound, count) in pairwise([(0.0, 0), *cumulative])
    ]


def since(before: Rows, now: Rows) -> Rows:
    """Tell what has come to `before` by `now`."""
    known = dict(before)
    return [(bound, count - known.get(bound, 0)) for bound, count in now]


def total(rows: Rows) -> int:
    """Count all."""
    return sum(count for _, count in rows)


def quantile(rows: Rows, share: float) -> float:
    """Tell the delay that `share` of all do not exceed, as if they lay evenly in their bucket."""
    left, low = share * total(rows), 0.0
    for bound, count in rows:
        if count and left <= count:
            return low if bound == math.inf else low + (bound - low) * left / count
        left -= count
        low = bound
    return low


def filled(rows: Rows) -> Rows:
    """Leave out the empty buckets before the first and behind the last that is not."""
    places = [at for at, (_, count) in enumerate(rows) if count]
    return rows[places[0] : places[-1] + 1] if places else []


def label(bound: float) -> str:
    """Write an upper bound."""
    if bound == math.inf:
        return "∞"
    return f"{bound * 1000:g} ms" if bound < 1 else f"{bound:g} s"


def bars(rows: Rows) -> list[str]:
    """Draw a bar for each bucket, a line each."""
    shown = filled(rows)
    most = max((count for _, count in shown), default=0)
    return [
        f"  up to {label(bound):>7}    {_bar(count / most)} {count:,}".replace(",", " ")
        for bound, count in shown
    ]


def _bar(share: float) -> str:
    eighths = math.ceil(share * WIDTH * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + _EIGHTHS[rest]).rstrip()
