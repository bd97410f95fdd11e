"""The simulator's metrics."""

from chassis.metrics import Counter, Gauge, Histogram

FEED_MESSAGES = Counter(
    "simulator_feed_messages", "Messages of the feed by what became of them.", ["kind"]
)
SENT = FEED_MESSAGES.labels("sent")
REPEATED = FEED_MESSAGES.labels("repeated")
LOST = FEED_MESSAGES.labels("lost")
GARBAGE = FEED_MESSAGES.labels("garbage")
FEED_CONNECTIONS = Gauge("simulator_feed_connections", "Connections to the feed that are open.")
FEED_DISCONNECTIONS = Counter(
    "simulator_feed_disconnections", "Times that the feed closed all its connections."
)
FEED_STUCK = Counter(
    "simulator_feed_stuck", "Connections to the feed dropped since they did not read."
)

ENDPOINT_CONNECTIONS = Gauge(
    "simulator_endpoint_connections", "Connections to the endpoint that are open."
)
ENDPOINT_REFUSALS = Counter("simulator_endpoint_refusals", "Connections that the endpoint refused.")
RECEIVED = Counter("simulator_endpoint_received", "Messages that the endpoint received.")
OUT_OF_ORDER = Counter(
    "simulator_endpoint_out_of_order",
    "Messages that were not above everything before them on their connection.",
)
ENDPOINT_REPEATED = Counter(
    "simulator_endpoint_repeated", "Messages that the endpoint had received before."
)
CORRUPTED = Counter(
    "simulator_endpoint_corrupted", "Messages that were not what the feed had sent."
)
UNKNOWN = Counter("simulator_endpoint_unknown", "Messages with ids that the feed had not sent.")
DELAY = Histogram(
    "simulator_endpoint_delay_seconds", "Time from the feed's sending to the endpoint's receipt."
).labels()

FAULTS = {
    "out_of_order": OUT_OF_ORDER,
    "repeated": ENDPOINT_REPEATED,
    "corrupted": CORRUPTED,
    "unknown": UNKNOWN,
}
"""The counters of what a checker can find, under the checker's names for it."""
