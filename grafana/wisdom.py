"""Wisdom: from the tick, on which one replica draws a quote, to every subscriber."""

from __future__ import annotations

from .board import Board, Row, Variable
from .panels import COUNT, QUOTES, Panel, Words, bars, course, figure, spread, timeline, top
from .queries import Query, count, counts, present, quantile, quantiles, rate, rates, ten

HERE = '{instance=~"$replica"}'
DRAWS: Words = {"0": ("stands by", "#484b54"), "1": ("draws", "blue")}


def board() -> Board:
    """Put wisdom's dashboard together."""
    return Board(
        "wisdom", "Wisdom", "From the tick, on which one replica draws a quote, to every "
        "subscriber.",
        [
            Row(now()), Row(heard(), "Is it heard by everybody, and how fast?"),
            Row(cut(), "Who was cut, and why?"),
        ],
        [Variable("replica", "Replica", 'label_values(up{job="wisdom"}, instance)')],
        feeds=False, leases='{job="wisdom"}',
    )  # fmt: skip


def now() -> list[Panel]:
    """Show wisdom's present."""
    heard = "time() - (max(wisdom_quote_timestamp_seconds) > 0)"
    late = quantile(0.99, "wisdom_tick_lateness_seconds")
    refused = 'sum(increase(wisdom_refused_connections_total{reason="connections"}[1m]))'
    return [
        figure("Subscribers", COUNT, "Clients that get quotes.",
               Query(present(f"sum(wisdom_subscribers{HERE})")), none="no wisdom", width=4),
        figure("Last quote", "s", "How long ago anybody heard a quote.",
               Query(present(heard)), none="none yet", width=4),
        figure("Quotes delivered", QUOTES, "Quotes written to subscribers: each once for "
               "everybody.", Query(present(rate("wisdom_deliveries_total", "", HERE).expr)),
               none="no wisdom", width=4),
        figure("Delivery delay p99", "s", "From a quote's publication to its last write.",
               Query(present(quantile(0.99, "wisdom_delivery_delay_seconds", HERE))),
               alert="WisdomDeliverySlow", none="no quotes", width=4),
        figure("Lateness p99", "s", "From the instant at which a quote was due to its publication.",
               Query(present(late)), none="no quotes", width=4),
        figure("Turned away as full", COUNT, "Connections that were refused within a minute, "
               "because a replica was full.", Query(f"{refused} or vector(0)"),
               alert="WisdomRefusing", width=4),
    ]  # fmt: skip


def heard() -> list[Panel]:
    """Show whether quotes reach everybody, and how fast."""
    ago = f"time() - (max by (instance) (wisdom_quote_timestamp_seconds{HERE}) > 0)"
    due = f"sum(rate(wisdom_quotes_total[$__rate_interval])) * sum(wisdom_subscribers{HERE})"
    active = 'max by (instance) (lease_active{job="wisdom", instance=~"$replica"})'
    return [
        course("Quotes heard", QUOTES, "Quotes written to subscribers, and how many it should be "
               "if all subscribers get all quotes: the two go together.",
               Query(due, "due", "text"), rate("wisdom_deliveries_total", "delivered", HERE,
                                               "green"), width=8),
        course("Delivery delay", "s", "From a quote's publication to its last write to a "
               "subscriber.", *quantiles("wisdom_delivery_delay_seconds", "", HERE),
               alert="WisdomDeliverySlow", log=True, none="no quotes", width=8),
        course("Writing to all subscribers", "s", "Time that a replica took to write a quote to "
               "all its subscribers.", *quantiles("wisdom_fan_out_seconds", "", HERE), log=True,
               none="no quotes", width=8),
        timeline("Who draws the quotes", "One replica does, by lease; the others stand by.",
                 Query(active, "{{instance}}"), words=DRAWS, height=6, width=8),
        top("Silence of replicas", "s", "Time since each replica heard a quote: in order, a saw "
            "that rises no higher than the period.", Query(ten(ago, "instance"), "{{instance}}"),
            width=8).height(6),
        course("Ticks", QUOTES, "Quotes published, one in each period by all replicas together, "
               "and ticks without one, as Redis was away.",
               rate("wisdom_quotes_total", "published", colour="green"),
               rate("wisdom_skipped_ticks_total", "skipped", colour="red"), width=8).height(6),
        spread("All delivery delays", "From a quote's publication to its last write: how many took "
               "how long.", Query("sum by (le) (increase(wisdom_delivery_delay_seconds_bucket"
                                  f"{HERE}[$__rate_interval]))", "{{le}}"), width=8),
        bars("Quotes made up", "Times that a replica read quotes from the log, by why, and "
             "subscriptions to Redis renewed.",
             counts("wisdom_fills_total", "cause", "read: {{cause}}", HERE),
             count("wisdom_resubscriptions_total", "resubscribed", HERE), width=8),
        course("Subscribers by replica", "short", "Subscribers of each replica, and how many all "
               "replicas together believe to be listening.",
               Query(f"sum by (instance) (wisdom_subscribers{HERE})", "{{instance}}"),
               Query("max(wisdom_listening)", "all believe", "text"), width=8),
    ]  # fmt: skip


def cut() -> list[Panel]:
    """Show who came, who was refused, and how connections ended."""
    return [
        bars("Wisdom endings", "Connections that ended, by how: the client said goodbye, left, was "
             "lost, did not ping, read too slowly, and so on; and clients that joined.",
             counts("wisdom_closes_total", "reason", "{{reason}}", HERE),
             count("wisdom_joins_total", "joined", HERE), width=8),
        bars("Wisdom refusals", "Connections that were refused, by reason, and errors told to "
             "clients, by code.",
             counts("wisdom_refused_connections_total", "reason", "refused: {{reason}}", HERE),
             counts("wisdom_errors_total", "code", "error: {{code}}", HERE), width=8),
        course("Asked for", "suffix: events/s", "What clients ask for, by type.",
               rates("wisdom_events_total", "type", "{{type}}", HERE), width=8),
    ]  # fmt: skip
