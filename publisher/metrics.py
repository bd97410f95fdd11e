"""The publisher's metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from chassis.metrics import SIZES, Histogram

LABELS = ["feed", "sink"]
ENDINGS = ("closed", "dropped", "refused", "stuck", "epoch", "stopped")
"""Why a connection ended: closed by the peer with 1000 or 1001; dropped: any other end; refused:
there never was one; stuck: the endpoint did not read; epoch: a new numbering, or one that went
back with Redis, gets a new one; stopped: by us."""

MESSAGES = Counter("publisher_messages", "Messages sent, those sent again included", LABELS)
CONFIRMED = Counter("publisher_confirmed", "Messages confirmed by a pong", LABELS)
RESENT = Counter("publisher_resent", "Messages sent again after a reconnect", LABELS)
CONNECTED = Gauge("publisher_connected", "1 while the sink is connected, else 0", LABELS)
ENDED = Counter("publisher_disconnects", "Connections that ended, by how", [*LABELS, "ending"])
UNCONFIRMED = Gauge("publisher_unconfirmed", "Messages sent and not yet confirmed", LABELS)
PAUSED = Gauge("publisher_paused", "1 while the endpoint reads too slowly to send more", LABELS)
LAG = Gauge(
    "publisher_lag_seconds", "Time since the oldest waiting message was received; 0 = none", LABELS
)
SENT = Gauge("publisher_last_sent_timestamp_seconds", "When something was last sent", LABELS)
DATA_LOSS = Counter("publisher_data_loss", "Times that Redis had lost the numbering", LABELS)
RELAY = Histogram("publisher_relay_seconds", "Time from receiving a frame to sending it", LABELS)
ROUND_TRIP = Histogram("publisher_confirm_seconds", "Time from sending to confirmation", LABELS)
THOUSAND = Histogram("publisher_thousand_seconds", "Time taken to send 1000 messages", LABELS)
BATCH = Histogram("publisher_batch_messages", "Messages written together", LABELS, SIZES)


class SinkMetrics:
    """The metrics of one sink, every series made at once so that it starts at 0."""

    def __init__(self, feed: str, sink: str) -> None:
        self.messages = MESSAGES.labels(feed, sink)
        self.confirmed = CONFIRMED.labels(feed, sink)
        self.resent = RESENT.labels(feed, sink)
        self.connected = CONNECTED.labels(feed, sink)
        self.ended = {ending: ENDED.labels(feed, sink, ending) for ending in ENDINGS}
        self.unconfirmed = UNCONFIRMED.labels(feed, sink)
        self.paused = PAUSED.labels(feed, sink)
        self.lag = LAG.labels(feed, sink)
        self.sent = SENT.labels(feed, sink)
        self.data_loss = DATA_LOSS.labels(feed, sink)
        self.relay = RELAY.labels(feed, sink)
        self.round_trip = ROUND_TRIP.labels(feed, sink)
        self.thousand = THOUSAND.labels(feed, sink)
        self.batch = BATCH.labels(feed, sink)
