"""Our metrics say what prometheus-client's would, and what is gone is shown no more."""

from __future__ import annotations

import asyncio
import math

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from chassis import clock, metrics
from chassis.metrics import LATENCY, MOST, SIZES, Counter, Gauge, Histogram, Series

values = st.one_of(
    st.sampled_from([*LATENCY, 0.0, 1e-9, 61.0]), st.integers(0, 100).map(lambda n: n / 1024)
)


def exposition(registry: CollectorRegistry) -> list[str]:
    """List the lines of our own text, which is prometheus-client's, too."""
    text = "".join(metrics.text(registry))
    assert text == generate_latest(registry).decode()
    return text.splitlines()


def without_created(registry: CollectorRegistry) -> list[str]:
    return [
        line for line in generate_latest(registry).decode().splitlines() if "_created" not in line
    ]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("ab"), values, st.integers(0, 5)), max_size=30))
def test_like_the_original(observations: list[tuple[str, float, int]]) -> None:
    """Dashboards would show wrong delays."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    many = Histogram("delay_seconds", "A delay", ["feed"], LATENCY, ours)
    one = prometheus_client.Histogram(
        "delay_seconds", "A delay", ["feed"], buckets=LATENCY, registry=theirs
    )
    for feed in "ab":
        many.labels(feed)
        one.labels(feed)
    for feed, value, count in observations:
        many.labels(feed).observe(value, count)
        for _ in range(count):
            one.labels(feed).observe(value)
    for our_line, their_line in zip(exposition(ours), without_created(theirs), strict=True):
        if "_sum" in our_line:
            ours_of_sum, ours_value = our_line.rsplit(" ", 1)
            theirs_of_sum, theirs_value = their_line.rsplit(" ", 1)
            assert ours_of_sum == theirs_of_sum
            assert float(ours_value) == pytest.approx(float(theirs_value))
        else:
            assert our_line == their_line


NUMBERS = st.one_of(
    st.integers(0, 10**12), st.floats(0, 1e20), st.sampled_from([0.1, 1e5, 1e6, 123456789.25])
)
NAMES = st.text(st.sampled_from('ab"\\\n{},=é'), max_size=4)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(NAMES, NUMBERS), max_size=8))
def test_counters_and_gauges_like_the_originals(told: list[tuple[str, float]]) -> None:
    """Prometheus would read other numbers, or none at all."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    for library, registry in ((metrics, ours), (prometheus_client, theirs)):
        counter = library.Counter("seen", "A\nb\\c", ["feed", "at"], registry=registry)
        gauge = library.Gauge("level", "A level", ["feed"], registry=registry)
        plain = library.Counter("plain", "Without labels", registry=registry)
        low = library.Gauge("low", "Asked for", registry=registry)
        for name, number in told:
            counter.labels(name, "x").inc(number)
            counter.labels("z", name).inc()
            gauge.labels(name).set(number)
            gauge.labels(name).inc(2)
            gauge.labels(name).dec()
            plain.inc(number)
        low.set_function(lambda: -math.inf)
    assert exposition(ours) == without_created(theirs)
    assert ours.get_sample_value("plain_total") == theirs.get_sample_value("plain_total")


def test_truth_is_a_number() -> None:
    """A gauge that was set to True would make the whole page unreadable."""
    registry = CollectorRegistry()
    Gauge("up", "Whether", registry=registry).set(True)
    assert exposition(registry)[-1] == "up 1.0"


def test_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed that was taken out would be shown for ever, or its last count by nobody be seen."""
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    monkeypatch.setattr(Series, "_retired", {})
    registry = CollectorRegistry()
    seen = Counter("seen", "Seen", ["feed", "fate"], registry)
    size = Histogram("size", "A size", ["feed"], SIZES, registry)

    def shown() -> list[str]:
        Series.forget()
        return [line for line in exposition(registry) if line.startswith(("seen", "size_sum"))]

    going, staying = Series("a"), Series("b")
    for series in (going, staying):
        series.of(seen, "well").inc(3)
        series.of(size).observe(7)
    both = shown()
    assert both == [
        'seen_total{fate="well",feed="a"} 3.0', 'seen_total{fate="well",feed="b"} 3.0',
        'size_sum{feed="a"} 7.0', 'size_sum{feed="b"} 7.0',
    ]  # fmt: skip
    going.retire()
    now += metrics.KEPT - 1
    assert shown() == both
    Series("a").of(seen, "well").inc()  # it is back, and counts on
    now += 1
    assert shown() == [
        'seen_total{fate="well",feed="a"} 4.0', 'seen_total{fate="well",feed="b"} 3.0',
        'size_sum{feed="b"} 7.0',
    ]  # fmt: skip


async def test_the_loop_goes_on_meanwhile() -> None:
    """Each scrape would hold up a thousand feeds."""
    registry = CollectorRegistry()
    seen = Counter("seen", "Seen", ["feed"], registry)
    for at in range(20_000):
        seen.labels(f"feed-{at}")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.ensure_future(count())
    text = await metrics.exposition(registry)
    counting.cancel()
    assert text.count(b"\n") == 20_002
    assert turns > 3


def test_starts_at_zero() -> None:
    """A series would begin with its first observation, and rates would miss that."""
    registry = CollectorRegistry()
    Histogram("size", "A size", ["feed"], SIZES, registry).labels("a")
    lines = exposition(registry)
    assert 'size_count{feed="a"} 0.0' in lines
    assert 'size_bucket{feed="a",le="+Inf"} 0.0' in lines


def test_without_labels() -> None:
    """A histogram without labels could not be used."""
    registry = CollectorRegistry()
    Histogram("size", "A size", buckets=SIZES, registry=registry).labels().observe(3, 4)
    assert 'size_bucket{le="5.0"} 4.0' in exposition(registry)


def test_wrong_labels() -> None:
    """A series would appear with label values under the wrong names."""
    histogram = Histogram("size", "A size", ["feed", "line"], SIZES, CollectorRegistry())
    with pytest.raises(ValueError, match="size has the labels"):
        histogram.labels("a")


def test_a_name_is_taken_once() -> None:
    """Two metrics of the same name would make the whole page unreadable."""
    registry = CollectorRegistry()
    Histogram("size", "A size", registry=registry)
    for name in ("size", "size_count", "size_bucket"):
        with pytest.raises(ValueError, match="Duplicated"):
            prometheus_client.Gauge(name, "Another", registry=registry)


@pytest.mark.parametrize("buckets", [LATENCY, SIZES])
def test_common_buckets_rise(buckets: tuple[float, ...]) -> None:
    """Observations would be counted in a wrong bucket."""
    assert list(buckets) == sorted(set(buckets))


def test_a_thousand_are_counted_together() -> None:
    """With a thousand feeds each scrape would be megabytes, and take a second."""
    registry = CollectorRegistry()
    delay = Histogram("delay_seconds", "A delay", ["feed", "line"], LATENCY, registry)
    children = [delay.labels(f"f{at}", "l") for at in range(1000)]
    for child in children:
        child.observe(0.5)
    counts = [line for line in exposition(registry) if line.startswith("delay_seconds_count")]
    assert len(counts) == MOST + 1
    assert counts[-1] == 'delay_seconds_count{feed="*",line="*"} 950.0'
    assert [child.shared for child in children] == [False] * MOST + [True] * (1000 - MOST)
    assert delay.labels("f7", "l") is children[7]
