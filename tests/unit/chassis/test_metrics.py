"""The histogram that takes many observations at once says what prometheus-client's would."""

from __future__ import annotations

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from chassis.metrics import LATENCY, MOST, SIZES, Histogram

values = st.one_of(
    st.sampled_from([*LATENCY, 0.0, 1e-9, 61.0]), st.integers(0, 100).map(lambda n: n / 1024)
)


def exposition(registry: CollectorRegistry) -> list[str]:
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if "_created" not in line]


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
    for our_line, their_line in zip(exposition(ours), exposition(theirs), strict=True):
        if "_sum" in our_line:
            ours_of_sum, ours_value = our_line.rsplit(" ", 1)
            theirs_of_sum, theirs_value = their_line.rsplit(" ", 1)
            assert ours_of_sum == theirs_of_sum
            assert float(ours_value) == pytest.approx(float(theirs_value))
        else:
            assert our_line == their_line


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
