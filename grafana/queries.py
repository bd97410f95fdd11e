"""Kinds of queries, each made with one call.

What is looked at with a thousand feeds reads recorded series, one a feed, and draws ten of them.
"""

from __future__ import annotations

from dataclasses import dataclass

RATE = "[$__rate_interval]"
WHOLE = "[$__range] @ end()"
"""The time that is shown, as a whole."""
SHOWN = "[$__range:$__interval] @ end()"
"""The same at the resolution at which it is drawn."""

P50, P99 = "blue", "purple"
"""The colours of the median and of the 99th percentile, wherever they are drawn."""
IN, ORDERED, OUT = "light-blue", "yellow", "green"
"""The colours of the flow's three stations."""


@dataclass(frozen=True)
class Query:
    """An expression, in which `{feed` stands for the feeds that are chosen, and its legend."""

    expr: str
    legend: str = ""
    colour: str = ""
    """That of its curve; without one, the panel chooses."""

    @property
    def promql(self) -> str:
        """The expression as Grafana is to send it."""
        return self.expr.replace("{feed", '{feed=~"$feed"')


def present(expr: str) -> str:
    """Have an expression be no number, instead of nothing, where nothing is there now."""
    return f"{expr} or vector(NaN)"


def ten(expr: str, by: str) -> str:
    """Keep the ten series that reach highest within the time that is shown, by these labels."""
    return f"{expr} and on ({by}) topk(10, max by ({by}) (max_over_time(({expr}){SHOWN})))"


def lowest(expr: str, by: str) -> str:
    """Keep the ten series that are lowest on the average, so that of states the troubled ones."""
    return f"{expr} and on ({by}) bottomk(10, min by ({by}) (avg_over_time(({expr}){SHOWN})))"


def rates(metric: str, by: str, legend: str, matcher: str = "", colour: str = "") -> Query:
    """Ask how fast a counter grows, by some of its labels."""
    return Query(f"sum by ({by}) (rate({metric}{matcher}{RATE}))", legend, colour)


def rate(metric: str, legend: str, matcher: str = "", colour: str = "") -> Query:
    """Ask how fast a counter grows, all its labels together."""
    return Query(f"sum(rate({metric}{matcher}{RATE}))", legend, colour)


def counts(metric: str, by: str, legend: str, matcher: str = "") -> Query:
    """Ask how often something happened, by some of its labels, where it did while shown at all."""
    grown, ever = (f"sum by ({by}) (increase({metric}{matcher}{span}))" for span in (RATE, WHOLE))
    return Query(f"{grown} and on ({by}) {ever} > 0", legend)


def count(metric: str, legend: str, matcher: str = "") -> Query:
    """Ask how often something happened, all its labels together, if it did while shown at all."""
    grown, ever = (f"sum(increase({metric}{matcher}{span}))" for span in (RATE, WHOLE))
    return Query(f"{grown} and {ever} > 0", legend)


def quantile(share: float, metric: str, matcher: str = "") -> str:
    """Ask for a quantile of a histogram."""
    buckets = f"sum by (le) (rate({metric}_bucket{matcher}{RATE}))"
    return f"histogram_quantile({share:g}, {buckets})"


def quantiles(metric: str, what: str = "", matcher: str = "") -> list[Query]:
    """Ask for the median and the 99th percentile of a histogram."""
    return [
        Query(quantile(0.5, metric, matcher), f"{what} p50".strip(), P50),
        Query(quantile(0.99, metric, matcher), f"{what} p99".strip(), P99),
    ]
