"""The chat's metrics."""

from __future__ import annotations

from chassis.metrics import SIZES, Counter, Gauge, Histogram

from . import closing
from .protocol import ERRORS

MAIN, PLAYGROUND, ECHO = "main", "playground", "echo"
ROOMS = (MAIN, PLAYGROUND, ECHO)
SHARED = (MAIN, PLAYGROUND)
"""The rooms whose clients hear each other."""

FILLS = ("subscribed", "gap", "canary")
"""What made a replica read the log: a new subscription, a jump in the numbers, its own probe
(whose label is older than its name)."""

OUTCOMES = ("recovered", "lost")

CONNECTIONS = Gauge("chat_connections", "Clients connected to this replica", ["room"])
ONLINE = Gauge("chat_online", "Clients connected to all replicas", ["room"])
JOINS = Counter("chat_joins", "Clients that have joined", ["room"])
REFUSED = Counter("chat_refused_connections", "Handshakes refused, by why", ["reason"])
CLOSES = Counter("chat_closes", "Connections that have ended, by how", ["room", "reason"])
RESUMES = Counter(
    "chat_resumes", "Clients that came back, by whether all could be made up", ["outcome"]
)
RECEIVED = Counter("chat_received", "Messages received from clients", ["room"])
MESSAGES = Counter("chat_messages", "Messages and events of this replica in the log", ["room"])
REPEATS = Counter("chat_repeats", "Messages that were in the log already, by their key")
DELIVERIES = Counter("chat_deliveries", "Messages written to clients", ["room"])
ACKS = Counter("chat_acks", "Messages acknowledged to their sender")
ERRORS_TOLD = Counter("chat_errors", "Errors told to clients, by code", ["code"])
FILLED = Counter(
    "chat_fills", "Times that records were read from the log, by why", ["room", "cause"]
)
RESUBSCRIPTIONS = Counter("chat_resubscriptions", "Subscriptions that had to be renewed", ["room"])
DATA_LOSS = Counter("chat_data_loss", "Times that Redis had lost records that were seen", ["room"])
DROPPED = Counter("chat_dropped_events", "Events not written down, because too much waited")
QUEUE = Gauge("chat_queue", "Messages and events waiting to be written to Redis", ["room"])
DELAY = Histogram(
    "chat_broadcast_delay_seconds", "From a message's publishing to its last write", ["room"]
)
FAN_OUT = Histogram("chat_fan_out_seconds", "Time to write a batch to all clients", ["room"])
BATCH = Histogram("chat_batch_messages", "Messages and events in a batch", ["room"], SIZES)
LOG_WRITING = Gauge("chat_log_writing", "1 while this replica writes the log file, else 0")
LOG_RECORDS = Counter("chat_log_records", "Records written to the log file")
LOG_LAG = Gauge("chat_log_lag", "Records that the log file is behind; only from its writer")
LOG_FAILURES = Counter("chat_log_failures", "Times that the log file could not be written")
LOG_MISSED = Counter("chat_log_missed", "Records that were gone before they were written down")

for _room in ROOMS:
    CONNECTIONS.labels(_room)
    JOINS.labels(_room)
    RECEIVED.labels(_room)
    DELIVERIES.labels(_room)
    for _ending in closing.ALL:
        CLOSES.labels(_room, _ending.label)
for _room in SHARED:
    ONLINE.labels(_room)
    MESSAGES.labels(_room)
    RESUBSCRIPTIONS.labels(_room)
    DATA_LOSS.labels(_room)
    QUEUE.labels(_room)
    for _histogram in (DELAY, FAN_OUT, BATCH):
        _histogram.labels(_room)
    for _cause in FILLS:
        FILLED.labels(_room, _cause)
for _outcome in OUTCOMES:
    RESUMES.labels(_outcome)
for _code in ERRORS:
    ERRORS_TOLD.labels(_code)
