"""What Overview and Relay both look at: the queries about feeds, and the panels made of them."""

from __future__ import annotations

from .panels import CONNECTION, Panel, bars, holders, timeline, top
from .queries import IN, ORDERED, OUT, P50, P99, SHOWN, Query, lowest, ten

FLOW = [
    Query("sum(feed:ingestor_frames:rate1m{feed})", "in", IN),
    Query("sum(feed:orderer_released:rate1m{feed})", "in order", ORDERED),
    Query("sum(feed:publisher_confirmed:min_rate1m{feed})", "out", OUT),
]
DELAYS = [
    Query("max(feed:relay_seconds:p50_1m{feed})", "p50", P50),
    Query("max(feed:relay_seconds:p99_1m{feed})", "p99", P99),
]
STALLED = "time() - max by (feed) (feed:order_stalled:timestamp_seconds{feed})"

_SINKS = "max by (peer) (feed_sink_peer:publisher_connected:max{feed})"
_LINES = "max by (peer) (feed_line_peer:ingestor_connected:max{feed})"


def named(expr: str, kind: str) -> str:
    """Give series by feed and `sink`, or `line`, the name that a person would use."""
    known = {"sink": "feed_sink_peer:publisher", "line": "feed_line_peer:ingestor"}[kind]
    info = f"{known}_connected:max{{feed}} * 0 + 1"
    return f"({expr}) * on (feed, {kind}) group_left (peer) ({info})"


def connections(height: int) -> Panel:
    """Show the connections to feeds and endpoints."""
    return timeline(
        "Connections", "To the feeds (←) and to the endpoints (→): those ten of each that were "
        "connected least in the time shown.",
        Query(lowest(_LINES, "peer"), "{{peer}}"), Query(lowest(_SINKS, "peer"), "{{peer}}"),
        words=CONNECTION, alert="EndpointDisconnected", height=height,
    )  # fmt: skip


def leases(matcher: str, height: int) -> Panel:
    """Show who does the work on what."""
    fence = f"job_feed_role:lease_fence:max{matcher}"
    name = f"job_feed_role_lease:lease_fence:max{matcher} * 0 + 1"
    # Those change hands whose fence grows; where all have grown alike, it does not matter which.
    grown = f"max_over_time({fence}{SHOWN}) - min_over_time(({fence} > 0){SHOWN})"
    held = f"(lease_active{matcher} == 1) and on (job, feed, role) topk(12, {grown})"
    return holders(
        "Who does the work", "Who holds the lease, a colour for each instance: a failover is a "
        "change of colour, with the gap in which nobody worked. Those twelve that have changed "
        "hands most in the time shown.",
        Query(f"({held}) * on (job, feed, role) group_left (lease) ({name})"), height=height,
        width=12,
    )  # fmt: skip


def lags() -> Panel:
    """Show how far the endpoints are behind."""
    return top(
        "Lag by endpoint", "s", "Age of the oldest message that an endpoint has not confirmed: "
        "the ten highest.",
        Query(named(ten("max by (feed, sink) (publisher_lag_seconds{feed})", "feed, sink"), "sink"),
              "{{peer}}"), alert="EndpointLagging",
    )  # fmt: skip


def faults() -> Panel:
    """Show what goes wrong, counted."""
    faults = "feed_kind_reason:faults:increase1m{feed}"
    now, ever = f"last_over_time({faults}[1m])", f"last_over_time({faults}[$__range] @ end())"
    return bars(
        "Faults", "What went wrong in each minute: frames rejected, ids given up, and connections "
        "to feeds and endpoints that ended or were refused, by reason.",
        Query(f"sum by (kind, reason) ({now}) or 0 * group by (kind, reason) ({ever})",
              "{{kind}}: {{reason}}"),
    )  # fmt: skip
