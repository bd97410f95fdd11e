"""Wisdom's metrics."""

from __future__ import annotations

from chassis.metrics import Counter, Gauge, Histogram

from . import closing
from .protocol import ERRORS, Event

FILLS = ("subscribed", "gap", "canary")
"""What made a replica read the stream: a new subscription, a missing quote, its own probe
(whose label is older than its name)."""

CONNECTIONS = Gauge("wisdom_connections", "Clients connected to this replica")
SUBSCRIBERS = Gauge("wisdom_subscribers", "Clients of this replica that get quotes")
LISTENING = Gauge("wisdom_listening", "Clients of all replicas that get quotes")
JOINS = Counter("wisdom_joins", "Clients that have been greeted")
REFUSED = Counter("wisdom_refused_connections", "Handshakes refused, by why", ["reason"])
CLOSES = Counter("wisdom_closes", "Connections that have ended, by how", ["reason"])
EVENTS = Counter("wisdom_events", "Events of clients that were taken, by type", ["type"])
ERRORS_TOLD = Counter("wisdom_errors", "Errors told to clients, by code", ["code"])
QUOTES = Counter("wisdom_quotes", "Quotes published by this replica")
SKIPPED = Counter("wisdom_skipped_ticks", "Ticks without a quote, because Redis was away")
DELIVERIES = Counter("wisdom_deliveries", "Quotes written to clients")
RESUBSCRIPTIONS = Counter("wisdom_resubscriptions", "Subscriptions that had to be renewed")
FILLED = Counter("wisdom_fills", "Times that quotes were read from the stream, by why", ["cause"])
LATENESS = Histogram("wisdom_tick_lateness_seconds", "From a tick's time to its publication")
DELAY = Histogram("wisdom_delivery_delay_seconds", "From a quote's publication to its last write")
FAN_OUT = Histogram("wisdom_fan_out_seconds", "Time to write a quote to all clients")
HEARD = Gauge("wisdom_quote_timestamp_seconds", "When this replica heard the latest quote, or 0")
PERIOD = Gauge("wisdom_period_seconds", "From one quote to the next")

for _ending in closing.ALL:
    CLOSES.labels(_ending.label)
for _event in Event:
    EVENTS.labels(_event)
for _code in ERRORS:
    ERRORS_TOLD.labels(_code)
for _cause in FILLS:
    FILLED.labels(_cause)
for _histogram in (LATENESS, DELAY, FAN_OUT):
    _histogram.labels()
