"""The relay: the feeds that are chosen, from their lines through the orderer to the endpoints."""

from __future__ import annotations

from .board import Board, Row
from .flow import DELAYS, FLOW, STALLED, connections, faults, lags, leases, named
from .panels import COUNT, MESSAGES, Panel, course, figure, spread, top
from .queries import RATE, Query, present, quantiles, rates, ten

_GAPS = "max by (feed) (orderer_open_gaps{feed})"
_SILENCE = (
    "time() - max by (feed, line) (ingestor_last_frame_timestamp_seconds{feed} > 0"
    " and on (job, instance, feed, line) ingestor_connected{feed} == 1)"
)
_SENT_AGAIN = "sum by (feed, sink) (rate(publisher_resent_total{feed}[1m]))"
_UNCONFIRMED = "sum by (feed, sink) (publisher_unconfirmed{feed})"


def _mean(metric: str, of: str) -> str:
    """Ask for the mean of a histogram's values, over the messages that another has counted."""
    return f"sum(rate({metric}_sum{{feed}}{RATE})) / sum(rate({of}_count{{feed}}{RATE}))"


def board() -> Board:
    """Put the relay's dashboard together."""
    return Board(
        "relay", "Relay", "The chosen feeds, from their lines to the endpoints.",
        [
            Row(now()), Row([connections(7), leases("{feed}", 7)]), Row(courses()),
            Row(detail(), "In full", closed=True),
        ],
    )  # fmt: skip


def now() -> list[Panel]:
    """Show the present of the chosen feeds."""
    into, ordered, out = FLOW
    rejected = "max(feed:rejected:ratio5m{feed})"
    return [
        figure("In now", MESSAGES, "Frames received from the feeds' lines.",
               Query(present(into.expr)), none="no feed"),
        figure("Put in order now", MESSAGES, "Messages that the orderer has released.",
               Query(present(ordered.expr)), none="no orderer"),
        figure("Out now", MESSAGES, "Messages confirmed; of each feed what its slowest endpoint "
               "has.", Query(present(out.expr)), none="no endpoint"),
        figure("Held now", COUNT, "Messages held back until those before them come.",
               Query(present("sum(max by (feed) (orderer_held{feed}))")), none="no orderer"),
        figure("Stands still for", "s", "How long a gap has been open and nothing has gone out.",
               Query(present(f"max({STALLED} > 10)")), alert="OrderStalled", none="moves"),
        figure("Given up, 5 min", COUNT, "Ids given up within five minutes: the endpoints go "
               "without them.", Query(present("sum(feed:orderer_given_up:increase5m{feed})")),
               alert="GapGivenUp", none="no orderer"),
        figure("Rejected, 5 min", "percentunit", "Share of the frames of five minutes that cannot "
               "be ordered; of the worst of the feeds.", Query(present(rejected)),
               alert="RejectedFrames", none="no frames"),
        figure("Delay p99 now", "s", "From receiving a frame to sending it in order, of the "
               "slowest of the feeds.", Query(present(DELAYS[1].expr)), alert="RelaySlow",
               none="no messages"),
    ]  # fmt: skip


def courses() -> list[Panel]:
    """Show the flow, its delays, its faults and its backlogs."""
    ordered, sent = "orderer_delay_seconds", "publisher_relay_seconds"
    places = [
        Query(_mean("orderer_hold_seconds", ordered), "held back", "yellow"),
        Query(_mean(ordered, ordered), "until in order", "light-blue"),
        Query(_mean(sent, sent), "until sent", "green"),
    ]
    waits = "max by (feed) (orderer_gap_timeout_seconds{feed})"
    backlog = "sum by (feed) (ingestor_backlog{feed})"
    return [
        course("Flow of the feeds", MESSAGES, "Frames in, messages in order, messages out: in a "
               "steady state the three are one line.", *FLOW),
        course("End-to-end delay", "s", "From receiving a frame to sending it in order, of the "
               "slowest of the feeds.", *DELAYS, alert="RelaySlow", log=True, none="no messages"),
        faults(),
        lags(),
        top("Held", "short", "Messages held back until those before them come, by feed.",
            Query(ten("max by (feed) (orderer_held{feed})", "feed"), "{{feed}}"), width=8),
        top("Gaps open", "short", "Gaps that are waited for, by feed.",
            Query(ten(_GAPS, "feed"), "{{feed}}"), width=8),
        top("Held, of capacity", "percentunit", "Share of ORDERER_CAPACITY that is held back: at "
            "all of it the oldest gap is given up.",
            Query(ten("feed:orderer_held:ratio{feed}", "feed"), "{{feed}}"),
            alert="OrdererNearlyFull", width=8),
        course("Where the time goes", "s", "Of a message, on the average: held back for those "
               "before it; from its receipt until it is published in order; and until it is sent.",
               *places, log=True, none="no messages", width=8),
        top("Silence", "s", "Time since a connected line was heard: the ten longest.",
            Query(named(ten(_SILENCE, "feed, line"), "line"), "{{peer}}"), alert="FeedSilent",
            none="not connected", width=8),
        top("Backlog", "short", "Frames in Redis that the orderer has not read or the slowest "
            "endpoint has not confirmed; at INGESTOR_BACKLOG the feed is held back.",
            Query(ten(backlog, "feed"), "{{feed}}"), width=8),
        top("Gap time-out", "s", "How long a missing id is waited for, by feed.",
            Query(ten(waits, "feed"), "{{feed}}"), width=8),
        top("Orderer lag", "s", "Age of the newest frame that the orderer has read while more "
            "wait.", Query(ten("max by (feed) (orderer_lag_seconds{feed})", "feed"), "{{feed}}"),
            alert="OrdererLagging", width=8),
        top("Only dropped", MESSAGES, "Frames that are dropped where nothing else comes.",
            Query(ten("feed:orderer_only_dropped:rate1m{feed}", "feed"), "{{feed}}"),
            alert="OnlyDropped", width=8),
    ]  # fmt: skip


def detail() -> list[Panel]:
    """Show what is looked at rarely, or is dear to ask for with many feeds."""
    return [
        spread("All delays", "From receiving a frame to sending it in order: how many took how "
               "long.", Query("sum by (le) (feed_le:publisher_relay_seconds_bucket:rate1m{feed})",
                              "{{le}}"), width=8),
        course("What became of frames", MESSAGES, "Frames settled, by what became of them.",
               rates("orderer_frames_total", "fate", "{{fate}}", "{feed}"), width=8),
        course("Late frames", MESSAGES, "Missing frames that came after all: in time, or after "
               "their gap had been given up.",
               rates("orderer_late_arrivals_total", "in_time", "in time: {{in_time}}", "{feed}"),
               width=8),
        course("Writing to Redis", "s", "Time that the ingestor took to write a batch.",
               *quantiles("ingestor_write_seconds", "", "{feed}"), log=True, width=8),
        course("Committing", "s", "Time that the orderer took to commit to Redis.",
               *quantiles("orderer_commit_seconds", "", "{feed}"), log=True, width=8),
        course("Confirmation", "s", "Time from sending to the pong that confirms.",
               *quantiles("publisher_confirm_seconds", "", "{feed}"), log=True, width=8),
        top("Sent again", MESSAGES, "Messages sent again after a reconnect, by endpoint.",
            Query(named(ten(_SENT_AGAIN, "feed, sink"), "sink"), "{{peer}}"), width=8),
        top("Sent and not confirmed", "short", "Messages that an endpoint has not confirmed yet.",
            Query(named(ten(_UNCONFIRMED, "feed, sink"), "sink"), "{{peer}}"), width=8),
        course("A thousand messages", "s", "Mean time that it took to send a thousand messages.",
               Query(_mean("publisher_thousand_seconds", "publisher_thousand_seconds"), "mean"),
               width=8),
    ]  # fmt: skip
