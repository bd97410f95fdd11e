"""The publisher's metrics."""

from __future__ import annotations

from chassis.metrics import SIZES, Counter, Gauge, Histogram, Series

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
UNDELIVERED = Counter(
    "publisher_undelivered", "Messages that endpoints had not got when they were let go"
)
RELAY = Histogram("publisher_relay_seconds", "Time from receiving a frame to sending it", LABELS)
ROUND_TRIP = Histogram("publisher_confirm_seconds", "Time from sending to confirmation", LABELS)
THOUSAND = Histogram("publisher_thousand_seconds", "Time taken to send 1000 messages", LABELS)
BATCH = Histogram("publisher_batch_messages", "Messages written together", LABELS, SIZES)


class SinkMetrics:
    """The metrics of one sink, every series made at once so that it starts at 0."""

    def __init__(self, feed: str, sink: str) -> None:
        series = self._series = Series(feed, sink)
        self.messages = series.of(MESSAGES)
        self.confirmed = series.of(CONFIRMED)
        self.resent = series.of(RESENT)
        self.connected = series.of(CONNECTED)
        self.ended = {ending: series.of(ENDED, ending) for ending in ENDINGS}
        self.unconfirmed = series.of(UNCONFIRMED)
        self.paused = series.of(PAUSED)
        self.lag = series.of(LAG)
        self.sent = series.of(SENT)
        self.data_loss = series.of(DATA_LOSS)
        self.relay = series.of(RELAY)
        self.round_trip = series.of(ROUND_TRIP)
        self.thousand = series.of(THOUSAND)
        self.batch = series.of(BATCH)

    def retire(self) -> None:
        """Show them no more, in a while."""
        self._series.retire()
