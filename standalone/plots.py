"""Plots as SVG, which a style sheet colours. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from . import histogram
from .histogram import Rows

Points: TypeAlias = "Sequence[tuple[float, float]]"

WIDTH, HEIGHT = 720.0, 360.0
LEFT, BOTTOM, TOP, RIGHT = 64.0, 44.0, 12.0, 12.0
"""Margins, for what is written at the axes."""


class Frame:
    """The frame of a plot: where values lie in it, and its axes."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self._across = across
        self._up = up

    def x(self, value: float) -> float:
        """Place a value from left to right."""
        low, high = self._across
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Place a value from the bottom up."""
        low, high = self._up
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    def path(self, points: Points, kind: str) -> str:
        """Draw a line through points."""
        places = " L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
        return f'<path class="{kind}" d="M{places}"/>'

    def dots(self, points: Points, kind: str) -> str:
        """Draw a dot at each point."""
        return "".join(
            f'<circle class="{kind}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3"/>'
            for x, y in points
        )

    def axes(
        self, across: Iterable[tuple[float, str]], up: Iterable[tuple[float, str]], title: str
    ) -> str:
        """Draw lines at values and write what they are; `title` stands below."""
        parts = []
        for value, text in up:
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="end">{text}</text>')
        for value, text in across:
            y = HEIGHT - BOTTOM + 18
            parts.append(f'<text x="{self.x(value):.1f}" y="{y}" class="middle">{text}</text>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" class="middle">{title}</text>')
        return "".join(parts)


def svg(label: str, *parts: str) -> str:
    """Put the parts of a plot together; `label` says what is to be seen."""
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def steps(high: float, most: int = 6) -> list[float]:
    """Choose round values from 0 to `high`, `most` at most and 0 among them."""
    size = 10.0 ** math.floor(math.log10(max(high, 1e-9) / most))
    while high / size >= most:
        size *= 2.5 if round(size / 10 ** math.floor(math.log10(size))) == 2 else 2
    return [at * size for at in range(int(high / size) + 1)]


def order(ids: Sequence[int]) -> str:
    """Draw in which order messages came (across) against that in which they go out (up)."""
    places = {id: at for at, id in enumerate(sorted(ids))}
    came = [(at, places[id]) for at, id in enumerate(ids)]
    early: list[tuple[int, int]] = []
    plain: list[tuple[int, int]] = []
    gone = [(0, 0)]
    here: set[int] = set()
    following = 0
    for at, place in came:
        here.add(place)
        (plain if place == following else early).append((at, place))
        while following in here:
            following += 1
        gone += [(at, gone[-1][1]), (at, following)]
    frame = Frame((-1, len(ids)), (-1, len(ids)))
    ticks = [(value, f"{value:g}") for value in steps(len(ids))]
    return svg(
        f"{len(early)} of {len(ids)} messages came before an earlier one, and were held back.",
        frame.axes(ticks, ticks, "place in which it came; upwards, place in which it goes out"),
        frame.path(gone, "gone"), frame.dots(plain, "plain"), frame.dots(early, "early"),
    )  # fmt: skip


def over_time(median: Points, high: Points) -> str:
    """Draw the delays (seconds) over time: their median and 99th percentile."""
    values = [max(value, 1e-5) for _, value in (*median, *high)]
    low, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    most = max(most, low + 1)
    end = max(time for time, _ in high)
    frame = Frame((0, end or 1), (low, most))
    up = [(float(at), histogram.label(10.0**at)) for at in range(low, most + 1)]

    def scaled(points: Points) -> Points:
        return [(time, math.log10(max(value, 1e-5))) for time, value in points]

    return svg(
        f"Median and 99th percentile of the delay over {end:.1f} seconds.",
        frame.axes([(at, f"{at:g}") for at in steps(end)], up, "seconds since the first message"),
        frame.path(scaled(high), "high"), frame.path(scaled(median), "median"),
        frame.dots(scaled(high), "high"), frame.dots(scaled(median), "median"),
    )  # fmt: skip


def bars(rows: Rows) -> str:
    """Draw how many messages had which delay."""
    shown = histogram.filled(rows)
    most = max(count for _, count in shown)
    frame = Frame((0, len(shown)), (0, most))
    size = frame.x(1) - frame.x(0)
    parts = [
        f'<rect class="bar" x="{frame.x(at) + 2:.1f}" y="{frame.y(count):.1f}" '
        f'width="{size - 4:.1f}" height="{frame.y(0) - frame.y(count):.1f}"/>'
        for at, (_, count) in enumerate(shown)
    ]
    across = [(at + 0.5, histogram.label(bound)) for at, (bound, _) in enumerate(shown)]
    up = [(value, f"{value:,.0f}".replace(",", " ")) for value in steps(most)]
    return svg(
        f"How many of {histogram.total(rows)} messages took how long.",
        frame.axes(across, up, "up to"), *parts,
    )  # fmt: skip
