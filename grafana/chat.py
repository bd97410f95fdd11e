"""The chat: is it heard by everybody, how fast, who was cut and why, is the log written."""

from __future__ import annotations

from .board import Board, Row, Variable
from .panels import COUNT, MESSAGES, Panel, Words, bars, course, figure, spread, state, timeline
from .queries import Query, count, counts, present, quantile, quantiles, rate

REPLICA = 'instance=~"$replica"'
HERE = f"{{{REPLICA}}}"
ROOM = f'{{room=~"$room", {REPLICA}}}'

HELD: Words = {"0": ("stands by", "#484b54"), "1": ("at work", "blue")}


def board() -> Board:
    """Put the chat's dashboard together."""
    return Board(
        "chat", "Chat", "Is it heard by everybody, how fast, who was cut and why, is the log "
        "written.",
        [
            Row(now()), Row(heard(), "Is it heard by everybody, and how fast?"),
            Row(cut(), "Who was cut, and why?"), Row(log(), "Is the log written?"),
        ],
        [
            Variable("room", "Room", "label_values(chat_connections, room)"),
            Variable("replica", "Replica", 'label_values(up{job="chat"}, instance)'),
        ],
        feeds=False, leases='{job="chat"}',
    )  # fmt: skip


def now() -> list[Panel]:
    """Show the chat's present."""
    written: Words = {"0": ("nobody writes", "red"), "1": ("written", "green")}
    delay = quantile(0.99, "chat_broadcast_delay_seconds", ROOM)
    lost = f"sum(increase(chat_data_loss_total{ROOM}[10m]))"
    return [
        figure("Clients online", COUNT, "Clients connected to the replicas.",
               Query(present(f"sum(chat_connections{ROOM})")), none="no chat"),
        figure("Said", MESSAGES, "Messages received from clients.",
               Query(present(rate("chat_received_total", "", ROOM).expr)), none="no chat"),
        figure("Delivered", MESSAGES, "Messages written to clients: each once for everybody.",
               Query(present(rate("chat_deliveries_total", "", ROOM).expr)), none="no chat"),
        figure("Broadcast delay p99", "s", "From a message's publishing to its last write to a "
               "client.", Query(present(delay)), alert="ChatSlow", none="no messages"),
        figure("Holes in ten minutes", COUNT, "Times that Redis had lost records that were "
               "seen: clients were told that there is a hole.", Query(present(lost)),
               alert="ChatDataLost", none="no chat"),
        state("Log file", "Whether somebody writes down what is said.",
              Query(present("clamp_max(sum(chat_log_writing), 1)")), written,
              alert="ChatLogUnwritten", none="no chat"),
        figure("Log behind by", COUNT, "Records that the log file is behind.",
               Query(present("max(chat_log_lag)")), none="nobody writes"),
        figure("Log records missed", COUNT, "Records that were gone before they were written "
               "down, since the replicas started.", Query(present("sum(chat_log_missed_total)")),
               alert="ChatLogMissed", none="no chat"),
    ]  # fmt: skip


def heard() -> list[Panel]:
    """Show whether what is said reaches everybody, and how fast."""
    due = f"sum(sum by (room) (rate(chat_messages_total{ROOM}[$__rate_interval])) * on (room)"
    due = f"{due} sum by (room) (chat_connections{ROOM}))"
    return [
        course("Heard", MESSAGES, "Messages written to clients, and how many it should be if "
               "everybody who is connected hears everything: the two go together.",
               Query(due, "due", "text"), rate("chat_deliveries_total", "delivered", ROOM, "green"),
               width=8),
        course("Broadcast delay", "s", "From a message's publishing to its last write to a client.",
               *quantiles("chat_broadcast_delay_seconds", "", ROOM), alert="ChatSlow", log=True,
               none="no messages", width=8),
        course("Writing to all", "s", "Time that a replica took to write a batch to all its "
               "clients.", *quantiles("chat_fan_out_seconds", "", ROOM), log=True,
               none="no messages", width=8),
        bars("Made up", "What a replica had not heard and read from the log, by why; subscriptions "
             "to Redis renewed; and what Redis had lost.",
             counts("chat_fills_total", "cause", "read: {{cause}}", ROOM),
             count("chat_resubscriptions_total", "resubscribed", ROOM),
             count("chat_data_loss_total", "lost", ROOM), width=8),
        course("Clients by replica", "short", "Clients connected to each replica.",
               Query(f"sum by (instance) (chat_connections{ROOM})", "{{instance}}"),
               Query('max(chat_online{room=~"$room"})', "all believe", "text"), width=8),
        spread("All broadcast delays", "From a message's publishing to its last write: how many "
               "took how long.", Query("sum by (le) (increase(chat_broadcast_delay_seconds_bucket"
                                       f"{ROOM}[$__rate_interval]))", "{{le}}"), width=8),
    ]  # fmt: skip


def cut() -> list[Panel]:
    """Show who came, who was refused, and how connections ended."""
    return [
        bars("Endings", "Connections that ended in each minute, by how: the client left, was lost, "
             "read too slowly, was sent away at a restart, and so on.",
             counts("chat_closes_total", "reason", "{{reason}}", ROOM), width=8),
        bars("Turned away", "Connections that were refused, by reason, and errors told to clients, "
             "by code.",
             counts("chat_refused_connections_total", "reason", "refused: {{reason}}", HERE),
             counts("chat_errors_total", "code", "error: {{code}}", HERE), width=8),
        bars("Arrivals", "Clients that joined, and of those who came back whether all that they "
             "had missed could be made up.", count("chat_joins_total", "joined", ROOM),
             counts("chat_resumes_total", "outcome", "came back: {{outcome}}", HERE), width=8),
    ]  # fmt: skip


def log() -> list[Panel]:
    """Show the log: in Redis, and in the file."""
    return [
        timeline("Who writes the log file", "One replica does, by lease; the others stand by.",
                 Query(f"max by (instance) (chat_log_writing{HERE})", "{{instance}}"),
                 words=HELD, height=6, width=8),
        course("Log", MESSAGES, "Messages and events put into the log in Redis, and records "
               "written to the file.",
               Query('sum(rate(chat_messages_total{room="main"}[$__rate_interval]))', "in Redis",
                     "light-blue"),
               rate("chat_log_records_total", "in the file", colour="green"), width=8).height(6),
        course("Waits to be written", "short", "Messages and events that wait to be written to "
               "Redis, and records that the file is behind.",
               Query(f"sum(chat_queue{ROOM})", "to Redis", "light-blue"),
               Query("max(chat_log_lag)", "to the file", "yellow"), width=8).height(6),
        bars("Log faults", "Attempts to write the file that failed, records that were gone before "
             "they were written, events that were not written down, and messages that were in the "
             "log already.", count("chat_log_failures_total", "failed"),
             count("chat_log_missed_total", "missed"),
             count("chat_dropped_events_total", "event dropped"),
             count("chat_repeats_total", "said twice"), width=24).height(5),
    ]  # fmt: skip
