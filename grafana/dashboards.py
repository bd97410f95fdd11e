"""What the dashboards show; `python -m grafana.dashboards` writes `grafana/dashboards/*.json`.

A service has one row, a function that returns its panels: rate, errors, duration and backlog
first, then what else helps. A new service adds such a function to `ROWS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from .panels import (
    RATE,
    SOURCE,
    Panel,
    Query,
    course,
    listing,
    quantile,
    quantiles,
    rates,
    spread,
    state,
    value,
)

FOLDER = Path(__file__).with_name("dashboards")
SERVICES = "ingestor|orderer|publisher|chat|wisdom|simulator"
RELAY = "publisher_relay_seconds"

CONNECTION = {"0": ("disconnected", "red"), "1": ("connected", "green")}
LEASE = {"0": ("stands by", "text"), "1": ("active", "green")}
SEVERITY = {"critical": ("critical", "red"), "warning": ("warning", "orange")}


# Everything a person on call asks first; it fits on a screen of 1080 lines -------------------


def overview() -> list[Panel]:
    """Show whether all is in order, and the flow from left to right."""
    worst = (
        'max(2 * ALERTS{alertstate="firing", severity="critical"}'
        ' or ALERTS{alertstate="firing", severity="warning"}) or vector(0)'
    )
    verdicts = {"0": ("In order", "green"), "1": ("Warning", "orange"), "2": ("Critical", "red")}
    into = "sum(rate(ingestor_frames_total{feed}[$__rate_interval]))"
    ordered = 'sum(rate(orderer_frames_total{feed, fate="released"}[$__rate_interval]))'
    out = "sum(rate(publisher_messages_total{feed}[$__rate_interval]))"
    delays = [*quantiles(RELAY, ""), quantile(1, RELAY, "max")]
    given_up = "sum(feed:orderer_given_up:increase5m{feed})"
    lag = "max by (feed, sink) (publisher_lag_seconds{feed})"
    firing = 'ALERTS{alertstate="firing"}'
    return [
        state("Is all in order?", "The worst alert that fires now.", Query(worst), verdicts),
        value("In", "cps", "Frames received from the feeds and written to Redis.", Query(into)),
        value("Held", "short", "Messages held back until those before them come.",
              Query("sum(orderer_held{feed})"), width=2),
        value("Out", "cps", "Messages sent to endpoints, repeats included.", Query(out)),
        value("End-to-end delay", "s", "From receiving a frame to sending it in order. max is the "
              "bound of the highest histogram bucket in use.",
              *delays, alert="RelaySlow", width=6),
        value("Gaps open", "short", "Gaps that are waited for now.",
              Query("sum(orderer_open_gaps{feed})"), width=2),
        value("Given up", "short", "Ids given up within five minutes.", Query(given_up),
              alert="GapGivenUp", width=2),
        value("Lag", "s", "Age of the oldest message that an endpoint has not confirmed.",
              Query(f"max({lag})"), alert="EndpointLagging"),
        course("Flow", "cps", "Frames in, messages in order, messages out: in a steady state the "
               "three are one line.",
               Query(into, "in"), Query(ordered, "ordered"), Query(out, "out"), width=8),
        course("Delay", "s", "From receiving a frame to sending it in order.",
               *delays, alert="RelaySlow", width=8),
        listing("Firing alerts", "What each means and what to do: link Alerts above.",
                Query(firing), ["severity", "alertname", "feed", "sink", "line", "room", "job"],
                {"severity": SEVERITY}, width=8, height=8),
        course("Held and gaps", "short", "Messages held back, and the gaps they wait for.",
               Query("sum by (feed) (orderer_held{feed})", "{{feed}}: held"),
               Query("sum by (feed) (orderer_open_gaps{feed})", "{{feed}}: gaps open"), width=8),
        course("Given up within five minutes", "short", "Ids that the endpoint goes without.",
               Query("feed:orderer_given_up:increase5m{feed}", "{{feed}}"),
               alert="GapGivenUp", width=8),
        course("Lag by endpoint", "s", "Age of the oldest message that is not confirmed.",
               Query(lag, "{{feed}}: {{sink}}"), alert="EndpointLagging", width=8),
    ]  # fmt: skip


def who() -> list[Panel]:
    """Show what is connected and who does the work."""
    return [
        state("Lines", "Connections to the feeds.",
              Query("max by (feed, line) (ingestor_connected{feed})", "{{feed}}: {{line}}"),
              CONNECTION, alert="FeedDisconnected"),
        value("Silence", "s", "Time since a connected line was heard.",
              Query("feed_line:ingestor_silence:seconds{feed}", "{{feed}}: {{line}}"),
              alert="FeedSilent").no_value("not connected"),
        value("Stalled", "s", "Time for which a gap has been open and nothing has gone out.",
              Query("feed:order_stalled:seconds{feed}", "{{feed}}"), alert="OrderStalled"),
        state("Endpoints", "Connections to the endpoints.",
              Query("max by (feed, sink) (publisher_connected{feed})", "{{feed}}: {{sink}}"),
              CONNECTION, alert="EndpointDisconnected"),
        listing("Leases", "Who does what; the others take over when the active one ends. In the "
                "chat a feed is a room; wisdom has one, of its own name.",
                Query('lease_active{feed} or lease_active{job=~"chat|wisdom"}'),
                ["job", "instance", "feed", "role", "Value"],
                {"Value": LEASE}, width=12, height=4),
    ]  # fmt: skip


def latency() -> list[Panel]:
    """Show where the time goes, in full."""
    return [
        spread("Hold", "How long the messages that came too early were held back.",
               "orderer_hold_seconds"),
        spread("In order", "From receiving a frame to publishing it in order.",
               "orderer_delay_seconds"),
        spread("End to end", "From receiving a frame to sending it to the endpoint.", RELAY),
    ]  # fmt: skip


# One row for each service -------------------------------------------------------------------


def grow(metric: str, legend: str) -> Query:
    """Ask how fast a counter grows, all its labels together."""
    return Query(f"sum(rate({metric}{RATE}))", legend)


def ingestor() -> list[Panel]:
    """Show the lines of the feeds."""
    return [
        course("Ingestor rate", "cps", "Frames received, by line.",
               rates("ingestor_frames_total", "feed, line", "{{feed}}: {{line}}")),
        course("Ingestor errors", "cps", "Frames that were too large, and connections that ended, "
               "by how: dropped without a goodbye, refused, idle.",
               rates("ingestor_rejected_total", "reason", "rejected: {{reason}}"),
               rates("ingestor_disconnects_total", "ending", "connection {{ending}}")),
        course("Ingestor duration", "s", "Time that writing a batch to Redis took.",
               *quantiles("ingestor_write_seconds", "write")),
        course("Ingestor backlog", "short", "Frames in Redis that the orderer has not read or the "
               "slowest endpoint has not confirmed. At INGESTOR_BACKLOG the feed is not read.",
               Query("max by (feed) (ingestor_backlog{feed})", "{{feed}}")),
    ]  # fmt: skip


def orderer() -> list[Panel]:
    """Show the reordering."""
    missing = "sum by (feed, cause) (rate(orderer_missing_total{feed}[$__rate_interval]))"
    return [
        course("Orderer rate", "cps", "Frames settled, by what became of them.",
               rates("orderer_frames_total", "feed, fate", "{{feed}}: {{fate}}")),
        course("Orderer errors", "cps", "Frames that were not accepted, by reason, and ids given "
               "up, by cause.",
               rates("orderer_rejected_total", "feed, reason", "{{feed}}: rejected, {{reason}}"),
               Query(missing, "{{feed}}: given up, {{cause}}")),
        course("Orderer duration", "s", "From receipt to publication, and the time that a commit "
               "to Redis took.",
               *quantiles("orderer_delay_seconds", "delay"),
               *quantiles("orderer_commit_seconds", "commit")),
        course("Orderer backlog", "percentunit", "Messages held back, of ORDERER_CAPACITY.",
               Query("feed:orderer_held:ratio{feed}", "{{feed}}"), alert="OrdererNearlyFull"),
        course("Orderer lag", "s", "Age of the newest frame that it has read while more wait.",
               Query("max by (feed) (orderer_lag_seconds{feed})", "{{feed}}"),
               alert="OrdererLagging"),
        course("Late frames", "cps", "Missing frames that came after all: in time, or after their "
               "gap had been given up.",
               rates("orderer_late_arrivals_total", "feed, in_time",
                     "{{feed}}: in time? {{in_time}}")),
        course("Gap time-out", "s", "How long a missing id is waited for, and how long messages "
               "were held.",
               Query("max by (feed) (orderer_gap_timeout_seconds{feed})", "{{feed}}: time-out"),
               quantile(0.99, "orderer_hold_seconds", "held p99")),
        course("Rejected share", "percentunit", "Share of the last five minutes' frames that "
               "cannot be ordered.",
               Query("feed:rejected:ratio5m{feed}", "{{feed}}"), alert="RejectedFrames"),
    ]  # fmt: skip


def publisher() -> list[Panel]:
    """Show the endpoints' side."""
    thousand = "publisher_thousand_seconds"
    mean = f"sum(rate({thousand}_sum{{feed}}{RATE})) / sum(rate({thousand}_count{{feed}}{RATE}))"
    return [
        course("Publisher rate", "cps", "Messages sent, confirmed by a pong, and sent again.",
               rates("publisher_messages_total", "feed, sink", "{{feed}}: {{sink}} sent"),
               rates("publisher_confirmed_total", "feed, sink", "{{feed}}: {{sink}} confirmed"),
               rates("publisher_resent_total", "feed, sink", "{{feed}}: {{sink}} again")),
        course("Publisher errors", "cps", "Connections that ended, by how: dropped without a "
               "goodbye, refused, stuck (did not read).",
               rates("publisher_disconnects_total", "ending", "connection {{ending}}")),
        course("Publisher duration", "s", "From receipt to sending, from sending to confirmation, "
               "and the time that a thousand messages took.",
               *quantiles(RELAY, "relay"), *quantiles("publisher_confirm_seconds", "confirmation"),
               Query(mean, "1000 messages")),
        course("Publisher backlog", "short", "Messages sent and not yet confirmed.",
               Query("sum by (feed, sink) (publisher_unconfirmed{feed})", "{{feed}}: {{sink}}")),
    ]  # fmt: skip


def chat() -> list[Panel]:
    """Show the chat's rooms, and its log file."""
    delay = f"sum by (room, le) (rate(chat_broadcast_delay_seconds_bucket{RATE}))"
    return [
        course("Chat rate", "cps", "Messages that clients sent, that are in the log in Redis "
               "(with events), and that were written to clients.",
               rates("chat_received_total", "room", "{{room}}: received", matcher=""),
               rates("chat_messages_total", "room", "{{room}}: in the log", matcher=""),
               rates("chat_deliveries_total", "room", "{{room}}: delivered", matcher="")),
        course("Chat errors", "cps", "Errors told to clients, by code; connections refused, by "
               "reason; events that were not written down.",
               rates("chat_errors_total", "code", "error {{code}}", matcher=""),
               rates("chat_refused_connections_total", "reason", "refused: {{reason}}",
                     matcher=""),
               grow("chat_dropped_events_total", "event dropped")),
        course("Chat duration", "s", "From a message's publishing to its last write, and the time "
               "that the writing to all clients of a replica took.",
               Query(f"histogram_quantile(0.5, {delay})", "{{room}}: delay p50"),
               Query(f"histogram_quantile(0.99, {delay})", "{{room}}: delay p99"),
               *quantiles("chat_fan_out_seconds", "writing", matcher=""), alert="ChatSlow"),
        course("Chat backlog", "short", "Messages and events that wait to be written to Redis, "
               "and records that the log file is behind.",
               Query("sum by (room) (chat_queue)", "{{room}}: to Redis"),
               Query("max(chat_log_lag)", "to the log file")),
        course("Chat connections", "short", "Clients of the replicas that answer Prometheus, and "
               "how many the replicas believe to be in the room.",
               Query("sum by (room) (chat_connections)", "{{room}}: connected"),
               Query("max by (room) (chat_online)", "{{room}}: online")),
        course("Chat endings", "cps", "Connections that ended, by how: the client left, was lost, "
               "read too slowly, was sent away at a restart, and so on.",
               rates("chat_closes_total", "reason", "{{reason}}", matcher="")),
        course("Chat arrivals", "cps", "Clients that joined, and those of them that came back, by "
               "whether they got all that they had missed.",
               rates("chat_joins_total", "room", "{{room}}: joined", matcher=""),
               rates("chat_resumes_total", "outcome", "came back: {{outcome}}", matcher="")),
        course("Chat holes", "cps", "What a replica had not heard and read from the log, by why; "
               "subscriptions renewed; and records that Redis had lost.",
               rates("chat_fills_total", "room, cause", "{{room}}: read, {{cause}}", matcher=""),
               rates("chat_resubscriptions_total", "room", "{{room}}: resubscribed", matcher=""),
               rates("chat_data_loss_total", "room", "{{room}}: lost", matcher="")),
        spread("Chat delay", "From a message's publishing to its last write to a client.",
               "chat_broadcast_delay_seconds", matcher=""),
        course("Chat log", "cps", "Records written to the log file, attempts that failed, and "
               "records that were gone before they were written.",
               grow("chat_log_records_total", "written"),
               grow("chat_log_failures_total", "failed"),
               grow("chat_log_missed_total", "missed"), width=8),
        course("Chat log writers", "short", "Replicas that write the log file: one, but for an "
               "instant when another takes over.",
               Query("sum(chat_log_writing)", "writing"), alert="ChatLogUnwritten", width=8),
    ]  # fmt: skip


def wisdom() -> list[Panel]:
    """Show the quotes on their way to the subscribers."""
    heard = "time() - (max by (instance) (wisdom_quote_timestamp_seconds) > 0)"
    return [
        course("Wisdom rate", "cps", "Quotes published, one in each period by all replicas "
               "together, and quotes written to subscribers.",
               grow("wisdom_quotes_total", "published"),
               grow("wisdom_deliveries_total", "delivered")),
        course("Wisdom errors", "cps", "Errors told to clients, by code; connections refused, by "
               "reason; ticks without a quote, as Redis was away.",
               rates("wisdom_errors_total", "code", "error {{code}}", matcher=""),
               rates("wisdom_refused_connections_total", "reason", "refused: {{reason}}",
                     matcher=""),
               grow("wisdom_skipped_ticks_total", "tick without a quote")),
        course("Wisdom duration", "s", "From a quote's publication to its last write, and the time "
               "that the writing to all subscribers of a replica took.",
               *quantiles("wisdom_delivery_delay_seconds", "delay", matcher=""),
               *quantiles("wisdom_fan_out_seconds", "writing", matcher=""),
               alert="WisdomDeliverySlow"),
        course("Wisdom silence", "s", "Time since each replica heard a quote: in order, a saw that "
               "rises no higher than the period.",
               Query(heard, "{{instance}}"), Query("max(wisdom_period_seconds)", "period")),
        course("Wisdom subscribers", "short", "Connections and subscribers of the replicas that "
               "answer Prometheus, and how many the replicas believe to be listening.",
               Query("sum(wisdom_connections)", "connected"),
               Query("sum(wisdom_subscribers)", "subscribed"),
               Query("max(wisdom_listening)", "listening")),
        course("Wisdom events", "cps", "What clients ask for, by type.",
               rates("wisdom_events_total", "type", "{{type}}", matcher="")),
        course("Wisdom endings", "cps", "Clients that joined, and connections that ended, by how: "
               "the client said goodbye, left, was lost, did not ping, read too slowly, and so on.",
               grow("wisdom_joins_total", "joined"),
               rates("wisdom_closes_total", "reason", "{{reason}}", matcher="")),
        course("Wisdom holes", "cps", "Times that a replica read quotes from the log, by why, and "
               "subscriptions to Redis renewed.",
               rates("wisdom_fills_total", "cause", "read: {{cause}}", matcher=""),
               grow("wisdom_resubscriptions_total", "resubscribed")),
        spread("Wisdom delay", "From a quote's publication to its last write to a subscriber.",
               "wisdom_delivery_delay_seconds", matcher=""),
        spread("Wisdom lateness", "From the instant at which a quote was due to its publication.",
               "wisdom_tick_lateness_seconds", matcher=""),
        course("Wisdom tickers", "short", "Replicas that draw the quotes: one, but for an instant "
               "when another takes over.",
               Query('sum(job_feed_role:lease_active:sum{job="wisdom"})', "drawing"),
               alert="NoActiveWisdom", width=8),
    ]  # fmt: skip


def redis() -> list[Panel]:
    """Show the Redis server, and how the services fare with it."""
    calls = f"sum by (cmd) (rate(redis_commands_total{RATE}))"
    seconds = f"sum by (cmd) (rate(redis_commands_duration_seconds_total{RATE}))"
    failures = f"sum by (job, reason) (rate(redis_failures_total{RATE}))"
    return [
        course("Redis rate", "cps", "The five commands most called.",
               Query(f"topk(5, {calls})", "{{cmd}}")),
        course("Redis errors", "cps", "Commands that failed and were tried again, and connections "
               "that Redis turned away.",
               Query(failures, "{{job}}: {{reason}}"),
               grow("redis_rejected_connections_total", "turned away")),
        course("Redis duration", "s", "Mean time of the five slowest commands, waiting excluded.",
               Query(f"topk(5, {seconds} / ({calls} > 0))", "{{cmd}}")),
        course("Redis memory", "percentunit", "Memory in use, of maxmemory. Full, Redis refuses "
               "writes and the feeds pause.",
               Query("redis_memory:ratio", "in use"), alert="RedisMemoryHigh"),
    ]  # fmt: skip


def simulator() -> list[Panel]:
    """Show the test feed and the checking endpoint."""
    feed = f"sum by (kind) (rate(simulator_feed_messages_total{RATE}))"
    faults = {
        "out of order": "out_of_order", "repeated": "repeated", "corrupted": "corrupted",
        "not known": "unknown", "connection refused": "refusals",
    }  # fmt: skip
    return [
        course("Simulator rate", "cps", "Messages of the feed, by what became of them, and "
               "messages that the endpoint received.",
               Query(feed, "feed: {{kind}}"),
               grow("simulator_endpoint_received_total", "endpoint: received")),
        course("Simulator errors", "cps", "What the endpoint found wrong. Repeats after a "
               "reconnect are right; anything out of order is not.",
               *(grow(f"simulator_endpoint_{name}_total", words)
                 for words, name in faults.items())),
        course("Simulator duration", "s", "From the feed's sending to the endpoint's receipt.",
               *quantiles("simulator_endpoint_delay_seconds", "delay", matcher="")),
        course("Simulator connections", "short", "Connections that are open.",
               Query("sum(simulator_feed_connections)", "feed"),
               Query("sum(simulator_endpoint_connections)", "endpoint")),
    ]  # fmt: skip


def processes() -> list[Panel]:
    """Show the processes and the scraping."""
    ours = f'{{job=~"{SERVICES}"}}'
    return [
        course("Targets", "short", "Instances that answer Prometheus, by job.",
               Query("sum by (job) (up)", "{{job}}")),
        course("Up", "none", "The least of each job: 0 when an instance does not answer.",
               Query("min by (job) (up)", "{{job}}"), alert="TargetDown"),
        course("CPU", "percentunit", "Share of one core; a single-threaded service has one.",
               Query(f"rate(process_cpu_seconds_total{ours}{RATE})", "{{job}} {{instance}}")),
        course("Memory", "bytes", "Resident memory of each process.",
               Query(f"process_resident_memory_bytes{ours}", "{{job}} {{instance}}")),
    ]  # fmt: skip


ROWS: Sequence[tuple[str, Callable[[], list[Panel]]]] = (
    ("", overview),
    ("Who does what", who),
    ("Latency", latency),
    ("Ingestor", ingestor),
    ("Orderer", orderer),
    ("Publisher", publisher),
    ("Chat", chat),
    ("Wisdom", wisdom),
    ("Redis", redis),
    ("Simulator: the test feed and the checking endpoint", simulator),
    ("Processes", processes),
)


# Writing ------------------------------------------------------------------------------------


def build() -> dashboard.Dashboard:
    """Lay the rows out, left to right and downwards."""
    feed = dashboard.QueryVariable("feed").label("Feed").datasource(SOURCE)
    feeds = "label_values(lease_active{job!~'chat|wisdom'}, feed)"
    feed.query({"query": feeds, "refId": "feed"})
    feed.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    feed.sort(model.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".*")
    feed.current(model.VariableOption(text="All", value="$__all"))
    board = dashboard.Dashboard("Seriatim").uid("seriatim-overview").tags(["seriatim"])
    board.description("Messages from the feeds, through the orderer, to the endpoints.")
    board.time("now-15m", "now").refresh("5s").timezone("browser").readonly()
    board.tooltip(model.DashboardCursorSync.CROSSHAIR).with_variable(feed)
    for name, tip, url in (
        ("Alerts", "What each alert means, and what to do", "http://localhost:9090/alerts"),
        ("Test report", "What the checking endpoint found", "http://localhost:9000/report"),
    ):
        link = dashboard.DashboardLink(name).type(model.DashboardLinkType.LINK)
        board.link(link.icon("external link").tooltip(tip).url(url).target_blank(True))
    number = 0
    for title, row in ROWS:
        if title:
            number += 1
            board.with_row(dashboard.Row(title).id(number))
        for panel in row():
            number += 1
            board.with_panel(panel.id(number))
    return board


def dashboards() -> dict[str, str]:
    """Generate the dashboards, as JSON by file name; equal sources give equal bytes."""
    board = json.loads(json.dumps(build().build(), cls=JSONEncoder))
    for link in board["links"]:
        # The SDK would have it hidden in a menu, and knows no other place.
        del link["placement"]
    text = json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False)
    return {"overview.json": text + "\n"}


if __name__ == "__main__":
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text)
