"""Prometheus metrics: a histogram that takes many observations at once, and common buckets.

Counters and gauges come from prometheus-client as they are. Its histogram takes one value per
call at about 1–2 µs; here a value comes with the number of messages that share it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

LATENCY = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Buckets for delays, seconds: 0.1 ms to a minute, finest where a healthy relay works."""

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Buckets for the number of messages in a batch or a run."""


MOST = 50
"""Sets of label values of which a histogram counts each by itself."""

OTHERS = "*"
"""Stands in each label of what is counted together beyond that: a thousand feeds would take tens of
thousands of series, and each scrape a second."""


class HistogramChild:
    """Count the observations of one set of label values."""

    __slots__ = ("_buckets", "counts", "shared", "total")

    def __init__(self, buckets: Sequence[float], *, shared: bool = False) -> None:
        self._buckets = buckets
        self.shared = shared
        """Whether it counts for several sets."""
        self.counts = [0] * (len(buckets) + 1)
        self.total = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Add `count` observations of `value`."""
        self.counts[bisect_left(self._buckets, value)] += count
        self.total += value * count


class Histogram(Collector):
    """A Prometheus histogram whose `observe()` takes a count."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._buckets = tuple(float(bucket) for bucket in buckets)
        self._children: dict[tuple[str, ...], HistogramChild] = {}
        registry.register(self)

    def labels(self, *values: str) -> HistogramChild:
        """Get the child for these label values, made on first use so that it shows up as 0.

        Beyond `MOST` of them, get the one in which all `OTHERS` are counted together.
        """
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {self._labels}, not {values}")
        child = self._children.get(values)
        if child is None and len(self._children) >= MOST:
            values = (OTHERS,) * len(self._labels)
            child = self._children.get(values)
        if child is None:
            shared = len(self._children) >= MOST
            child = self._children[values] = HistogramChild(self._buckets, shared=shared)
        return child

    def describe(self) -> Iterable[Metric]:
        """Name the metric to the registry, which looks for clashes."""
        return [HistogramMetricFamily(self._name, self._documentation, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        """Yield the family in the exposition's form: cumulative buckets and a sum."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        # prometheus-client ships this one function without types.
        bounds: list[str] = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*self._buckets, float("inf"))
        ]
        # A copy: scrapes are made in a thread of their own.
        for values, child in list(self._children.items()):
            cumulative = 0.0
            rows: list[tuple[str, float]] = []
            for bound, count in zip(bounds, child.counts, strict=True):
                cumulative += count
                rows.append((bound, cumulative))
            family.add_metric(values, rows, child.total)
        yield family
