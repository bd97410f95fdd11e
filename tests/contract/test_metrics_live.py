"""Every query that we ship, asked of a real Prometheus that watches the real services."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grafana.alerts import alerts, rules
from tests.contract.queries import STILL, Prometheus, missing, queries, watched
from tests.support.waiting import until

TROUBLE = (
    'orderer_frames_total{fate="late"}',
    'orderer_frames_total{fate="duplicate"}',
    'orderer_rejected_total{reason="json"}',
    'orderer_missing_total{cause="timeout"}',
    'orderer_late_arrivals_total{in_time="no"}',
    "orderer_held",
    "ingestor_disconnects_total",
    "publisher_disconnects_total",
    "publisher_resent_total",
    "publisher_thousand_seconds_count",
    "redis_memory_used_bytes",
    'chat_deliveries_total{room="main"}',
    'chat_deliveries_total{room="playground"}',
    'chat_refused_connections_total{reason="origin"}',
    "chat_broadcast_delay_seconds_count",
    "chat_log_records_total",
    "chat_log_writing",
    "wisdom_quotes_total",
    "wisdom_deliveries_total",
    'wisdom_events_total{type="ping"}',
    'wisdom_errors_total{code="unknown_type"}',
    'wisdom_refused_connections_total{reason="origin"}',
    "wisdom_listening",
    "wisdom_subscribers",
    "wisdom_tick_lateness_seconds_count",
    "wisdom_delivery_delay_seconds_count",
    'lease_active{job="wisdom"}',
)
"""What the load must have brought about, or the rest would prove little."""

NEVER = (
    "OutOfOrder", "TwoActive", "DataLost", "RedisFull", "RedisNotPersisting", "OrdererFull",
    "ChatFull", "ChatDataLost", "ChatLogFailing", "ChatLogMissed", "ChatEventsDropped",
    "WisdomSilent", "WisdomReplicaDeaf", "WisdomRefusing",
)  # fmt: skip
"""Alerts that no feed, no endpoint and no client's message can cause."""


@pytest.mark.timeout(240)
def test_every_query_and_rule_returns_data(tmp_path: Path) -> None:
    """A panel would stay empty or an alert silent: a metric has another name or other labels."""
    programs = missing()
    if programs:
        reason = f"not installed: {', '.join(programs)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # Of what is drawn only where it is more than 0, as nothing of it has happened, the 0 will do.
    pending = {query.promql.removesuffix(" > 0") for query in queries()}
    pending |= {f"last_over_time({rule['record']}[1m])" for rule in rules() if "record" in rule}
    pending |= {alert.symptom for alert in alerts().values()}
    pending |= {f"{series} > 0" for series in TROUBLE}
    with watched(tmp_path) as stack:
        prometheus = stack.prometheus
        flows = f'orderer_next{{feed="{STILL}"}} == 4'
        until(lambda: prometheus.query(flows), "all feeds flow", deadline=45)
        few = len(pending) // 5
        until(
            lambda: _all_answered(prometheus, pending) or len(pending) <= few,
            "most have data",
            deadline=45,
        )
        stack.incident()
        try:
            until(lambda: _all_answered(prometheus, pending), "all have data", deadline=60)
        except AssertionError as error:
            raise AssertionError("no data:\n" + "\n".join(sorted(pending))) from error
        for name in NEVER:
            firing = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
            assert not prometheus.query(firing), name
        assert not prometheus.query("prometheus_rule_evaluation_failures_total > 0")


def _all_answered(prometheus: Prometheus, pending: set[str]) -> bool:
    """Ask again what has had no answer yet, and drop what now has one."""
    pending -= {expr for expr in sorted(pending) if prometheus.query(expr)}
    return not pending
